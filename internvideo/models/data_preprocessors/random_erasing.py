"""Random erasing (arXiv 1708.04896) of clips on the device."""

import math
import random
from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from internvideo.registry import MODELS
from internvideo.structures import VideoDataSample

MODES = ('pixel', 'rand', 'const')
_TRIES = 100


class RandomSource(Protocol):
    """The part of Python's ``random`` module that the draws use."""

    def random(self) -> float: ...

    def uniform(self, a: float, b: float) -> float: ...

    def randint(self, a: int, b: int) -> int: ...


def _draw_box(
    size: tuple[int, int],
    area_range: tuple[float, float],
    log_aspect: float,
    count: int,
    rng: RandomSource,
) -> tuple[int, int, int, int] | None:
    height, width = size
    for _ in range(_TRIES):
        area = rng.uniform(*area_range) * height * width / count
        aspect = math.exp(rng.uniform(log_aspect, -log_aspect))
        h, w = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        # Strictly smaller, as in timm: a box never spans a whole side.
        if h < height and w < width:
            return rng.randint(0, height - h), rng.randint(0, width - w), h, w
    return None


def draw_erasing_regions(
    num_frames: int,
    height: int,
    width: int,
    rng: RandomSource = random,
    prob: float = 0.25,
    min_area: float = 0.02,
    max_area: float = 1 / 3,
    min_aspect: float = 0.3,
    min_count: int = 1,
    max_count: int = 1,
) -> list[tuple[int, int, int, int, int]]:
    """Draw the boxes erased from one clip: ``(first_frame, top, left, height, width)`` each.

    A box covers all frames from ``first_frame`` on: 0, or ``num_frames // max_count`` when more
    than one box may be drawn (then the first frames stay clean and areas are shared).

    Args:
        rng: source of the draws, in order: ``random()``; ``randint`` for the count when it can
            vary; per box, up to 100 tries of ``uniform`` area and ``uniform`` log aspect, then
            ``randint`` top and left.
        prob: probability that a clip is erased at all.
        min_area, max_area: share of the picture.
        min_aspect: smallest height / width; the largest is its inverse.
    """
    # The order of the draws is the published one, so that equal seeds give equal boxes.
    if rng.random() > prob:
        return []
    count = min_count if min_count == max_count else rng.randint(min_count, max_count)
    first_frame = num_frames // max_count if max_count > 1 else 0
    regions = []
    for _ in range(count):
        box = _draw_box((height, width), (min_area, max_area), math.log(min_aspect), count, rng)
        if box is not None:
            regions.append((first_frame, *box))
    return regions


@MODELS.register_module()
class RandomErasing:
    """Erases boxes from normalised clips, the same ones in every frame of a clip.

    Args:
        prob: probability per clip.
        mode: ``'pixel'`` fills with fresh standard normal noise per frame and pixel, ``'rand'``
            with one colour per box, ``'const'`` with zeros.
        min_area, max_area, min_aspect, min_count, max_count: see :func:`draw_erasing_regions`.

    Raises:
        ValueError: unknown ``mode``.
    """

    def __init__(
        self,
        prob: float = 0.25,
        mode: str = 'pixel',
        min_area: float = 0.02,
        max_area: float = 1 / 3,
        min_aspect: float = 0.3,
        min_count: int = 1,
        max_count: int = 1,
    ) -> None:
        if mode not in MODES:
            raise ValueError(f'mode must be one of {", ".join(MODES)}, got {mode!r}')
        self.mode = mode
        self.law = dict(
            prob=prob,
            min_area=min_area,
            max_area=max_area,
            min_aspect=min_aspect,
            min_count=min_count,
            max_count=max_count,
        )

    def __call__(self, inputs: Tensor, data_samples: Sequence[VideoDataSample]) -> Tensor:
        """Erase in place from (B, V, C, T, H, W) float clips."""
        for clip in inputs.flatten(0, 1):  # a view, so that the inputs themselves are changed
            for first, top, left, h, w in draw_erasing_regions(*clip.shape[1:], **self.law):
                region = clip[:, first:, top : top + h, left : left + w]
                self._fill(region)
        return inputs

    def _fill(self, region: Tensor) -> None:
        if self.mode == 'pixel':
            region.normal_()
        elif self.mode == 'rand':
            region.copy_(torch.randn(len(region), 1, 1, 1, device=region.device))
        else:
            region.zero_()
