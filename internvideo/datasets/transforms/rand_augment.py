"""RandAugment on whole clips: each drawn operation acts alike on every frame.

Source: Cubuk et al., RandAugment (1909.13719), with the fifteen "increasing" operations of the
published recipes.  Operations work on uint8 (N, H, W, 3) arrays and agree with Pillow's to one
grey level: tonal ones are look-up tables, geometric ones one weighted gather for all frames.
Boxes of a sample follow the geometric ones.
"""

# Ours, since no library has the published operations: timm's, which they come from, work picture
# by picture and on Pillow 12 and 13 raise or turn pictures black; torchvision's have other levels
# and another kernel; OpenCV's bicubic has -0.75 where Pillow's has -1.

import math
import random
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
import torch
from torch.nn.functional import embedding_bag

from internvideo.datasets.transforms.boxes import warp_boxes
from internvideo.registry import TRANSFORMS

FILL = 128
MAX_MAGNITUDE = 10.0
OP_PROBABILITY = 0.5
# Pillow's weights of ITU-R 601, in its fixed point.
GREY_WEIGHTS = np.array([19595, 38470, 7471]) / 65536
# Frames gathered at once: keeps the table of source pixels inside the caches.
GATHERED_FRAMES = 8

Clip = np.ndarray


def apply_table(imgs: Clip, table: np.ndarray) -> Clip:
    """Replace each grey level by ``table`` (256,)."""
    flat = imgs.reshape(-1, imgs.shape[2], 3)
    return cv2.LUT(flat, table.astype(np.uint8)).reshape(imgs.shape)


def apply_frame_tables(imgs: Clip, tables: np.ndarray) -> Clip:
    """Replace grey levels by ``tables`` (N, 3, 256), one per frame and channel."""
    result = np.empty_like(imgs)
    for frame, table, target in zip(imgs, tables, result, strict=True):
        # OpenCV wants the tables of three channels interleaved, (1, 256, 3).
        channels = np.ascontiguousarray(table.T.astype(np.uint8)[None])
        cv2.LUT(frame, channels, dst=target)
    return result


def histograms(imgs: Clip) -> np.ndarray:
    """Counts (N, 3, 256) of each frame and channel."""
    counts = [
        cv2.calcHist([frame], [channel], None, [256], [0, 256]).reshape(-1)
        for frame in imgs
        for channel in range(3)
    ]
    return np.stack(counts).astype(np.int64).reshape(len(imgs), 3, 256)


def auto_contrast(imgs: Clip, _: None = None) -> Clip:
    """Stretch each channel of each frame to the full range."""
    counts = histograms(imgs) > 0
    low = counts.argmax(-1)[..., None]
    high = 255 - counts[..., ::-1].argmax(-1)[..., None]
    # The 1 stands for a channel of a single level, which the last line leaves as it is.
    scale = 255.0 / np.maximum(high - low, 1)
    levels = np.arange(256)
    tables = np.clip((levels * scale - low * scale).astype(np.int64), 0, 255)
    return apply_frame_tables(imgs, np.where(high > low, tables, levels))


def equalize(imgs: Clip, _: None = None) -> Clip:
    """Flatten the histogram of each channel of each frame."""
    counts = histograms(imgs)
    last = 255 - (counts > 0)[..., ::-1].argmax(-1)[..., None]
    # As in Pillow, the highest level that occurs is left out of the step.
    step = (counts.sum(-1, keepdims=True) - np.take_along_axis(counts, last, -1)) // 255
    below = counts.cumsum(-1) - counts
    tables = np.minimum((step // 2 + below) // np.maximum(step, 1), 255)
    return apply_frame_tables(imgs, np.where(step > 0, tables, np.arange(256)))


def invert(imgs: Clip, _: None = None) -> Clip:
    """255 minus the grey level."""
    return 255 - imgs


def posterize(imgs: Clip, bits: int) -> Clip:
    """Keep the ``bits`` highest bits."""
    return imgs if bits >= 8 else imgs & np.uint8(256 - 2 ** (8 - bits))


def solarize(imgs: Clip, threshold: int) -> Clip:
    """Invert levels from ``threshold`` up."""
    levels = np.arange(256)
    return apply_table(imgs, np.where(levels < threshold, levels, 255 - levels))


def solarize_add(imgs: Clip, amount: int) -> Clip:
    """Add ``amount`` to levels below 128."""
    levels = np.arange(256)
    return apply_table(imgs, np.where(levels < 128, np.minimum(levels + amount, 255), levels))


def color(imgs: Clip, factor: float) -> Clip:
    """Blend with the grey image: 0 is grey, 1 unchanged."""
    matrix = factor * np.eye(3) + (1 - factor) * GREY_WEIGHTS
    # Pillow cuts where OpenCV rounds.
    matrix = np.column_stack([matrix, np.full(3, -0.5)]).astype(np.float32)
    return cv2.transform(imgs.reshape(-1, imgs.shape[2], 3), matrix).reshape(imgs.shape)


def contrast(imgs: Clip, factor: float) -> Clip:
    """Blend each frame with its mean grey level."""
    grey = cv2.cvtColor(imgs.reshape(-1, imgs.shape[2], 3), cv2.COLOR_RGB2GRAY)
    # Pillow's mean: a whole grey level, rounded half up.
    means = np.array([int(cv2.mean(frame)[0] + 0.5) for frame in np.split(grey, len(imgs))])
    tables = _blend_levels(means[:, None, None].astype(np.float32), factor)
    return apply_frame_tables(imgs, np.broadcast_to(tables, (len(imgs), 3, 256)))


def brightness(imgs: Clip, factor: float) -> Clip:
    """Blend with black."""
    return apply_table(imgs, _blend_levels(np.zeros(1, np.float32), factor))


def _blend_levels(base: np.ndarray, factor: float) -> np.ndarray:
    levels = base + np.float32(factor) * (np.arange(256, dtype=np.float32) - base)
    return np.clip(levels, 0, 255).astype(np.uint8)


def sharpness(imgs: Clip, factor: float) -> Clip:
    """Blend with a smoothed image, except for the outermost pixels."""
    # Pillow's SMOOTH filter; smoothing and blending are one kernel here.
    smooth = np.array([[1, 1, 1], [1, 5, 1], [1, 1, 1]]) / 13
    kernel = (1 - factor) * smooth
    kernel[1, 1] += factor
    result = imgs.copy()
    for frame, target in zip(imgs, result, strict=True):
        # The delta, again: Pillow cuts where OpenCV rounds.
        filtered = cv2.filter2D(frame, -1, kernel, delta=-0.5)
        target[1:-1, 1:-1] = filtered[1:-1, 1:-1]
    return result


Matrix = tuple[float, float, float, float, float, float]


def rotation(height: int, width: int, degrees: float) -> Matrix:
    """Turn counter-clockwise about the centre."""
    angle = -math.radians(degrees % 360)
    # Rounded as Pillow does, so that places on the border fall on the same side of it.
    cos, sin = round(math.cos(angle), 15), round(math.sin(angle), 15)
    x, y = width / 2, height / 2
    return cos, sin, -cos * x - sin * y + x, -sin, cos, sin * x - cos * y + y


# name -> matrix of `affine`, as a function of height, width and the argument
GEOMETRIC: dict[str, Callable[[int, int, float], Matrix]] = {
    'Rotate': rotation,
    # Rows are shifted in proportion to their height, columns in proportion to their place.
    'ShearX': lambda _, __, factor: (1, factor, 0, 0, 1, 0),
    'ShearY': lambda _, __, factor: (1, 0, 0, factor, 1, 0),
    # By shares of the width and of the height.
    'TranslateXRel': lambda _, width, share: (1, 0, share * width, 0, 1, 0),
    'TranslateYRel': lambda height, _, share: (1, 0, 0, 0, 1, share * height),
}


def affine(imgs: Clip, matrix: Matrix) -> Clip:
    """Sample output (x, y) at ``(a*x + b*y + c, d*x + e*y + f)``, pixel centres at one half.

    Bicubic with Pillow's kernel (its parameter is -1, where OpenCV and torch have -0.75);
    places outside the frame become grey 128.
    """
    height, width = imgs.shape[1:3]
    a, b, c, d, e, f = matrix
    x, y = np.arange(width) + 0.5, np.arange(height)[:, None] + 0.5
    x, y = a * x + b * y + c, d * x + e * y + f
    outside = (x < 0) | (x >= width) | (y < 0) | (y >= height)
    columns, column_weights = _taps(x.reshape(-1) - 0.5, width)
    rows, row_weights = _taps(y.reshape(-1) - 0.5, height)
    places = torch.from_numpy(rows[:, :, None] * np.int32(width) + columns[:, None, :])
    weights = torch.from_numpy(row_weights[:, :, None] * column_weights[:, None, :])
    result = np.empty_like(imgs)
    for first in range(0, len(imgs), GATHERED_FRAMES):
        part = slice(first, first + GATHERED_FRAMES)
        _gather(imgs[part], places, weights, outside, result[part])
    return result


def _taps(place: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Neighbours (P, k) of ``place``, clamped to the frame, and their cubic weights.

    ``k`` is 4, or 1 when every place lies on a pixel, as along the axis that a shear keeps.
    """
    base = np.floor(place)
    d = (place - base).astype(np.float32)
    base = base.astype(np.int32)
    if not d.any():
        return np.clip(base, 0, size - 1)[:, None], np.ones((len(base), 1), np.float32)
    d2, d3 = d * d, d * d * d
    weights = (2 * d2 - d - d3, 1 - 2 * d2 + d3, d + d2 - d3, d3 - d2)
    neighbours = base[:, None] + np.arange(-1, 3, dtype=np.int32)
    return np.clip(neighbours, 0, size - 1), np.stack(weights, axis=1)


def _gather(
    imgs: Clip, places: torch.Tensor, weights: torch.Tensor, outside: np.ndarray, out: Clip
) -> None:
    # One table row holds a pixel of all frames, so that a gather serves them together.
    count, height, width, _ = imgs.shape
    table = torch.from_numpy(cv2.merge([*imgs]).reshape(height * width, count * 3)).float()
    taps = places.shape[1] * places.shape[2]
    offsets = torch.arange(0, places.numel(), taps, dtype=torch.int32)
    sums = embedding_bag(
        places.reshape(-1), table, offsets, mode='sum', per_sample_weights=weights.reshape(-1)
    )
    pixels = sums.clamp_(0, 255).to(torch.uint8).numpy()
    pixels[outside.reshape(-1)] = FILL
    # Pairs of (from, to), counted over all frames.
    channels = [i for channel in range(count * 3) for i in (channel, channel)]
    cv2.mixChannels([pixels.reshape(height, width, -1)], [*out], channels)


def _signed(value: float, negate: bool) -> float:
    return -value if negate else value


# "Increasing": a larger magnitude is a stronger change. At 10, posterise keeps no bit and solarise
# inverts every level, as published.
# name -> argument as a function of the magnitude in 0..10 and of the drawn sign; None: it has none
LEVELS: dict[str, Callable[[float, bool], float | int] | None] = {
    'AutoContrast': None,
    'Equalize': None,
    'Invert': None,
    'Rotate': lambda m, negate: _signed(3 * m, negate),
    'PosterizeIncreasing': lambda m, _: 4 - int(0.4 * m),
    'SolarizeIncreasing': lambda m, _: 256 - int(25.6 * m),
    'SolarizeAdd': lambda m, _: int(11 * m),
    'ColorIncreasing': lambda m, negate: 1 + _signed(0.09 * m, negate),
    'ContrastIncreasing': lambda m, negate: 1 + _signed(0.09 * m, negate),
    'BrightnessIncreasing': lambda m, negate: 1 + _signed(0.09 * m, negate),
    'SharpnessIncreasing': lambda m, negate: 1 + _signed(0.09 * m, negate),
    'ShearX': lambda m, negate: _signed(0.03 * m, negate),
    'ShearY': lambda m, negate: _signed(0.03 * m, negate),
    'TranslateXRel': lambda m, negate: _signed(0.045 * m, negate),
    'TranslateYRel': lambda m, negate: _signed(0.045 * m, negate),
}
TONAL: dict[str, Callable[[Clip, Any], Clip]] = {
    'AutoContrast': auto_contrast,
    'Equalize': equalize,
    'Invert': invert,
    'PosterizeIncreasing': posterize,
    'SolarizeIncreasing': solarize,
    'SolarizeAdd': solarize_add,
    'ColorIncreasing': color,
    'ContrastIncreasing': contrast,
    'BrightnessIncreasing': brightness,
    'SharpnessIncreasing': sharpness,
}
SIGNED = frozenset(LEVELS) - {
    *('AutoContrast', 'Equalize', 'Invert'),
    *('PosterizeIncreasing', 'SolarizeIncreasing', 'SolarizeAdd'),
}


def parse_policy(policy: str) -> tuple[float, int, float]:
    """Magnitude, number of operations and spread of ``rand-m7-n4-mstd0.5-inc1``.

    Raises:
        ValueError: any other form; only the increasing set (``inc1``) exists.
    """
    number = r'(\d+(?:\.\d+)?)'
    match = re.fullmatch(rf'rand-m{number}-n(\d+)-mstd{number}-inc1', policy)
    if match is None:
        raise ValueError(f'RandAugment: policy {policy!r} is not like rand-m7-n4-mstd0.5-inc1')
    magnitude, count, spread = float(match[1]), int(match[2]), float(match[3])
    if magnitude > MAX_MAGNITUDE:
        raise ValueError(f'RandAugment: magnitude of {policy!r} is above {MAX_MAGNITUDE:g}')
    return magnitude, count, spread


@TRANSFORMS.register_module()
@dataclass
class RandAugment:
    """Apply drawn operations to ``imgs``, with one draw for the whole clip.

    ``n`` operations are drawn with replacement; each is applied with probability one half, its
    magnitude normal around ``m`` with spread ``mstd`` and cut to 0..10.
    """

    policy: str = 'rand-m7-n4-mstd0.5-inc1'
    parsed: tuple[float, int, float] = field(init=False)

    def __post_init__(self) -> None:
        self.parsed = parse_policy(self.policy)

    def __call__(self, sample: dict) -> dict:
        magnitude, count, spread = self.parsed
        # Names by NumPy's generator and the rest by Python's, as the published code draws.
        for name in np.random.choice(list(LEVELS), count):
            if random.random() > OP_PROBABILITY:
                continue
            drawn = min(max(random.gauss(magnitude, spread), 0.0), MAX_MAGNITUDE)
            # Operations without a sign draw none, which keeps the published sequence of draws.
            negate = name in SIGNED and random.random() > 0.5
            matrix = geometric_matrix(sample['imgs'], name, drawn, negate)
            sample['imgs'] = apply_operation(sample['imgs'], name, drawn, negate)
            if matrix is not None:
                warp_boxes(sample, matrix)
        return sample


def apply_operation(imgs: Clip, name: str, magnitude: float, negate: bool = False) -> Clip:
    """Apply the operation ``name`` to (N, H, W, 3) frames."""
    matrix = geometric_matrix(imgs, name, magnitude, negate)
    if matrix is not None:
        return affine(imgs, matrix)
    level = LEVELS[name]
    return TONAL[name](imgs, None if level is None else level(magnitude, negate))


def geometric_matrix(
    imgs: Clip, name: str, magnitude: float, negate: bool = False
) -> Matrix | None:
    """The matrix of :func:`affine` that an operation stands for, None for one of tone."""
    if name not in GEOMETRIC:
        return None
    return GEOMETRIC[name](*imgs.shape[1:3], LEVELS[name](magnitude, negate))
