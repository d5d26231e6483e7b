"""Optimiser wrappers: accumulation, clipping, mixed precision, and a guard before every step."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.device import get_device
from mmengine.dist import all_reduce, get_world_size
from mmengine.optim import OptimWrapper as MMEngineOptimWrapper
from torch import Tensor, nn

from internvideo.registry import OPTIM_WRAPPERS


class NonFiniteError(RuntimeError):
    """Loss or gradient that is not finite, on which the optimiser has not stepped."""


@OPTIM_WRAPPERS.register_module()
class OptimWrapper(MMEngineOptimWrapper):
    """An optimiser step that a non-finite loss or gradient norm never reaches.

    Args:
        optimizer: The torch optimiser.
        accumulative_counts: Batches whose mean gradient makes one step.
        clip_grad: Arguments of ``torch.nn.utils.clip_grad_norm_`` (``dict(max_norm=1.0)``); the
            norm is logged as ``grad_norm``.
        max_nonfinite: Stop after this many non-finite steps in a row; each of them is skipped on
            all processes.

    After such a step ``fault_here`` says whether this process's own loss was at fault.

    Raises:
        NonFiniteError: from :meth:`update_params`, see ``max_nonfinite``.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        accumulative_counts: int = 1,
        clip_grad: dict | None = None,
        max_nonfinite: int = 1,
    ) -> None:
        clip_grad = None if clip_grad is None else dict(clip_grad)  # the parent pops from it
        super().__init__(optimizer, accumulative_counts, clip_grad)
        self.max_nonfinite = max_nonfinite
        self.nonfinite_in_a_row = 0
        self.fault_here = False
        self._fault: Tensor | None = None
        self._grad_norm: Tensor | None = None

    @property
    def accumulative_counts(self) -> int:
        """Batches per optimiser step."""
        return self._accumulative_counts

    def update_params(
        self, loss: Tensor, step_kwargs: dict | None = None, zero_kwargs: dict | None = None
    ) -> None:
        """Backward, and on the last batch of an accumulation one guarded step."""
        # Kept on the device: asking now would wait for the forward pass of every batch.
        fault = ~torch.isfinite(loss.detach())
        self._fault = fault if self._fault is None else self._fault | fault
        self.backward(self.scale_loss(loss))
        if self.should_update():
            self.step(**(step_kwargs or {}))
            self.zero_grad(**(zero_kwargs or {}))

    def step(self, **kwargs: Any) -> None:
        """Clip and step, unless something is not finite."""
        self._clip_if_asked()
        if self._is_finite():
            self._step(**kwargs)
        self._log_grad_norm()

    def _step(self, **kwargs: Any) -> None:
        self.optimizer.step(**kwargs)

    def _clip_if_asked(self) -> None:
        if not self.clip_grad_kwargs:
            return
        parameters = [p for group in self.optimizer.param_groups for p in group['params']]
        norm = self.clip_func(parameters, **self.clip_grad_kwargs)
        # Under FSDP the norm is that of the shards until it is gathered.
        self._grad_norm = norm.full_tensor() if hasattr(norm, 'full_tensor') else norm

    def _fault_flag(self) -> Tensor:
        flag = torch.zeros((), dtype=torch.bool) if self._fault is None else self._fault
        if self._grad_norm is not None:
            flag = flag | ~torch.isfinite(self._grad_norm)
        return flag

    def _is_finite(self) -> bool:
        flag = self._fault_flag().float()
        if get_world_size() > 1:
            all_reduce(flag, op='max')  # one rank's NaN is in every rank's averaged gradient
        own, self._fault = self._fault, None
        if not flag.item():
            self.nonfinite_in_a_row = 0
            return True
        self.fault_here = own is not None and bool(own)
        self.nonfinite_in_a_row += 1
        if self.nonfinite_in_a_row >= self.max_nonfinite:
            times = f' {self.max_nonfinite} times in a row' if self.max_nonfinite > 1 else ''
            raise NonFiniteError(f'loss or gradient is not finite{times}; the step was not taken')
        return False

    def _log_grad_norm(self) -> None:
        if self._grad_norm is not None:
            self.message_hub.update_scalar('train/grad_norm', float(self._grad_norm))
        self._grad_norm = None


@OPTIM_WRAPPERS.register_module()
class AmpOptimWrapper(OptimWrapper):
    """Mixed precision on CPU and GPU.

    Args:
        dtype: ``bfloat16`` anywhere, ``float16`` (with loss scaling) on a GPU.
        loss_scale: For float16: ``dynamic``, a fixed number, or the arguments of
            ``torch.amp.GradScaler``.
        **kwargs: See :class:`OptimWrapper`.

    Raises:
        ValueError: another dtype, or float16 without a GPU.
    """

    def __init__(
        self, dtype: str = 'bfloat16', loss_scale: str | float | dict = 'dynamic', **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if dtype not in ('bfloat16', 'float16'):
            raise ValueError(f'AmpOptimWrapper: dtype must be bfloat16 or float16, got {dtype!r}')
        self.device_type = torch.device(get_device()).type
        if dtype == 'float16' and self.device_type == 'cpu':
            raise ValueError(
                'AmpOptimWrapper: float16 needs a GPU; on a CPU set dtype="bfloat16" '
                '(--cfg-options optim_wrapper.dtype=bfloat16)'
            )
        self.dtype = getattr(torch, dtype)
        self.scaler = self._build_scaler(loss_scale) if dtype == 'float16' else None

    def _build_scaler(self, loss_scale: str | float | dict) -> torch.amp.GradScaler:
        if loss_scale == 'dynamic':
            return torch.amp.GradScaler(self.device_type)
        if isinstance(loss_scale, dict):
            return torch.amp.GradScaler(self.device_type, **loss_scale)
        # A growth interval that is never reached keeps the scale where it is.
        return torch.amp.GradScaler(
            self.device_type, init_scale=float(loss_scale), growth_interval=2**31 - 1
        )

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Autocast the forward pass and exchange no gradients before the last batch."""
        with super().optim_context(model), torch.autocast(self.device_type, dtype=self.dtype):
            yield

    def backward(self, loss: Tensor, **kwargs: Any) -> None:
        """Backward of the scaled loss."""
        super().backward(loss if self.scaler is None else self.scaler.scale(loss), **kwargs)

    def _clip_if_asked(self) -> None:
        # Clipping the scaled gradient would clip by another norm.
        if self.scaler is not None and self.clip_grad_kwargs:
            self.scaler.unscale_(self.optimizer)
        super()._clip_if_asked()

    def _fault_flag(self) -> Tensor:
        if self.scaler is None or self._fault is None:
            return super()._fault_flag()
        return self._fault  # the scaler itself answers an overflow of the gradient

    def _step(self, **kwargs: Any) -> None:
        if self.scaler is None:
            self.optimizer.step(**kwargs)
        else:
            self.scaler.step(self.optimizer, **kwargs)
            self.scaler.update()

    def state_dict(self) -> dict:
        """The optimiser's state, and the loss scaler's when there is one."""
        state = super().state_dict()
        if self.scaler is not None:
            state['loss_scaler'] = self.scaler.state_dict()
        return state

    def load_state_dict(self, state_dict: dict) -> None:
        """Load what :meth:`state_dict` returned, with or without a scaler."""
        state_dict = dict(state_dict)
        scaler_state = state_dict.pop('loss_scaler', None)
        if self.scaler is not None and scaler_state:
            self.scaler.load_state_dict(scaler_state)
        super().load_state_dict(state_dict)
