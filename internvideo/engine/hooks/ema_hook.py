"""Moving average of weights."""

from typing import Any

import torch
from mmengine.hooks import Hook
from torch import Tensor

from internvideo.registry import HOOKS


@HOOKS.register_module()
class EMAHook(Hook):
    """Keeps ``average = decay * average + (1 - decay) * weights`` after each optimiser step.

    Validation and testing use the average.  In a checkpoint ``state_dict`` holds the average,
    the weights to deploy, and ``train_state_dict`` those that training goes on from.  Buffers
    are not averaged.

    Args:
        decay: Share of the old average.
    """

    priority = 'NORMAL'

    def __init__(self, decay: float = 0.9999) -> None:
        if not 0 < decay < 1:
            raise ValueError(f'EMAHook: decay must lie between 0 and 1, got {decay}')
        self.decay = decay
        self.average: dict[str, Tensor] = {}
        self.swapped = False

    def _live(self, runner: Any) -> dict[str, Tensor]:
        return runner.strategy.owned_weights(runner.model)

    def before_train(self, runner: Any) -> None:
        """Start from the weights, unless a checkpoint brought an average."""
        if not self.average:
            self.average = {name: p.clone() for name, p in self._live(runner).items()}

    @torch.no_grad()
    def after_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        """Update after each optimiser step."""
        if runner.optim_wrapper.should_update():
            # One kernel for all weights, in float32: an average in bfloat16 with decay 0.9998
            # stands still, since its changes are below the resolution of that type.
            live = self._live(runner)
            torch._foreach_lerp_(
                list(self.average.values()), [live[n] for n in self.average], 1 - self.decay
            )

    def _swap(self, runner: Any) -> None:
        if not self.average:  # a plain test: the checkpoint's state_dict is the average already
            return
        runner.strategy.exchange_weights(runner.model, self.average)
        self.swapped = not self.swapped

    def before_val_epoch(self, runner: Any) -> None:
        """Put the average into the model."""
        self._swap(runner)

    def after_val_epoch(self, runner: Any, metrics: dict | None = None) -> None:
        """Put the training weights back."""
        self._swap(runner)

    def before_test_epoch(self, runner: Any) -> None:
        """Put the average into the model."""
        self._swap(runner)

    def after_test_epoch(self, runner: Any, metrics: dict | None = None) -> None:
        """Put the training weights back."""
        self._swap(runner)

    def before_save_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        """Save both sets of weights, whichever is in the model now."""
        model = checkpoint['state_dict']
        # Buffers are not averaged and are the same in both.
        other = {**model, **runner.strategy.gather_owned(runner.model, self.average)}
        averaged, trained = (model, other) if self.swapped else (other, model)
        checkpoint.update(state_dict=averaged, train_state_dict=trained)

    def after_load_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        """Take the average from a checkpoint that training resumes from."""
        # A file for testing, or one of a run without this hook, brings no average to go on from.
        if 'train_state_dict' in checkpoint and 'optimizer' in checkpoint:
            self.average = runner.strategy.take_owned(runner.model, checkpoint['state_dict'])
