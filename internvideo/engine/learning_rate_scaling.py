"""Published linear scaling rule for learning rates."""

from collections.abc import Iterable, Mapping, MutableMapping
from typing import Any

SCHEDULE_RATES = ('min_lr', 'warmup_lr')


def batch_size_of(loader: Mapping[str, Any]) -> int:
    """Samples of a batch of a loader's config.

    Raises:
        ValueError: its batch sampler makes batches of several sizes.
    """
    sampler = loader.get('batch_sampler')
    size = loader['batch_size'] if sampler is None else sampler['batch_size']
    sizes = set(size.values()) if isinstance(size, Mapping) else {size}
    if len(sizes) > 1:
        raise ValueError(
            'lr_scaling: rates are scaled by one batch size, batch_sampler.batch_size has '
            f'{dict(size)}; write the rates as they are and set lr_scaling=None'
        )
    return sizes.pop()


def counted_sizes(
    rule: Mapping[str, Any], loader: Mapping[str, Any], world_size: int, accumulation: int
) -> tuple[int, int, int, int]:
    """(batch size, processes, repeats, accumulation) as ``lr_scaling`` counts them.

    What ``with_repeats=False`` or ``with_accumulation=False`` leaves out counts as 1.
    """
    repeats = loader['dataset'].get('num_repeats', 1) if rule.get('with_repeats', True) else 1
    steps = accumulation if rule.get('with_accumulation', True) else 1
    return batch_size_of(loader), world_size, repeats, steps


def lr_factor(
    batch_size: int, world_size: int, num_repeats: int, accumulation: int, base_batch_size: int
) -> float:
    """Factor on learning rates: samples per optimiser step over ``base_batch_size``."""
    return batch_size * world_size * num_repeats * accumulation / base_batch_size


def scale_rates(
    optim_wrapper: MutableMapping, schedules: Iterable[MutableMapping], factor: float
) -> None:
    """Multiply, in place, the optimiser's ``lr`` and the schedules' absolute rates.

    A rate of its own under ``paramwise_cfg.lr`` is scaled too.
    """
    optim_wrapper['optimizer']['lr'] *= factor
    paramwise = optim_wrapper.get('paramwise_cfg') or {}
    if 'lr' in paramwise:
        paramwise['lr'] *= factor
    for schedule in schedules:
        for name in SCHEDULE_RATES:
            if name in schedule:
                schedule[name] *= factor
