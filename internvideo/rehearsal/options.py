"""Assumptions and steps of a rehearsal."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Options:
    """Assumptions and steps of a rehearsal.

    Attributes:
        gpus: processes; None takes ``num_gpus`` of the config, or 1.
        gpu: name of the GPU that hours are counted for.
        mfu: share of its peak that model FLOPs reach.
        samples: training videos; None counts the list or takes the public figure.
        strict: missing files are faults.
        trial: run the shrunken copy.
        facts: trace memory and FLOPs.
        all_layouts: of every strategy, not only the configured one.
    """

    gpus: int | None = None
    gpu: str = 'A100-80'
    mfu: float = 0.4
    samples: int | None = None
    strict: bool = False
    trial: bool = True
    facts: bool = True
    all_layouts: bool = True
