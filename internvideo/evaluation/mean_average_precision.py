"""Mean average precision of video classification."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from internvideo.registry import METRICS

from .class_scores import class_record, score_matrix
from .gathered_metric import GatheredMetric, Record


@METRICS.register_module()
class MeanAveragePrecision(GatheredMetric):
    """Mean over classes of the non-interpolated average precision, in percent.

    The figure reported for ActivityNet and HACS beside top-1.  Classes without a true video do
    not enter (``num_classes`` says how many did).  A video that could not be read scores zero for
    every class, so it ranks last among those of its class.
    """

    default_prefix = 'map'
    names = ('mAP', 'num_classes', 'num_videos', 'unreadable')

    def record(self, sample: Mapping[str, Any]) -> Record:
        """Path, label and scores of one video."""
        return class_record(sample)

    def compute_metrics(self, results: list[Record]) -> dict[str, float]:
        """Mean average precision over the classes that occur."""
        from sklearn.metrics import average_precision_score

        readable = np.array([record['unreadable'] is None for record in results], dtype=bool)
        given = score_matrix([record for record in results if record['unreadable'] is None])
        labels = np.array([record['gt_label'] for record in results])
        # Wide enough for the labels where no video was readable and there are no scores.
        scores = np.zeros((len(results), max(given.shape[1], labels.max(initial=-1) + 1)))
        if readable.any():
            scores[readable, : given.shape[1]] = given
        classes = np.unique(labels)
        precision = [average_precision_score(labels == k, scores[:, k]) for k in classes]
        return dict(
            mAP=100.0 * float(np.mean(precision)) if precision else 0.0,
            num_classes=len(classes),
            num_videos=len(results),
            unreadable=int((~readable).sum()),
        )
