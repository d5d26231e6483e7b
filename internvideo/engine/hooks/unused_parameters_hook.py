"""Report of trainable parameters that get no gradient."""

from typing import Any

from mmengine.hooks import Hook
from torch import Tensor

from internvideo.registry import HOOKS


@HOOKS.register_module()
class UnusedParametersHook(Hook):
    """Reports trainable parameters without gradient after the first backward pass.

    Such a parameter is a fault of the model or should be frozen; DDP stops at the second step
    because of it unless ``strategy.find_unused_parameters`` is set.  Strategies that keep
    parameters in shards, where gradients arrive elsewhere, are not judged.
    """

    def __init__(self) -> None:
        self._handles: list[Any] | None = None
        self._used: set[str] = set()

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        """Listen for gradients in the first iteration."""
        if self._handles is None:
            self._handles = [
                parameter.register_post_accumulate_grad_hook(self._listener(name))
                for name, parameter in self._trainable(runner)
            ]

    def after_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        """Report the parameters without gradient."""
        if not self._handles:
            return
        for handle in self._handles:
            handle.remove()
        self._handles = []
        unused = [name for name, _ in self._trainable(runner) if name not in self._used]
        if unused and self._used:  # none at all: the strategy keeps gradients elsewhere
            runner.logger.warning(
                f'{len(unused)} trainable parameters got no gradient: {", ".join(unused)}; '
                'freeze them, or set strategy.find_unused_parameters=True for DDP'
            )

    def _trainable(self, runner: Any) -> list[tuple[str, Tensor]]:
        model = runner.strategy.unwrap(runner.model)
        return [(name, p) for name, p in model.named_parameters() if p.requires_grad]

    def _listener(self, name: str) -> Any:
        return lambda _: self._used.add(name)
