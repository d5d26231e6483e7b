"""Length of a run: epochs, steps, tokens, GPU-hours."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from internvideo.structures.rehearsal import ItemCount

from .hardware import Gpu


@dataclass(frozen=True)
class RunLength:
    """Length and cost of a run.

    Attributes:
        samples: training items of an epoch.
        samples_known: whether ``samples`` was counted (else it is a rounded public figure).
        gpu_hours: at ``mfu`` of the GPU's dense bfloat16 peak.
    """

    samples: int
    samples_known: bool
    world_size: int
    batch_size: int
    num_repeats: int
    accumulation: int
    epochs: int
    steps_per_epoch: int
    steps: int
    clips: int
    tokens: int
    exaflops: float
    gpu: str
    mfu: float
    gpu_hours: float
    hours: float

    def as_json(self) -> dict:
        """Plain data."""
        return asdict(self)


@dataclass(frozen=True)
class ItemCost:
    """Cost of one item of a kind.

    Attributes:
        batch: items of a batch on one process, those of one row apart.
        flops: of a training step, without recomputation.
        tokens: of its pictures.
        items: rows of that kind in an epoch, 0 when not known.
        per_row: items made of one row.
    """

    batch: int
    flops: float
    tokens: int
    items: int = 0
    per_row: int = 1


def gpu_hours(flops: float, gpu: Gpu, mfu: float) -> float:
    """Hours of one GPU that ``flops`` operations take at the share ``mfu`` of its peak."""
    return flops / (gpu.flops * mfu) / 3600


def batches_of(count: ItemCount, batch_sizes: Mapping[str, int], world_size: int) -> dict[str, int]:
    """Whole batches of every kind in an epoch on each process.

    Args:
        count: rows of every kind.
        batch_sizes: rows of a batch on one process, by kind.
        world_size: processes.
    """
    return {
        kind: rows // world_size // batch_sizes[kind]
        for kind, rows in count.by_kind.items()
        if kind in batch_sizes
    }


def run_length(
    config: Mapping[str, Any],
    world_size: int,
    costs: Mapping[str, ItemCost],
    count: ItemCount,
    gpu: Gpu,
    mfu: float,
) -> RunLength:
    """The length of a config's training.

    Args:
        config: the config.
        world_size: processes, one GPU each.
        costs: of every kind of item.
        count: rows of an epoch.
        gpu, mfu: where it runs, and at what share of the peak.
    """
    rows = {kind: cost.batch // cost.per_row for kind, cost in costs.items()}
    # Of less than an epoch's rows, see MediaBatchSampler.
    loader = config.get('train_dataloader') or {}
    share = (loader.get('batch_sampler') or {}).get('share', 1.0)
    batches = {kind: int(share * n) for kind, n in batches_of(count, rows, world_size).items()}
    accumulation = config['optim_wrapper'].get('accumulative_counts', 1)
    epochs = config['train_cfg']['max_epochs']
    steps = sum(batches.values()) // accumulation
    # Of one kind the batches that fill no step are left out; of several the kinds are mixed.
    used = (
        batches
        if len(batches) > 1
        else {k: n // accumulation * accumulation for k, n in batches.items()}
    )
    items = {kind: n * costs[kind].batch * world_size * epochs for kind, n in used.items()}
    flops = sum(number * costs[kind].flops for kind, number in items.items())
    hours = gpu_hours(flops, gpu, mfu)
    largest = max(costs.values(), key=lambda cost: cost.batch)
    return RunLength(
        samples=count.total,
        samples_known=count.is_counted,
        world_size=world_size,
        batch_size=largest.batch // largest.per_row,
        num_repeats=largest.per_row,
        accumulation=accumulation,
        epochs=epochs,
        steps_per_epoch=steps,
        steps=steps * epochs,
        clips=sum(items.values()),
        tokens=sum(number * costs[kind].tokens for kind, number in items.items()),
        exaflops=flops / 1e18,
        gpu=gpu.name,
        mfu=mfu,
        gpu_hours=hours,
        hours=hours / world_size,
    )
