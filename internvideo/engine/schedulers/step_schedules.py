"""Learning rate and weight decay as functions of the optimiser step alone.

A value never depends on values before it, so a resumed run, or one with a new horizon, is at the
right place at once.
"""

import math
from dataclasses import dataclass
from typing import Any

from internvideo.registry import PARAM_SCHEDULERS


@dataclass(frozen=True)
class Horizon:
    """Length of a run in optimiser steps.

    The run has ``epochs`` of ``steps_per_epoch`` steps, and a step takes ``accumulation`` batches.
    """

    steps_per_epoch: int
    epochs: int
    accumulation: int = 1

    @property
    def steps(self) -> int:
        """Optimiser steps in all."""
        return self.steps_per_epoch * self.epochs


def warmup_cosine_value(
    step: int, base: float, final: float, start: float, warmup: int, total: int
) -> float:
    """Value of the published table at ``step``, a linear warm-up and half a cosine.

    The warm-up's ``warmup`` values run from ``start`` to ``base``, both included; the cosine's
    ``total - warmup`` values begin at ``base`` and never reach ``final``.  Past the end the value
    stays at ``final``.
    """
    if step < warmup:
        # numpy.linspace with both ends, as the published code has it.
        return start + (base - start) * (step / (warmup - 1) if warmup > 1 else 0.0)
    if step >= total:
        return final
    phase = math.pi * (step - warmup) / (total - warmup)
    return final + 0.5 * (base - final) * (1 + math.cos(phase))


def cosine_by_epoch_value(
    epoch: float,
    base: float,
    final: float,
    start: float,
    warmup: float,
    max_epochs: float,
    after_warmup: bool = True,
) -> float:
    """Value at a fractional ``epoch``: a line from ``start``, then half a cosine to ``final``.

    The line ends at the value that the cosine has at the end of the warm-up.  The cosine begins
    there, at ``base``, or at epoch 0 with ``after_warmup`` off.  Past the end the value stays at
    ``final``.
    """

    def cosine(epoch: float) -> float:
        if epoch > max_epochs:
            return final
        first = warmup if after_warmup else 0.0
        # At the end of a warm-up as long as the run the cosine is where it begins.
        share = (epoch - first) / (max_epochs - first) if max_epochs > first else 0.0
        return final + 0.5 * (base - final) * (1 + math.cos(math.pi * share))

    if epoch >= warmup:
        return cosine(epoch)
    return start + (cosine(warmup) - start) * epoch / warmup


def linear_warmup_cosine_factor(step: int, warmup: float, total: int, floor: float) -> float:
    """Factor of the multi-modality schedule: ``step / warmup``, then half a cosine.

    It is at least ``floor``; past the end the cosine goes on.
    """
    if step < warmup:
        return max(floor, step / warmup)
    progress = (step - warmup) / max(1, total - warmup)
    return max(floor, 0.5 * (1 + math.cos(math.pi * progress)))


def warmup_length(horizon: Horizon, warmup_epochs: float | None, warmup_steps: int) -> int:
    """Steps of warm-up: ``warmup_steps`` if positive, else ``warmup_epochs`` of the run.

    Raises:
        ValueError: the warm-up is longer than the run, or one field asks for a warm-up and the
            other for none.
    """
    if warmup_epochs == 0 and warmup_steps > 0:
        raise ValueError(
            f'warmup_epochs=0 contradicts warmup_steps={warmup_steps}; give one of the two'
        )
    steps = int(warmup_steps)
    if steps <= 0:
        steps = int((warmup_epochs or 0) * horizon.steps_per_epoch)
    if steps < 0 or steps > horizon.steps:
        raise ValueError(f'warm-up of {steps} steps in a run of {horizon.steps} steps')
    return steps


class StepSchedule:
    """Sets ``param_name`` of each group from the number of the optimiser step.

    Args:
        optimizer: Optimiser or wrapper; its groups' present values are the base values.
        param_name: ``lr`` or ``weight_decay``.
        horizon: Length of the run, given by the runner.
    """

    takes_horizon = True
    by_epoch = False

    def __init__(self, optimizer: Any, param_name: str, horizon: Horizon) -> None:
        self.optimizer, self.param_name, self.horizon = optimizer, param_name, horizon
        self.base_values = [group[param_name] for group in optimizer.param_groups]
        self.seek(0)

    def value(self, step: int, group: dict, base: float) -> float:
        """Value of a parameter group whose base value is ``base`` at optimiser step ``step``."""
        raise NotImplementedError

    def seek(self, iteration: int) -> None:
        """Go to the values of batch ``iteration``."""
        self.last_step = iteration
        step = iteration // self.horizon.accumulation
        for group, base in zip(self.optimizer.param_groups, self.base_values, strict=True):
            group[self.param_name] = self.value(step, group, base)

    def step(self) -> None:
        """Go to the values of the next batch."""
        self.seek(self.last_step + 1)

    def state_dict(self) -> dict:
        """Return the position, since all else comes from the config of the run."""
        return {'last_step': self.last_step}

    def load_state_dict(self, state_dict: dict) -> None:
        """Go to the saved position."""
        self.seek(state_dict['last_step'])


@PARAM_SCHEDULERS.register_module()
class WarmupCosine(StepSchedule):
    """Learning-rate schedule of the published fine-tuning and pretraining.

    Each group follows :func:`warmup_cosine_value` times its ``lr_scale`` (layer decay).

    Args:
        optimizer, horizon: See :class:`StepSchedule`.
        warmup_epochs: Length of the warm-up; counts unless ``warmup_steps`` is positive.
        warmup_steps: The same in optimiser steps.
        warmup_lr: Rate of the first step.
        min_lr: Rate that the cosine runs towards.

    Raises:
        ValueError: see :func:`warmup_length`.
    """

    def __init__(
        self,
        optimizer: Any,
        horizon: Horizon,
        warmup_epochs: float | None = None,
        warmup_steps: int = 0,
        warmup_lr: float = 0.0,
        min_lr: float = 0.0,
    ) -> None:
        self.warmup = warmup_length(horizon, warmup_epochs, warmup_steps)
        self.warmup_lr, self.min_lr = warmup_lr, min_lr
        super().__init__(optimizer, 'lr', horizon)

    def value(self, step: int, group: dict, base: float) -> float:
        """See :class:`StepSchedule`."""
        # The published table is before layer decay, so that min_lr and warmup_lr are scaled too.
        scale = group.get('lr_scale', 1.0)
        unscaled = warmup_cosine_value(
            step, base / scale, self.min_lr, self.warmup_lr, self.warmup, self.horizon.steps
        )
        return unscaled * scale


@PARAM_SCHEDULERS.register_module()
class EpochCosine(StepSchedule):
    """Learning rate as a function of the fractional epoch, :func:`cosine_by_epoch_value`.

    Args:
        optimizer, horizon: See :class:`StepSchedule`.
        warmup_epochs: Length of the warm-up.
        warmup_lr: Rate of the first step, if there is a warm-up.
        min_lr: Rate at the end.
        cosine_after_warmup: Whether the cosine begins at the end of the warm-up, else at epoch 0.

    Raises:
        ValueError: the warm-up is longer than the run.
    """

    def __init__(
        self,
        optimizer: Any,
        horizon: Horizon,
        warmup_epochs: float = 0.0,
        warmup_lr: float = 0.0,
        min_lr: float = 0.0,
        cosine_after_warmup: bool = True,
    ) -> None:
        if not 0 <= warmup_epochs <= horizon.epochs:
            raise ValueError(
                f'EpochCosine: warmup_epochs={warmup_epochs:g} in a run of '
                f'max_epochs={horizon.epochs:g}; set param_scheduler.warmup_epochs'
            )
        self.warmup_epochs, self.cosine_after_warmup = warmup_epochs, cosine_after_warmup
        self.warmup_lr, self.min_lr = warmup_lr, min_lr
        super().__init__(optimizer, 'lr', horizon)

    def value(self, step: int, group: dict, base: float) -> float:
        """See :class:`StepSchedule`."""
        # As in WarmupCosine, layer decay scales the whole curve.
        scale = group.get('lr_scale', 1.0)
        unscaled = cosine_by_epoch_value(
            step / self.horizon.steps_per_epoch,
            base / scale,
            self.min_lr,
            self.warmup_lr,
            self.warmup_epochs,
            self.horizon.epochs,
            self.cosine_after_warmup,
        )
        return unscaled * scale


@PARAM_SCHEDULERS.register_module()
class LinearWarmupCosine(StepSchedule):
    """Learning-rate schedule of the published multi-modality training.

    Args:
        optimizer, horizon: See :class:`StepSchedule`.
        warmup_epochs: Length of the warm-up; may be a fraction of a step.
        min_lr_factor: Smallest factor.
    """

    def __init__(
        self,
        optimizer: Any,
        horizon: Horizon,
        warmup_epochs: float = 0,
        min_lr_factor: float = 0.01,
    ) -> None:
        self.warmup = warmup_epochs * horizon.steps_per_epoch
        if self.warmup >= horizon.steps:
            raise ValueError(
                f'LinearWarmupCosine: warm-up of {self.warmup:g} steps (warmup_epochs='
                f'{warmup_epochs:g}) in a run of {horizon.steps} (max_epochs={horizon.epochs:g})'
            )
        self.min_lr_factor = min_lr_factor
        super().__init__(optimizer, 'lr', horizon)

    def value(self, step: int, group: dict, base: float) -> float:
        """See :class:`StepSchedule`."""
        return base * linear_warmup_cosine_factor(
            step, self.warmup, self.horizon.steps, self.min_lr_factor
        )


@PARAM_SCHEDULERS.register_module()
class CosineWeightDecay(StepSchedule):
    """Weight decay from its configured value to ``end_value`` along half a cosine.

    Groups without weight decay keep none.
    """

    def __init__(self, optimizer: Any, horizon: Horizon, end_value: float) -> None:
        self.end_value = end_value
        super().__init__(optimizer, 'weight_decay', horizon)

    def value(self, step: int, group: dict, base: float) -> float:
        """See :class:`StepSchedule`."""
        if base == 0:  # norms and biases: the schedule must not give them the end value
            return 0.0
        return warmup_cosine_value(step, base, self.end_value, base, 0, self.horizon.steps)
