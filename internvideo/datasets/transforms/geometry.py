"""Size and place of frames: uint8 ``imgs`` (N, H, W, 3), the same draw for every frame.

Boxes of a sample (:mod:`~internvideo.datasets.transforms.boxes`) move along and are never cut.
"""

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from internvideo.datasets import config_checks
from internvideo.datasets.transforms.boxes import BOX_KEYS, move_boxes, moved
from internvideo.datasets.transforms.resizing import check_interpolation, resize_frames
from internvideo.registry import TRANSFORMS

# (x, y) in quarters of the room beside the crop: corners and centre, middles of the sides, points
# half-way. In the published order, so that a draw means the same place.
OFFSETS_IN_STEPS = (
    *((0, 0), (4, 0), (0, 4), (4, 4), (2, 2), (0, 2), (4, 2), (2, 4), (2, 0)),
    *((1, 1), (3, 1), (1, 3), (3, 3)),
)


@TRANSFORMS.register_module()
@dataclass
class Resize:
    """Scale the short side to ``short_side``, the long one in proportion (cut to an integer).

    ``size`` (one number or height and width) scales to a fixed size in its place.  Bilinear;
    ``antialias=True`` is what Pillow does, within two grey levels.
    """

    short_side: int | None = None
    size: int | tuple[int, int] | None = None
    antialias: bool = False

    def __post_init__(self) -> None:
        if (self.short_side is None) == (self.size is None):
            raise ValueError('Resize: give either short_side or size')

    def __call__(self, sample: dict) -> dict:
        target = self._target(*sample['imgs'].shape[1:3])
        _resize(sample, *target, 'bilinear', self.antialias)
        return sample

    def _target(self, height: int, width: int) -> tuple[int, int]:
        if self.size is not None:
            return _pair(self.size)
        short = self.short_side
        if min(height, width) == short:
            return height, width
        if width < height:
            return int(short * height / width), short
        return short, int(short * width / height)


@TRANSFORMS.register_module()
@dataclass
class SquarePixels:
    """Stretch the width of frames whose pixels are not square, as players do (DVD, HDV).

    Off unless a pipeline names it: published models were trained on frames as they are stored.
    ``sample_aspect`` of the sample is the width of a pixel by its height.
    """

    interpolation: str = 'bilinear'

    def __post_init__(self) -> None:
        check_interpolation(self.interpolation)

    def __call__(self, sample: dict) -> dict:
        height, width = sample['imgs'].shape[1:3]
        stretched = max(round(width * sample.get('sample_aspect', 1.0)), 1)
        if stretched != width:
            _resize(sample, height, stretched, self.interpolation)
        return sample


@TRANSFORMS.register_module()
@dataclass
class ResizeSquare:
    """Scale to a square of ``size``, whatever the aspect, as the multi-modality models are tested.

    Published figures were made without antialiasing; ``antialias=True`` is what torchvision does
    to tensors today.
    """

    size: int
    interpolation: str = 'bicubic'
    antialias: bool = False

    def __post_init__(self) -> None:
        check_interpolation(self.interpolation)

    def __call__(self, sample: dict) -> dict:
        _resize(sample, self.size, self.size, self.interpolation, self.antialias)
        return sample


@TRANSFORMS.register_module()
@dataclass
class CenterCrop:
    """The ``size`` square (or (height, width)) in the middle.

    Raises:
        ValueError: frames smaller than the crop.
    """

    size: int | tuple[int, int]

    def __call__(self, sample: dict) -> dict:
        imgs = sample['imgs']
        height, width = _pair(self.size)
        if imgs.shape[1] < height or imgs.shape[2] < width:
            raise ValueError(
                f'CenterCrop {height}x{width} is larger than the frames '
                f'{imgs.shape[1]}x{imgs.shape[2]} of {sample.get("path")}; resize them first'
            )
        # Half to even, as published: `//` is a pixel off for some odd differences.
        top = round((imgs.shape[1] - height) / 2)
        left = round((imgs.shape[2] - width) / 2)
        _crop(sample, top, left, height, width)
        return sample


@TRANSFORMS.register_module()
@dataclass
class UniformCrops:
    """``num_crops`` square crops of the short side, evenly along the long one.

    A single crop is central.  ``size`` states the short side that the frames must have; None takes
    any.  Places between two pixels are cut down, or up with ``round_up`` (the published readers
    differ in it).  Views multiply: ``imgs`` becomes (V*C*T, S, S, 3) with view ``v``,
    crop ``c`` at ``v*C + c``; ``num_views`` becomes V*C and ``num_crops`` is added.
    """

    num_crops: int = 3
    size: int | None = None
    round_up: bool = False

    def __post_init__(self) -> None:
        if self.num_crops < 1:
            raise ValueError(f'UniformCrops: num_crops must be at least 1, got {self.num_crops}')

    def __call__(self, sample: dict) -> dict:
        imgs = sample['imgs']
        if self.size not in (None, min(imgs.shape[1:3])):
            raise ValueError(
                f'UniformCrops: size={self.size}, but the short side of the frames '
                f'{imgs.shape[1]}x{imgs.shape[2]} of {sample.get("path")} is another; resize first'
            )
        views = imgs.reshape(sample['num_views'], -1, *imgs.shape[1:])
        firsts = [self._first(*imgs.shape[1:3], c) for c in range(self.num_crops)]
        side = min(imgs.shape[1:3])
        crops = [views[:, :, y : y + side, x : x + side] for x, y in firsts]
        # Views first, then crops: the order in which published tests number the clips of a video.
        sample['imgs'] = np.stack(crops, axis=1).reshape(-1, side, side, 3)
        for key in BOX_KEYS:
            if key in sample:
                boxes = [moved(sample[key], shift=(-x, -y)) for x, y in firsts]
                sample[key] = np.stack(boxes, axis=1).reshape(-1, *sample[key].shape[1:])
        sample['num_views'] *= self.num_crops
        sample['num_crops'] = self.num_crops
        return sample

    def _first(self, height: int, width: int, number: int) -> tuple[int, int]:
        """(left, top) of a crop."""
        room = abs(height - width)
        if self.num_crops == 1:
            # The published readers of Something-Something divide by C - 1 here too, and fail.
            place = room / 2
        else:
            place = number * room / (self.num_crops - 1)
        first = math.ceil(place) if self.round_up else int(place)
        return (0, first) if height >= width else (first, 0)


def resized_crop_box(
    height: int,
    width: int,
    scale: tuple[float, float] = (0.08, 1.0),
    ratio: tuple[float, float] = (0.75, 1.3333),
    uniform: Callable[[float, float], float] = random.uniform,
    randint: Callable[[int, int], int] = random.randint,
) -> tuple[int, int, int, int]:
    """Draw (top, left, height, width): area share uniform, aspect log-uniform, ten tries.

    When no try fits, the largest central box with an aspect inside ``ratio``.
    """
    # Draws come in the published order: area, aspect, top, left.
    for _ in range(10):
        area = uniform(*scale) * height * width
        aspect = math.exp(uniform(math.log(ratio[0]), math.log(ratio[1])))
        w, h = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < w <= width and 0 < h <= height:
            return randint(0, height - h), randint(0, width - w), h, w
    w, h = width, height
    if width / height < ratio[0]:
        h = round(width / ratio[0])
    elif width / height > ratio[1]:
        w = round(height * ratio[1])
    return (height - h) // 2, (width - w) // 2, h, w


@TRANSFORMS.register_module()
@dataclass
class RandomResizedCrop:
    """A random box (see :func:`resized_crop_box`) scaled to ``size``, without antialiasing."""

    size: int | tuple[int, int]
    scale: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (0.75, 1.3333)
    interpolation: str = 'bilinear'

    def __post_init__(self) -> None:
        check_interpolation(self.interpolation)

    def __call__(self, sample: dict) -> dict:
        size = sample['imgs'].shape[1:3]
        _crop(sample, *resized_crop_box(*size, tuple(self.scale), tuple(self.ratio)))
        _resize(sample, *_pair(self.size), self.interpolation)
        return sample


@TRANSFORMS.register_module()
@dataclass
class RandomFlip:
    """Mirror left and right with probability ``prob``, but never rows of ``skip_sources``.

    Something-Something must not be mirrored: its labels say left and right.
    """

    prob: float = 0.5
    skip_sources: Sequence[str] = ('ssv2',)

    def __call__(self, sample: dict) -> dict:
        if random.random() < self.prob and sample.get('source') not in self.skip_sources:
            imgs = sample['imgs']
            # Into a new array: repeated augmentations share the decoded one.
            flipped = np.empty(imgs.shape, np.uint8)
            for source, target in zip(imgs, flipped, strict=True):
                cv2.flip(source, 1, dst=target)
            sample['imgs'] = flipped
            move_boxes(sample, scale=(-1, 1), shift=(imgs.shape[2], 0))
        return sample

    # What the class tells a rehearsal, see docs/rehearsal.md.
    check_config = staticmethod(config_checks.mirroring)


def multi_scale_sizes(
    width: int, height: int, size: int, scales: Sequence[float], max_distortion: int = 1
) -> list[tuple[int, int]]:
    """Candidate (width, height) of the multi-scale crop, sizes near ``size`` snapped to it."""
    sides = [int(min(width, height) * scale) for scale in scales]
    # A side that is snapped to the target needs no scaling.
    sides = [size if abs(side - size) < 3 else side for side in sides]
    return [
        (w, h)
        # Heights outside, widths inside: the published order of candidates.
        for i, h in enumerate(sides)
        for j, w in enumerate(sides)
        if abs(i - j) <= max_distortion
    ]


def fixed_offsets(width: int, height: int, crop_w: int, crop_h: int) -> list[tuple[int, int]]:
    """The thirteen (left, top) corners of the multi-scale crop."""
    step_x, step_y = (width - crop_w) // 4, (height - crop_h) // 4
    return [(x * step_x, y * step_y) for x, y in OFFSETS_IN_STEPS]


@TRANSFORMS.register_module()
@dataclass
class MultiScaleCrop:
    """The crop of masked pretraining: drawn size and one of thirteen places, scaled to ``size``."""

    size: int
    scales: Sequence[float] = (1, 0.875, 0.75, 0.66)

    def __call__(self, sample: dict) -> dict:
        height, width = sample['imgs'].shape[1:3]
        w, h = random.choice(multi_scale_sizes(width, height, self.size, self.scales))
        left, top = random.choice(fixed_offsets(width, height, w, h))
        _crop(sample, top, left, h, w)
        _resize(sample, self.size, self.size)
        return sample


@TRANSFORMS.register_module()
@dataclass
class Pad:
    """Widen frames to ``size``, or to multiples of ``divisor``, by pixels of ``fill``.

    The border is added on the right and below, so that places stay what they are; with
    ``center=True`` on all sides.  Frames that are larger already stay so.
    """

    size: int | tuple[int, int] | None = None
    divisor: int | None = None
    center: bool = False
    fill: int = 0

    def __post_init__(self) -> None:
        if (self.size is None) == (self.divisor is None):
            raise ValueError('Pad: give either size or divisor')

    def __call__(self, sample: dict) -> dict:
        imgs = sample['imgs']
        count, height, width = imgs.shape[:3]
        if self.size is not None:
            wanted = _pair(self.size)
        else:
            wanted = [-(-side // self.divisor) * self.divisor for side in (height, width)]
        tall, wide = max(height, wanted[0]), max(width, wanted[1])
        top = (tall - height) // 2 if self.center else 0
        left = (wide - width) // 2 if self.center else 0
        sample['imgs'] = np.full((count, tall, wide, 3), self.fill, np.uint8)
        sample['imgs'][:, top : top + height, left : left + width] = imgs
        move_boxes(sample, shift=(left, top))
        return sample


def _resize(sample: dict, height: int, width: int, *how: str | bool) -> None:
    """Scale frames and boxes, ``how`` as of :func:`resize_frames`."""
    before = sample['imgs'].shape[1:3]
    sample['imgs'] = resize_frames(sample['imgs'], height, width, *how)
    move_boxes(sample, scale=(width / before[1], height / before[0]))


def _crop(sample: dict, top: int, left: int, height: int, width: int) -> None:
    """Cut frames out, and let boxes follow."""
    # A view: as a rule the resize that follows makes the copy.
    sample['imgs'] = sample['imgs'][:, top : top + height, left : left + width]
    move_boxes(sample, shift=(-left, -top))


def _pair(size: int | Sequence[int]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else (size[0], size[1])
