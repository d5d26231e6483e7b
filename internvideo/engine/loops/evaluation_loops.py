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


class _EvaluationLoop:
    """Runs one stage with what the strategy evaluates in the place of a model in shards."""

    stage: str
    model: Any = None

    def run(self) -> dict[str, float]:
        """Evaluate the whole data set; returns the figures."""
        call = self.runner.call_hook
        call(f'before_{self.stage}')
        call(f'before_{self.stage}_epoch')
        self.runner.model.eval()
        # after the hooks, which may exchange weights
        with self.runner.strategy.evaluated(self.runner.model) as self.model:
            for index, data_batch in enumerate(self.dataloader):
                self.run_iter(index, data_batch)
        metrics = self.evaluator.evaluate(len(self.dataloader.dataset))
        call(f'after_{self.stage}_epoch', metrics=metrics)
        call(f'after_{self.stage}')
        return metrics


@LOOPS.register_module()
class ValLoop(_EvaluationLoop, MMEngineValLoop):
    """mmengine's validation with ``amp_dtype`` (None: float32) in place of its fp16 switch."""

    stage = 'val'

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
            outputs = self.model.val_step(data_batch)
        self.evaluator.process(data_samples=outputs, data_batch=data_batch)
        self.runner.call_hook(
            'after_val_iter', batch_idx=idx, data_batch=data_batch, outputs=outputs
        )


@LOOPS.register_module()
class TestLoop(_EvaluationLoop, MMEngineTestLoop):
    """mmengine's test with ``amp_dtype`` (None: float32) in place of its fp16 switch."""

    stage = 'test'
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
            outputs = self.model.test_step(data_batch)
        self.evaluator.process(data_samples=outputs, data_batch=data_batch)
        self.runner.call_hook(
            'after_test_iter', batch_idx=idx, data_batch=data_batch, outputs=outputs
        )
