"""A classifier by cosine similarity."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from internvideo.models.backbones.base import EncoderOutput
from internvideo.models.heads.classification_heads import classification_loss
from internvideo.registry import MODELS
from internvideo.structures import VideoDataSample


@MODELS.register_module()
class CosineHead(nn.Module):
    """Logits are the cosines of the pooled vector with one learned direction per class.

    Args:
        num_classes: number of classes K.
        in_dim: width of the pooled vector (the encoder's ``clip_embed_dim``).
        temperature: what the cosines are divided by.
        loss: config of the loss ``(logits, target) -> scalar``.
    """

    def __init__(
        self,
        num_classes: int,
        in_dim: int,
        temperature: float = 0.1,
        loss: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.temperature = temperature
        self.directions = nn.Parameter(torch.empty(num_classes, in_dim))
        nn.init.normal_(self.directions, std=in_dim**-0.5)
        self.loss_module = MODELS.build(loss or dict(type='FocalLoss'))

    def forward(self, features: EncoderOutput) -> Tensor:
        """(B, num_classes) logits."""
        directions = normalize(self.directions, dim=-1)
        return normalize(features.pooled, dim=-1) @ directions.T / self.temperature

    def loss(
        self, features: EncoderOutput, data_samples: Sequence[VideoDataSample]
    ) -> dict[str, Tensor]:
        """``{'loss': ...}`` for one data sample per clip."""
        return classification_loss(self(features), data_samples, self.loss_module)
