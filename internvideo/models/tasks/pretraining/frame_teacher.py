"""An image teacher that sees the frames of a clip one by one."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from internvideo.registry import MODELS

from .frame_targets import FrameTargets
from .teachers import FrozenTeacher, resize_clips

IMAGENET = dict(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
HALF = dict(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))


def renormalise(
    video: Tensor, old: Mapping[str, Sequence[float]], new: Mapping[str, Sequence[float]]
) -> Tensor:
    """Clips (B, 3, T, H, W) normalised by the ``old`` mean and std, by the ``new`` ones."""
    values = [torch.tensor(x[name]) for x in (old, new) for name in ('mean', 'std')]
    mean, std, new_mean, new_std = (v.to(video).view(-1, 1, 1, 1) for v in values)
    return (video * std + mean - new_mean) / new_std


@MODELS.register_module()
class FrameTeacher(FrozenTeacher):
    """A :class:`FrozenTeacher` of images, such as ``SiglipVision``.

    Clips are resized to the encoder's images (bicubic), normalised as these, and cut into frames.
    Of the aligned layers it gives the *inputs* (index 0: the embeddings), without norm.

    Args:
        encoder, layers, init_cfg, dtype: as for :class:`FrozenTeacher`.
        input_norm: ``mean`` and ``std`` (3 numbers each) by which clips come normalised.
        own_norm: those of the encoder.
        max_frames: at most so many frames go through at once; None means all.

    Source: arXiv 2512.01342, first stage.
    """

    def __init__(
        self,
        encoder: dict[str, Any],
        layers: Mapping[str, float] | Sequence[int],
        init_cfg: dict[str, Any] | None,
        dtype: str | None = 'bfloat16',
        input_norm: Mapping[str, Sequence[float]] = IMAGENET,
        own_norm: Mapping[str, Sequence[float]] = HALF,
        max_frames: int | None = None,
    ) -> None:
        super().__init__(encoder, layers, init_cfg, dtype=dtype)
        self.input_norm, self.own_norm, self.max_frames = input_norm, own_norm, max_frames

    def __call__(self, video: Tensor, pooled: bool = True, attn: bool = True) -> FrameTargets:
        """Features of the frames of clips (B, 3, T, H, W) of any size.

        Raises:
            RuntimeError: the weights were not loaded.
        """
        self._check_loaded()
        self._follow(video)
        with torch.inference_mode(), self._precision(video.device.type):
            clips = resize_clips(video, self.encoder.img_size)
            clips = renormalise(clips, self.input_norm, self.own_norm)
            frames = clips.transpose(1, 2).flatten(0, 1)
            parts = [
                self.encoder.encode_frames(part, self.layers, pooled=pooled, attn=attn)
                for part in frames.split(self.max_frames or len(frames))
            ]
            layers = [torch.cat(layer) for layer in zip(*(p.layers for p in parts), strict=True)]
            final = torch.cat([part.pooled for part in parts]) if pooled else None
            scores = torch.cat([part.attn for part in parts]) if attn else None
        return FrameTargets(len(video), layers, final, scores)
