"""Validation and test loops, in the precision that the config names."""

from typing import Any

import torch
from mmengine.device import get_device
from mmengine.runner import TestLoop as MMEngineTestLoop
from mmengine.runner import ValLoop as MMEngineValLoop

from internvideo.registry import LOOPS


def evaluation_autocast(dtype: str | None) -> torch.autocast:
    """Autocast to ``bfloat16`` or ``float16`` on this process's device; None switches it off.

    Raises:
        ValueError: another dtype, or float16 without a GPU.
    """
    device = torch.device(get_device()).type
    if dtype is None:
        return torch.autocast(device, enabled=False)
    if dtype not in ('bfloat16', 'float16') or (dtype == 'float16' and device == 'cpu'):
        raise ValueError(f'amp_dtype={dtype!r} is not possible on {device}; use bfloat16 or None')
    return torch.autocast(device, dtype=getattr(torch, dtype))


@LOOPS.register_module()
class ValLoop(MMEngineValLoop):
    """mmengine's validation with ``amp_dtype`` (None: float32) in place of its fp16 switch."""

    def __init__(
        self, runner: Any, dataloader: Any, evaluator: Any, amp_dtype: str | None = None
    ) -> None:
        super().__init__(runner, dataloader, evaluator)
        self.autocast = evaluation_autocast(amp_dtype)

    @torch.no_grad()
    def run_iter(self, idx: int, data_batch: Any) -> None:
        """Predict one batch and hand it to the evaluator."""
        self.runner.call_hook('before_val_iter', batch_idx=idx, data_batch=data_batch)
        with self.autocast:
            outputs = self.runner.model.val_step(data_batch)
        self.evaluator.process(data_samples=outputs, data_batch=data_batch)
        self.runner.call_hook(
            'after_val_iter', batch_idx=idx, data_batch=data_batch, outputs=outputs
        )


@LOOPS.register_module()
class TestLoop(MMEngineTestLoop):
    """mmengine's test with ``amp_dtype`` (None: float32) in place of its fp16 switch."""

    __test__ = False  # not a test case, whatever its name

    def __init__(
        self, runner: Any, dataloader: Any, evaluator: Any, amp_dtype: str | None = None
    ) -> None:
        super().__init__(runner, dataloader, evaluator)
        self.autocast = evaluation_autocast(amp_dtype)

    @torch.no_grad()
    def run_iter(self, idx: int, data_batch: Any) -> None:
        """Predict one batch and hand it to the evaluator."""
        self.runner.call_hook('before_test_iter', batch_idx=idx, data_batch=data_batch)
        with self.autocast:
            outputs = self.runner.model.test_step(data_batch)
        self.evaluator.process(data_samples=outputs, data_batch=data_batch)
        self.runner.call_hook(
            'after_test_iter', batch_idx=idx, data_batch=data_batch, outputs=outputs
        )
