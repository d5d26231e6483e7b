"""Class scores of videos: records and ranks."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from .gathered_metric import Record


def class_record(sample: Mapping[str, Any]) -> Record:
    """Path, label and scores (None if unreadable) of a data sample given as a dict.

    Raises :class:`ValueError` naming the video when a field is missing or the label is out of
    range.
    """
    path = sample.get('path')
    if sample.get('sample_index') is None:
        raise ValueError(f'{path}: the data sample has no sample_index')
    if sample.get('gt_label') is None:
        raise ValueError(f'{path}: the data sample has no gt_label to compare with')
    label, reason, scores = int(sample['gt_label']), sample.get('unreadable'), None
    if reason is None:
        if sample.get('pred_score') is None:
            raise ValueError(f'{path}: the model set no pred_score')
        # NumPy has no bfloat16, in which models may score.
        scores = np.array(torch.as_tensor(sample['pred_score']).detach().float().cpu())
        if not 0 <= label < len(scores):
            raise ValueError(f'{path}: label {label} is outside the {len(scores)} classes')
    return dict(
        sample_index=int(sample['sample_index']),
        path=str(path),
        gt_label=label,
        pred_score=scores,
        unreadable=reason,
    )


def score_matrix(records: Sequence[Record]) -> np.ndarray:
    """Stack the scores of readable records to (N, K), or raise ValueError where K differs."""
    sizes = {len(record['pred_score']) for record in records}
    if len(sizes) > 1:
        raise ValueError(f'videos were scored over different numbers of classes: {sorted(sizes)}')
    return np.stack([record['pred_score'] for record in records]) if records else np.zeros((0, 0))


def label_ranks(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Rank (N,) of each true class in its row of ``scores`` (N, K), 0 for the best.

    Of equal scores the lower class index comes first, as in ``argmax``.  A score that is not a
    number never helps: the true class then ranks behind.
    """
    own = np.take_along_axis(scores, labels[:, None], axis=1)
    classes = np.arange(scores.shape[1])
    behind = (scores < own) | ((scores == own) & (classes > labels[:, None]))
    return (~behind).sum(axis=1) - 1
