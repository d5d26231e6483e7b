"""uint8 clips to normalised (and mixed) batches on the model's device."""

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.model import BaseDataPreprocessor
from torch import Tensor

from internvideo.models.data_preprocessors import config_checks
from internvideo.registry import MODELS

# ImageNet's, times 255: clips arrive as bytes.
IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_STD = (58.395, 57.12, 57.375)


@MODELS.register_module()
class ClipDataPreprocessor(BaseDataPreprocessor):
    """Moves a batch to the device, normalises it, and in training augments it there.

    Args:
        mean, std: per colour channel, on the scale 0..255.
        batch_augments: configs (or objects) ``(inputs, data_samples) -> inputs`` applied in this
            order in training only, for instance ``RandomErasing`` then ``MixupCutmix``.
        non_blocking: passed to the copy to the device.

    Input and output: ``dict(inputs, data_samples)``; ``inputs`` is uint8 (B, V, C, T, H, W), or
    None when no video of the batch could be read, and comes out as float32.  Data samples stay
    on the CPU, where labels are checked without waiting for the device.
    """

    # What the class tells a rehearsal, see docs/rehearsal.md.
    check_config = staticmethod(config_checks.pixel_scale)

    def __init__(
        self,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
        batch_augments: Sequence[dict[str, Any]] = (),
        non_blocking: bool = True,
    ) -> None:
        super().__init__(non_blocking)
        # Not persistent: published checkpoints have no such entries.
        shape = (-1, 1, 1, 1)
        self.register_buffer('mean', torch.tensor(mean).view(shape), persistent=False)
        self.register_buffer('std', torch.tensor(std).view(shape), persistent=False)
        self.batch_augments = [
            MODELS.build(augment) if isinstance(augment, dict) else augment
            for augment in batch_augments
        ]

    def set_num_classes(self, num_classes: int) -> None:
        """Tell augments that make soft targets, and were not told, the number of classes."""
        for augment in self.batch_augments:
            if getattr(augment, 'num_classes', num_classes) is None:
                augment.num_classes = num_classes

    def forward(self, data: dict[str, Any], training: bool = False) -> dict[str, Any]:
        """Normalise, and augment when ``training``."""
        inputs, data_samples = data['inputs'], data.get('data_samples')
        if inputs is None:
            return dict(inputs=None, data_samples=data_samples)
        inputs = self.normalise(self.cast_data(inputs))
        if training:
            for augment in self.batch_augments:
                inputs = augment(inputs, data_samples)
        return dict(inputs=inputs, data_samples=data_samples)

    def normalise(self, clips: Tensor) -> Tensor:
        """(..., C, T, H, W) on the scale 0..255 -> float32, as a new tensor."""
        # The copy to the device was of bytes: float32 would be four times as many.
        return torch.sub(clips, self.mean).div_(self.std)
