"""Equal running statistics of BatchNorm on all processes."""

from typing import Any

import torch
import torch.distributed as dist
from mmengine.dist import get_world_size
from mmengine.hooks import Hook
from torch import Tensor, nn

from internvideo.registry import HOOKS


@HOOKS.register_module()
class BatchNormHook(Hook):
    """Averages the running statistics of BatchNorm over the processes after each step.

    Each process normalises by the statistics of its own batch, so the running ones drift apart:
    an evaluation on several processes would mix several models, and a checkpoint would hold the
    statistics of rank 0 alone.  Averaged in every step, not before a checkpoint, they do not
    depend on when checkpoints are written.  SyncBatchNorm, whose statistics are common ones, and
    models without BatchNorm cost nothing.
    """

    priority = 'HIGH'

    def __init__(self) -> None:
        self._statistics: list[Tensor] = []

    def before_train(self, runner: Any) -> None:
        """Find the statistics."""
        model = runner.strategy.unwrap(runner.model)
        self._statistics = running_statistics(model) if get_world_size() > 1 else []

    @torch.no_grad()
    def after_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        """Average the statistics, in one message."""
        if self._statistics:
            average(self._statistics)


def running_statistics(model: nn.Module) -> list[Tensor]:
    """Running means and variances of BatchNorm in ``model`` that its processes keep apart."""
    kinds = nn.modules.batchnorm._BatchNorm
    layers = [
        module
        for module in model.modules()
        if isinstance(module, kinds) and not isinstance(module, nn.SyncBatchNorm)
    ]
    found = [buffer for layer in layers for buffer in (layer.running_mean, layer.running_var)]
    return [buffer for buffer in found if buffer is not None]


@torch.no_grad()
def average(tensors: list[Tensor]) -> None:
    """Replace tensors, in place, by their mean over all processes."""
    flat = torch.cat([tensor.flatten().float() for tensor in tensors])
    dist.all_reduce(flat)
    flat /= get_world_size()
    for tensor, mean in zip(tensors, flat.split([t.numel() for t in tensors]), strict=True):
        tensor.copy_(mean.view_as(tensor))
