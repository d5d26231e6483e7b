"""Boxes that follow the frames, and what becomes of those that leave the picture.

Boxes are (..., 4): left, top, right, bottom in pixels of the frames as they are at that place of a
pipeline.  Coordinates are continuous: pixel ``p`` covers ``p`` to ``p + 1``, so that the whole
picture is ``(0, 0, width, height)``.  A box of NaN says that the object is not there.
"""

# torchvision's kernels for boxes (transforms.v2) give the same numbers, which the tests check, but
# they cut boxes to the picture at every step, by when no one knows what share of an object is
# left, and importing them would cost every worker of every task a second or more.

from dataclasses import dataclass

import numpy as np

from internvideo.registry import TRANSFORMS

BOX_KEYS = ('gt_boxes', 'boxes')
"""Ground truth, and boxes given (of a detector)."""
OBJECT_KEYS = ('gt_box_labels', 'gt_box_ids')
"""One entry for each object of ``gt_boxes``."""


def move_boxes(
    sample: dict, scale: tuple[float, float] = (1, 1), shift: tuple[float, float] = (0, 0)
) -> None:
    """Let the boxes of a sample follow frames whose places became ``scale * place + shift``.

    Args:
        sample: gets new arrays under ``BOX_KEYS``, as far as it has them.
        scale, shift: of x and y; a negative scale mirrors.
    """
    for key in BOX_KEYS:
        if key in sample:
            sample[key] = moved(sample[key], scale, shift)


def moved(
    boxes: np.ndarray, scale: tuple[float, float] = (1, 1), shift: tuple[float, float] = (0, 0)
) -> np.ndarray:
    """Boxes (..., 4) whose corners became ``scale * corner + shift``."""
    corners = boxes.reshape(*boxes.shape[:-1], 2, 2) * scale + shift
    # Corners are sorted anew, since mirroring swaps left and right.
    return np.concatenate([corners.min(-2), corners.max(-2)], axis=-1)


def warp_boxes(sample: dict, matrix: tuple[float, ...]) -> None:
    """Let boxes follow frames that were sampled, at (x, y), from the place that ``matrix`` gives.

    Args:
        sample: gets new arrays under ``BOX_KEYS``: the bounds of the warped boxes.
        matrix: ``(a, b, c, d, e, f)``; the place is ``(a*x + b*y + c, d*x + e*y + f)``.
    """
    # The matrix says where a pixel of the result comes from; boxes go the other way.
    inverse = np.linalg.inv(np.array([*matrix, 0, 0, 1], np.float64).reshape(3, 3))[:2]
    for key in BOX_KEYS:
        if key in sample:
            left, top, right, bottom = np.moveaxis(sample[key], -1, 0)
            x, y = np.stack([left, right, left, right]), np.stack([top, top, bottom, bottom])
            x, y = (row[0] * x + row[1] * y + row[2] for row in inverse)
            sample[key] = np.stack([x.min(0), y.min(0), x.max(0), y.max(0)], axis=-1)


@TRANSFORMS.register_module()
@dataclass
class ClipBoxes:
    """Cut boxes to the picture, those of which too little is left to absent (NaN).

    Other transforms only move boxes: this one, before packing, decides what an object that left
    the picture is.

    Args:
        min_share: A box is absent if no more than this share of its area is inside.
        drop: Leave out objects of ``gt_boxes``, with their labels, that are absent from every
            frame of every view.
    """

    min_share: float = 0.0
    drop: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.min_share < 1:
            raise ValueError(f'ClipBoxes: min_share must be in 0..1, got {self.min_share}')

    def __call__(self, sample: dict) -> dict:
        height, width = sample['imgs'].shape[1:3]
        for key in BOX_KEYS:
            if key in sample:
                sample[key] = self._clipped(sample[key], (width, height, width, height))
        if self.drop and 'gt_boxes' in sample:
            boxes = sample['gt_boxes']
            kept = ~np.isnan(boxes).all(axis=(*range(boxes.ndim - 2), -1))
            sample['gt_boxes'] = boxes[..., kept, :]
            for key in OBJECT_KEYS:
                if key in sample:
                    sample[key] = np.asarray(sample[key])[kept]
        return sample

    def _clipped(self, boxes: np.ndarray, limits: tuple[int, ...]) -> np.ndarray:
        inside = np.clip(boxes, 0, limits)
        # Negated, so that NaN, of which every comparison is false, stays absent.
        is_absent = ~(area(inside) > self.min_share * area(boxes))
        return np.where(is_absent[..., None], np.nan, inside)


def area(boxes: np.ndarray) -> np.ndarray:
    """Areas (...) of boxes (..., 4)."""
    return (boxes[..., 2:] - boxes[..., :2]).clip(min=0).prod(-1)
