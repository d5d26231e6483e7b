"""Checks of metrics in a rehearsed config, offered as ``check_config``."""

from collections.abc import Iterator, Mapping
from typing import Any

from internvideo.registry import DATA_SAMPLERS
from internvideo.structures.rehearsal import Finding, RehearsedRun

Config = Mapping[str, Any]


def exact_samples(config: Config, field: str, run: RehearsedRun) -> Iterator[Finding]:
    """Samples come once each: no sampler that deals rows anew every epoch."""
    name = field.split('_')[0] + '_dataloader'
    kind = ((run.loaders.get(name) or {}).get('sampler') or {}).get('type')
    sampler = DATA_SAMPLERS.get(kind) if isinstance(kind, str) and kind in DATA_SAMPLERS else None
    # A sampler that is told the epoch deals rows anew; this asks no class by its name.
    if hasattr(sampler, 'set_epoch'):
        yield Finding(
            f'{name}.sampler',
            f'{kind} leaves out or repeats samples; evaluate with EvalSampler',
        )


def best_of_classes(config: Config, field: str, run: RehearsedRun) -> Iterator[Finding]:
    """There are as many classes as the largest ``topk``."""
    yield from exact_samples(config, field, run)
    if run.num_classes is not None and max(config.get('topk') or (1,)) > run.num_classes:
        yield Finding(f'{field}.topk', f'{config["topk"]} among {run.num_classes} classes')
