"""Top-k and mean-class accuracy of video classification."""

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.logging import print_log

from internvideo.fileio.atomic import atomic_write
from internvideo.registry import METRICS

from .class_scores import class_record, label_ranks, score_matrix
from .config_checks import best_of_classes
from .gathered_metric import GatheredMetric, Record

UNREADABLE_FILE = 'unreadable_test_videos.jsonl'


def _prediction(record: Record, classes: Sequence[str]) -> dict[str, Any]:
    scores = record['pred_score']
    names = dict(enumerate(classes))
    guess = None if scores is None else int(scores.argmax())
    return dict(
        path=record['path'],
        sample_index=record['sample_index'],
        gt_label=record['gt_label'],
        gt_name=names.get(record['gt_label']),
        pred_label=guess,
        pred_name=names.get(guess),
        # Six digits, about what float32 holds; as doubles they would fill the file with noise.
        pred_score=None if scores is None else [float(f'{score:.6g}') for score in scores],
        unreadable=record['unreadable'],
    )


@METRICS.register_module()
class AccuracyMetric(GatheredMetric):
    """Accuracy in percent over videos, whose views the model has averaged.

    Reports ``top{k}``, ``mean_class`` (mean over classes of the top-1 of each), ``num_videos``,
    ``unreadable`` and ``top1_readable``.  A video that could not be read counts as wrong in every
    metric but ``top1_readable``, and is listed with the reason in
    ``<output_dir>/unreadable_test_videos.jsonl``, which describes the latest evaluation.

    Args:
        topk: the k to report; ``top1`` is always there.
        dump: JSON file for the predictions of all videos: a list of ``path``, ``sample_index``,
            ``gt_label``, ``gt_name``, ``pred_label``, ``pred_name``, ``pred_score`` and
            ``unreadable``, null where there is none.
        output_dir: folder for the list of unreadable videos; the runner sets it.
        prefix: put before the names (``acc/top1``).
    """

    default_prefix = 'acc'

    def __init__(
        self,
        topk: Sequence[int] = (1, 5),
        dump: str | None = None,
        output_dir: str | None = None,
        prefix: str | None = None,
    ) -> None:
        super().__init__(output_dir=output_dir, prefix=prefix)
        if any(k < 1 for k in topk):
            raise ValueError(f'topk must hold positive numbers, got {tuple(topk)}')
        self.topk = sorted({1, *topk})
        self.dump = dump

    # What the class tells a rehearsal, see docs/rehearsal.md.
    check_config = staticmethod(best_of_classes)

    @property
    def names(self) -> tuple[str, ...]:
        """See :class:`GatheredMetric`."""
        others = ('mean_class', 'top1_readable', 'num_videos', 'unreadable')
        return (*(f'top{k}' for k in self.topk), *others)

    def record(self, sample: Mapping[str, Any]) -> Record:
        """Path, label and scores of one video."""
        return class_record(sample)

    def compute_metrics(self, results: list[Record]) -> dict[str, float]:
        """Compute the metrics of all videos and write the files."""
        readable = [record for record in results if record['unreadable'] is None]
        lost = [record for record in results if record['unreadable'] is not None]
        report_unreadable(lost, self.output_dir)
        if self.dump:
            classes = (self.dataset_meta or {}).get('classes', ())
            rows = [_prediction(record, classes) for record in results]
            atomic_write(self.dump, json.dumps(rows))
        return self._metrics_of(results, readable)

    def _metrics_of(self, results: list[Record], readable: list[Record]) -> dict[str, float]:
        readable_labels = np.array([record['gt_label'] for record in readable], dtype=np.int64)
        # Videos that could not be read keep a rank that no k reaches.
        ranks = np.full(len(results), np.iinfo(np.int64).max)
        seen = np.array([record['unreadable'] is None for record in results], dtype=bool)
        if readable:
            ranks[seen] = label_ranks(score_matrix(readable), readable_labels)
        labels = np.array([record['gt_label'] for record in results])
        by_class = [np.mean(ranks[labels == label] < 1) for label in np.unique(labels)]
        metrics = {f'top{k}': percent(ranks < k) for k in self.topk}
        metrics['mean_class'] = percent(by_class)
        metrics['top1_readable'] = percent(ranks[seen] < 1)
        metrics['num_videos'] = len(results)
        metrics['unreadable'] = int((~seen).sum())
        return metrics


def report_unreadable(records: Sequence[Record], output_dir: str | Path | None) -> None:
    """List unreadable videos with path and reason in ``UNREADABLE_FILE`` and warn once.

    Without any, a list that an earlier evaluation left is removed.
    """
    path = Path(output_dir) / UNREADABLE_FILE if output_dir else None
    if not records:
        if path:
            path.unlink(missing_ok=True)
        return
    # By path: several questions may be about one video.
    reasons = {record['path']: record['unreadable'] for record in records}
    lines = [json.dumps({'path': name, 'reason': reason}) for name, reason in reasons.items()]
    if path:
        atomic_write(path, '\n'.join(lines) + '\n')
    where = f'listed in {path}' if path else f'first: {lines[0]}'
    print_log(
        f'{len(lines)} videos could not be read and count as wrong; {where}',
        logger='current',
        level=logging.WARNING,
    )


def percent(values: Sequence[float] | np.ndarray) -> float:
    """Mean of shares in percent, 0 for none."""
    return 100.0 * float(np.mean(values)) if len(values) else 0.0
