"""The record that accompanies one video through pipeline, model and metric."""

from collections.abc import Sequence

import numpy as np
import torch
from mmengine.structures import BaseDataElement
from torch import Tensor

ArrayLike = Sequence | np.ndarray | Tensor
# (numbers of a place, axes) -> shape, for messages.
SHAPES = {(4, 3): '(V, N, 4)', (4, 4): '(V, T, N, 4)', (2, 3): '(V, M, 2)'}


class VideoDataSample(BaseDataElement):
    """Annotations and predictions of one video.

    Meta information (``sample.path`` and so on): ``path``, the full path as the data set resolved
    it, which is the identity of a sample; ``sample_index``, its row in the annotation list;
    ``unreadable``, the reason why a test video could not be decoded, absent otherwise.

    Data fields: ``gt_label`` (long, shape ``()``), ``gt_score`` (K,) soft target, ``pred_score``
    (K,) probabilities averaged over views, ``pred_label`` (long, shape ``()``).  Where things are,
    in each of V views of T frames: ``gt_boxes`` (V, N, 4), or (V, T, N, 4) if they move, and
    ``gt_segments`` (V, M, 2), see :meth:`set_gt_boxes` and :meth:`set_gt_segments`; ``boxes``,
    given ones, as ``gt_boxes``.  Other tasks add fields of their own through ``set_field``.
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

    def set_gt_boxes(
        self,
        boxes: ArrayLike,
        labels: ArrayLike | None = None,
        ids: ArrayLike | None = None,
    ) -> 'VideoDataSample':
        """Set the boxes of N objects.

        Sets ``gt_boxes`` float32, ``gt_boxes_valid`` bool (V, N) or (V, T, N), ``gt_box_labels``
        and ``gt_box_ids``.

        Args:
            boxes: (V, N, 4), or (V, T, N, 4) for boxes of every frame: left, top, right, bottom in
                pixels of the clip.  NaN where an object is not there; these become zeros, and not
                valid.
            labels: long (N,), or (N, K) for several classes of an object.
            ids: long (N,), of an object over several clips.

        Raises:
            ValueError: another shape, or other numbers of objects.
        """
        self._set_places('gt_boxes', boxes, 4, (3, 4))
        self._set_per_object('gt_box_labels', labels, self.gt_boxes.shape[-2])
        self._set_per_object('gt_box_ids', ids, self.gt_boxes.shape[-2])
        return self

    def set_boxes(self, boxes: ArrayLike) -> 'VideoDataSample':
        """Set given boxes, ``boxes`` and ``boxes_valid``, as :meth:`set_gt_boxes` does."""
        self._set_places('boxes', boxes, 4, (3, 4))
        return self

    def set_gt_segments(
        self, segments: ArrayLike, labels: ArrayLike | None = None
    ) -> 'VideoDataSample':
        """Set the time of M actions.

        Sets ``gt_segments`` float32, ``gt_segments_valid`` bool (V, M) and ``gt_segment_labels``.

        Args:
            segments: (V, M, 2), start and end in frames of the clip, 0 to T.  NaN for actions
                outside of it; these become zeros, and not valid.
            labels: long (M,), or (M, K).

        Raises:
            ValueError: another shape, or other numbers of actions.
        """
        self._set_places('gt_segments', segments, 2, (3,))
        self._set_per_object('gt_segment_labels', labels, self.gt_segments.shape[-2])
        return self

    def _set_places(self, name: str, places: ArrayLike, sides: int, dims: Sequence[int]) -> None:
        places = torch.as_tensor(places, dtype=torch.float32)
        if places.ndim not in dims or places.shape[-1] != sides:
            raise ValueError(
                f'{name} must be {" or ".join(SHAPES[sides, dim] for dim in dims)}, '
                f'got {tuple(places.shape)}'
            )
        # Zeros and a mask, since in a loss NaN times a weight of 0 is still NaN.
        self.set_field(places.nan_to_num(0.0), name)
        self.set_field(~places.isnan().any(-1), f'{name}_valid')

    def _set_per_object(self, name: str, values: ArrayLike | None, count: int) -> None:
        if values is None:
            return
        values = torch.as_tensor(values, dtype=torch.long)
        if len(values) != count:
            raise ValueError(f'{len(values)} {name} for {count} of them')
        self.set_field(values, name)

    @property
    def is_unreadable(self) -> bool:
        """Whether the media behind this sample could not be decoded."""
        return self.get('unreadable') is not None
