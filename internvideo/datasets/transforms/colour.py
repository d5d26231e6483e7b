"""Cheap changes of colour: uint8 ``imgs`` (N, H, W, 3), the same draw for every frame."""

# Not torchvision's RandomChannelPermutation and ColorJitter: these draw from torch's generator and
# would change what runs of a seed see, and neither has a probability or a shift.

import random
from dataclasses import dataclass

import cv2
import numpy as np

from internvideo.registry import TRANSFORMS


@TRANSFORMS.register_module()
@dataclass
class ShuffleChannels:
    """Put the colour channels in a random order with probability ``prob``.

    For data whose labels must not depend on colour.
    """

    prob: float = 1.0

    def __call__(self, sample: dict) -> dict:
        if random.random() < self.prob:
            order = random.sample(range(3), 3)
            sample['imgs'] = np.ascontiguousarray(sample['imgs'][..., order])
        return sample


@TRANSFORMS.register_module()
@dataclass
class RandomBrightness:
    """Multiply grey levels by a factor of ``scale`` and add a number of ``shift`` (0..255).

    Both are drawn evenly; results are rounded and cut to 0..255.
    """

    scale: tuple[float, float] = (0.7, 1.3)
    shift: tuple[float, float] = (-20.0, 20.0)

    def __call__(self, sample: dict) -> dict:
        factor, offset = random.uniform(*self.scale), random.uniform(*self.shift)
        levels = np.arange(256) * factor + offset
        table = np.clip(np.rint(levels), 0, 255).astype(np.uint8)
        imgs = sample['imgs']
        sample['imgs'] = cv2.LUT(imgs.reshape(-1, imgs.shape[2], 3), table).reshape(imgs.shape)
        return sample
