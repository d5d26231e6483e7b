"""The record that accompanies one video through pipeline, model and metric."""

from collections.abc import Sequence

import torch
from mmengine.structures import BaseDataElement
from torch import Tensor


class VideoDataSample(BaseDataElement):
    """Annotations and predictions of one video.

    Meta information (``sample.path`` and so on): ``path``, the full path as the data set resolved
    it, which is the identity of a sample; ``sample_index``, its row in the annotation list;
    ``unreadable``, the reason why a test video could not be decoded, absent otherwise.

    Data fields: ``gt_label`` (long, shape ``()``), ``gt_score`` (K,) soft target, ``pred_score``
    (K,) probabilities averaged over views, ``pred_label`` (long, shape ``()``).  Tasks beyond
    recognition add fields of their own through ``set_field``.
    """

    def set_gt_label(self, label: int | Tensor) -> 'VideoDataSample':
        """Set the class index."""
        label = torch.as_tensor(label, dtype=torch.long)
        if label.ndim:
            raise ValueError(f'gt_label must be a single index, got shape {tuple(label.shape)}')
        self.gt_label = label
        return self

    def set_gt_score(self, score: Sequence[float] | Tensor) -> 'VideoDataSample':
        """Set the soft target (K,), for instance after mixing."""
        self.gt_score = torch.as_tensor(score, dtype=torch.float32)
        return self

    def set_pred_score(self, score: Tensor) -> 'VideoDataSample':
        """Set class probabilities (K,) and the label they imply."""
        if score.ndim != 1:
            raise ValueError(
                f'pred_score must have one axis (classes), got shape {tuple(score.shape)}'
            )
        self.pred_score = score
        self.pred_label = score.argmax()
        return self

    @property
    def is_unreadable(self) -> bool:
        """Whether the media behind this sample could not be decoded."""
        return self.get('unreadable') is not None
