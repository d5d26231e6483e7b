"""The published linear rule: rates in a config are for a batch of a given size."""

from collections.abc import Iterable, MutableMapping

SCHEDULE_RATES = ('min_lr', 'warmup_lr')


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
