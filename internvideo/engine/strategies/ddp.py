"""Distributed data parallel training, with a whole copy of the model on each process."""

from typing import Any

import torch
from mmengine.model import MMDistributedDataParallel
from torch import nn

from internvideo.engine.strategies.strategy import Strategy
from internvideo.registry import STRATEGIES


@STRATEGIES.register_module()
class DDP(Strategy):
    """``torch.nn.parallel.DistributedDataParallel`` on GPUs (nccl) or CPUs (gloo).

    Args:
        find_unused_parameters: Look for parameters without gradient in every step (slow).
        broadcast_buffers: Send rank 0's buffers to the others before every forward.
        **options: Anything else that DistributedDataParallel takes.
    """

    def __init__(
        self,
        find_unused_parameters: bool = False,
        broadcast_buffers: bool = False,
        **options: Any,
    ) -> None:
        self.options = dict(
            find_unused_parameters=find_unused_parameters,
            broadcast_buffers=broadcast_buffers,
            **options,
        )

    def wrap_model(self, model: nn.Module) -> nn.Module:
        if not torch.distributed.is_initialized():
            raise ValueError('strategy DDP needs a process group; start with --launcher')
        model = super().wrap_model(model)
        if not any(parameter.requires_grad for parameter in model.parameters()):
            return model  # nothing to average; torch refuses to wrap
        return MMDistributedDataParallel(
            module=model, device_ids=self._device_ids(), **self.options
        )

    def _device_ids(self) -> list[int] | None:
        # torch refuses device ids for a module on the CPU.
        return [torch.cuda.current_device()] if torch.cuda.is_available() else None

    def unwrap(self, model: nn.Module) -> nn.Module:
        return model.module if isinstance(model, MMDistributedDataParallel) else model
