"""Validation and test loops, in the precision that the config names."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from mmengine.device import get_device
from mmengine.dist import is_main_process
from mmengine.evaluator import Evaluator
from mmengine.runner import TestLoop as MMEngineTestLoop
from mmengine.runner import ValLoop as MMEngineValLoop

from internvideo.engine.inference.set_encoder import Kept, SetEncoder, own_batches
from internvideo.evaluation.reported_names import names_of
from internvideo.evaluation.set_metric import SetMetric
from internvideo.evaluation.set_reports import report_text, reports_by_set, write_reports
from internvideo.registry import LOOPS
from internvideo.structures.encoded_sets import SetReport


def evaluation_autocast(dtype: str | None) -> torch.autocast:
    """Autocast to ``bfloat16`` or ``float16`` on this process's device, or not at all for None.

    Raises:
        ValueError: another dtype, or float16 without a GPU.
    """
    device = torch.device(get_device()).type
    if dtype is None:
        return torch.autocast(device, enabled=False)
    if dtype not in ('bfloat16', 'float16') or (dtype == 'float16' and device == 'cpu'):
        raise ValueError(f'amp_dtype={dtype!r} is not possible on {device}; use bfloat16 or None')
    return torch.autocast(device, dtype=getattr(torch, dtype))


def checked_evaluator(evaluator: Any, stage: str) -> Any:
    """Return ``evaluator``, or raise ValueError if it is neither one nor a config of metrics."""
    if isinstance(evaluator, Mapping | list | tuple | Evaluator):
        return evaluator
    raise ValueError(
        f"{stage}_evaluator must be a metric, such as dict(type='AccuracyMetric'), or a list of "
        f'metrics, not {evaluator!r}'
    )


class _EvaluationLoop:
    """Runs one stage with what the strategy evaluates in the place of a model in shards.

    A data set is evaluated batch by batch, by metrics of data samples.  Evaluation sets, which the
    data set hands out as ``sets``, are each encoded once and handed to metrics whole
    (:class:`SetMetric`); their reports go into the log and, as JSON, into ``evaluation.json`` of
    the work folder.
    """

    stage: str
    model: Any = None

    def _set_up(self, amp_dtype: str | None) -> None:
        self.amp_dtype, self.autocast = amp_dtype, evaluation_autocast(amp_dtype)
        self.reports: list[SetReport] = []
        self._batches_done, self._precision = 0, 'float32'
        self._check_sets()

    @property
    def sets(self) -> list[Any]:
        """Evaluation sets of a data set, none for other data."""
        return list(getattr(self.dataloader.dataset, 'sets', ()))

    def reported_names(self) -> list[str] | None:
        """Names that the evaluator may report, or None when a metric does not say."""
        return names_of(self.evaluator.metrics, {part.name: part.task for part in self.sets})

    def run(self) -> dict[str, float]:
        """Evaluate the whole data set and return the metrics."""
        call = self.runner.call_hook
        call(f'before_{self.stage}')
        call(f'before_{self.stage}_epoch')
        self.runner.model.eval()
        # after the hooks, which may exchange weights
        with self.runner.strategy.evaluated(self.runner.model) as self.model:
            if self.sets:
                self._process_sets()
            else:
                for index, data_batch in enumerate(self.dataloader):
                    self.run_iter(index, data_batch)
        metrics = self.evaluator.evaluate(len(self.dataloader.dataset))
        self._publish()
        call(f'after_{self.stage}_epoch', metrics=metrics)
        call(f'after_{self.stage}')
        return metrics

    # --- evaluation sets ------------------------------------------------------------------------

    def _check_sets(self) -> None:
        """Raise ValueError unless every set has a metric, and every metric what it asks for."""
        metrics, field = self.evaluator.metrics, f'{self.stage}_evaluator'
        whole = [metric for metric in metrics if isinstance(metric, SetMetric)]
        if whole and not self.sets:
            raise ValueError(
                f'{self.stage}_dataloader must load EvaluationSets, whole, not '
                f'{type(self.dataloader.dataset).__name__}, since {type(whole[0]).__name__} scores '
                'sets: run more processes rather than --shard'
            )
        if not self.sets:
            return
        others = [type(metric).__name__ for metric in metrics if metric not in whole]
        if others:
            raise ValueError(
                f'{field} must be of metrics of evaluation sets, such as RetrievalMetric; '
                f'{others[0]} scores single samples'
            )
        for part in self.sets:
            mine = self._metrics_of(part)
            if not mine:
                raise ValueError(
                    f'{field} has no metric for the set {part.name} (task {part.task!r})'
                )
            if len({metric.prefix_of(part.name) for metric in mine}) < len(mine):
                raise ValueError(
                    f'{field}: {len(mine)} metrics report {part.name} under the same names; give '
                    'them a `label` each'
                )
        for metric in whole:
            metric.check_model(self.runner.strategy.unwrap(self.runner.model))

    def _metrics_of(self, part: Any) -> list[SetMetric]:
        return [each for each in self.evaluator.metrics if each.scores_set(part.name, part.task)]

    @torch.no_grad()
    def _process_sets(self) -> None:
        model = self.runner.strategy.unwrap(self.model)
        dtype = None if self.amp_dtype is None else getattr(torch, self.amp_dtype)
        weights = str(next(model.parameters()).dtype).removeprefix('torch.')
        self._precision = self.amp_dtype or weights
        encoder, self._batches_done = SetEncoder(model, self.autocast, dtype), 0
        for part in self.sets:
            metrics = self._metrics_of(part)
            kept = Kept(
                match=any(metric.uses_match for metric in metrics),
                tokens=any(metric.scorer.needs_tokens for metric in metrics),
            )
            batches = self._with_hooks(own_batches(part, self.dataloader))
            encoded = encoder.encode(part, batches, kept)
            self.evaluator.process(data_samples=[], data_batch=encoded)

    def _with_hooks(self, batches: Iterable[Any]) -> Iterator[Any]:
        """The batches, with the hooks called around what becomes of each."""
        call, stage = self.runner.call_hook, self.stage
        for batch in batches:
            index = self._batches_done
            call(f'before_{stage}_iter', batch_idx=index, data_batch=batch)
            yield batch
            call(f'after_{stage}_iter', batch_idx=index, data_batch=batch, outputs=None)
            self._batches_done += 1

    def _publish(self) -> None:
        if not self.sets:
            return
        reports = [report for metric in self.evaluator.metrics for report in metric.reports]
        self.reports = reports_by_set(reports, [part.name for part in self.sets])
        for report in self.reports:
            report.facts['precision'] = self._precision
            self.runner.logger.info(report_text(report))
        if is_main_process():
            write_reports(self.reports, self.runner.work_dir)


@LOOPS.register_module()
class ValLoop(_EvaluationLoop, MMEngineValLoop):
    """mmengine's validation with ``amp_dtype`` (None: float32) in place of its fp16 switch."""

    stage = 'val'

    def __init__(
        self, runner: Any, dataloader: Any, evaluator: Any, amp_dtype: str | None = None
    ) -> None:
        super().__init__(runner, dataloader, checked_evaluator(evaluator, self.stage))
        self._set_up(amp_dtype)

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
        super().__init__(runner, dataloader, checked_evaluator(evaluator, self.stage))
        self._set_up(amp_dtype)

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
