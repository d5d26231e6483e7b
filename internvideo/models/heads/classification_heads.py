"""Classifiers on top of a video encoder: one linear map, an attentive probe, a merging probe."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from internvideo.models.backbones.base import EncoderOutput
from internvideo.models.layers.linear import Linear
from internvideo.models.layers.mlp import Mlp
from internvideo.models.losses.batch_targets import stack_targets
from internvideo.registry import MODELS
from internvideo.structures import VideoDataSample
from internvideo.structures.rehearsal import SmallSizes

MERGE_METHODS = ('proj', 'cls_avg1', 'cls_avgN', 'cls_avg1_proj', 'cls_avgN_proj')
MERGE_NORMS = ('LN', 'BN', 'kaiming_BN')


def classification_loss(
    logits: Tensor, data_samples: Sequence[VideoDataSample], loss: nn.Module
) -> dict[str, Tensor]:
    """Compute ``{'loss': ...}`` of (B, K) logits against labels or mixed targets."""
    return {'loss': loss(logits, stack_targets(data_samples, logits.shape[1], logits.device))}


def check_width(width: int, pooled: Tensor) -> None:
    """Raise ValueError for a pooled vector that is not as wide as the head's ``in_dim``."""
    if pooled.shape[-1] != width:
        raise ValueError(
            f'head.in_dim={width}, but the pooled vector of the encoder is {pooled.shape[-1]} wide'
        )


def _new_head(in_dim: int, num_classes: int, init_scale: float) -> Linear:
    # The published code draws with 0.02 and multiplies: the law is the same, in one draw.
    return Linear(in_dim, num_classes, std=0.02 * init_scale)


@MODELS.register_module()
class ClassificationHead(nn.Module):
    """Pooled vector -> ``fc_norm`` -> dropout -> ``head``.

    Args:
        num_classes: number of classes K.
        in_dim: width of the pooled vector (the encoder's ``clip_embed_dim``).
        dropout: rate before the linear map.
        init_scale: factor on the initial weights of the linear map.
        loss: config of the loss ``(logits, target) -> scalar``.
        norm_eps: of ``fc_norm``; None leaves the norm out, for encoders that end with their own.
        num_segments: the loss takes the mean of the logits of so many consecutive clips, which are
            views of one video; prediction is not changed.

    Raises:
        ValueError: ``num_segments`` below 1; in the loss, clips that it does not divide.
    """

    def __init__(
        self,
        num_classes: int,
        in_dim: int = 768,
        dropout: float = 0.0,
        init_scale: float = 0.001,
        loss: dict[str, Any] | None = None,
        norm_eps: float | None = 1e-5,
        num_segments: int = 1,
    ) -> None:
        super().__init__()
        if num_segments < 1:
            raise ValueError(f'head.num_segments={num_segments} must be positive')
        self.num_segments = num_segments
        self.fc_norm = nn.Identity() if norm_eps is None else nn.LayerNorm(in_dim, eps=norm_eps)
        self.dropout = nn.Dropout(dropout)
        self.head = _new_head(in_dim, num_classes, init_scale)
        self.loss_module = MODELS.build(loss or dict(type='SoftTargetCrossEntropy'))

    @classmethod
    def shrink(cls, config: dict[str, Any], small: SmallSizes) -> dict[str, Any]:
        """Offer a small copy to a rehearsal."""
        return small.narrowed(config, 'in_dim')

    def forward(self, features: EncoderOutput) -> Tensor:
        """(B, num_classes) logits.  Raises ValueError for a pooled vector of another width."""
        check_width(self.head.in_features, features.pooled)
        return self.head(self.dropout(self.fc_norm(features.pooled)))

    def loss(
        self, features: EncoderOutput, data_samples: Sequence[VideoDataSample]
    ) -> dict[str, Tensor]:
        """``{'loss': ...}`` for one data sample per clip."""
        logits = self.merge_segments(self(features))
        return classification_loss(logits, data_samples[:: self.num_segments], self.loss_module)

    def merge_segments(self, logits: Tensor) -> Tensor:
        """Mean of the logits of ``num_segments`` consecutive clips: (B * k, K) -> (B, K)."""
        if len(logits) % self.num_segments:
            raise ValueError(
                f'head.num_segments={self.num_segments} does not divide the {len(logits)} clips of '
                'the batch: give each video so many views'
            )
        return logits.unflatten(0, (-1, self.num_segments)).mean(dim=1)


@MODELS.register_module()
class AttentiveProbeHead(ClassificationHead):
    """:class:`ClassificationHead` after a residual MLP on the pooled vector.

    ``p <- p + extra_mlp(p)`` with a LayerNorm and a four times wider MLP (exact GELU) that starts
    at zero (VideoGLUE, arXiv 2307.03166).  Arguments are those of :class:`ClassificationHead`.
    """

    def __init__(
        self,
        num_classes: int,
        in_dim: int = 768,
        dropout: float = 0.0,
        init_scale: float = 0.001,
        loss: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(num_classes, in_dim, dropout, init_scale, loss)
        # The published probe has the exact GELU even where the encoder runs fused kernels.
        mlp = Mlp(in_dim, 4 * in_dim, act='gelu', out_std=0.0, fused=False)
        self.extra_mlp = nn.Sequential(nn.LayerNorm(in_dim, eps=1e-5), mlp)

    def forward(self, features: EncoderOutput) -> Tensor:
        pooled = features.pooled
        check_width(self.head.in_features, pooled)
        return super().forward(features._replace(pooled=pooled + self.extra_mlp(pooled)))


@MODELS.register_module()
class ConcatProbeHead(nn.Module):
    """Linear probe that sees the class token, patch averages and the pooled vector side by side.

    Args:
        num_classes: number of classes K.
        embed_dim: token width D.
        in_dim: width of the pooled vector P.
        num_steps: temporal positions T of the encoder (frames / tubelet).
        merge_method: ``'proj'`` (pooled only), ``'cls_avg1'`` (class token and mean of all
            patches), ``'cls_avgN'`` (class token and one mean per temporal position, mapped to
            width P); ``'..._proj'`` appends the pooled vector.
        merge_norm: ``'LN'``, ``'BN'`` or ``'kaiming_BN'`` (no affine).  The two batch norms
            flatten channel-major, LN position-major, so a head trained with one does not fit the
            other.
        dropout, init_scale, loss: as in :class:`ClassificationHead`.

    Raises:
        ValueError: unknown ``merge_method`` or ``merge_norm``.
    """

    def __init__(
        self,
        num_classes: int,
        embed_dim: int,
        in_dim: int = 768,
        num_steps: int = 8,
        merge_method: str = 'cls_avgN_proj',
        merge_norm: str = 'LN',
        dropout: float = 0.0,
        init_scale: float = 0.001,
        loss: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        if merge_method not in MERGE_METHODS or merge_norm not in MERGE_NORMS:
            raise ValueError(
                f'merge_method={merge_method!r} must be one of {MERGE_METHODS} and '
                f'merge_norm={merge_norm!r} one of {MERGE_NORMS}'
            )
        self.num_steps = num_steps
        self.per_step = 'avgN' in merge_method
        self.merges_tokens = merge_method != 'proj'
        self.uses_pooled = 'proj' in merge_method
        # Unused by cls_avg1 and cls_avgN, whose published files hold it all the same.
        self.fc_norm = nn.LayerNorm(in_dim, eps=1e-5)
        width = in_dim if self.uses_pooled else 0
        if self.merges_tokens:
            merged = in_dim if self.per_step else embed_dim
            self.down_norm = _merge_norm(merge_norm, merged)
            self.down = nn.Identity()
            if self.per_step:
                self.down = nn.Sequential(Linear(embed_dim, in_dim), nn.GELU())
            width += merged * (1 + num_steps if self.per_step else 2)
        self.dropout = nn.Dropout(dropout)
        self.head = _new_head(width, num_classes, init_scale)
        self.loss_module = MODELS.build(loss or dict(type='SoftTargetCrossEntropy'))

    @classmethod
    def shrink(cls, config: dict[str, Any], small: SmallSizes) -> dict[str, Any]:
        """Offer a small copy to a rehearsal."""
        return small.narrowed(config, 'in_dim', 'embed_dim')

    def forward(self, features: EncoderOutput) -> Tensor:
        """(B, num_classes) logits.

        Raises:
            ValueError: another number of temporal positions, another width of the pooled vector,
                or an encoder without class token.
        """
        parts = []
        if self.merges_tokens:
            parts.append(self._merge(features))
        if self.uses_pooled:
            check_width(self.fc_norm.normalized_shape[0], features.pooled)
            parts.append(self.fc_norm(features.pooled))
        return self.head(self.dropout(torch.cat(parts, dim=-1)))

    def _merge(self, features: EncoderOutput) -> Tensor:
        if self.per_step and features.grid[0] != self.num_steps:
            raise ValueError(
                f'the head has num_steps={self.num_steps}, the encoder {features.grid[0]} '
                'temporal positions'
            )
        # Without this check the first patch would pass for the class token.
        prefix = features.tokens.shape[1] - math.prod(features.grid)
        if prefix != 1:
            raise ValueError(
                f'ConcatProbeHead merges one class token and the patches, the encoder gives '
                f"{prefix} such tokens: use merge_method='proj'"
            )
        cls_token, patches = features.tokens[:, :1], features.tokens[:, 1:]
        steps = self.num_steps if self.per_step else 1
        means = patches.unflatten(1, (steps, -1)).mean(dim=2)
        merged = self.down(torch.cat([cls_token, means], dim=1))
        if isinstance(self.down_norm, nn.BatchNorm1d):
            # BatchNorm1d wants channels second, and the published head was trained on that order.
            merged = merged.transpose(1, 2)
        return self.down_norm(merged).flatten(1)

    def loss(
        self, features: EncoderOutput, data_samples: Sequence[VideoDataSample]
    ) -> dict[str, Tensor]:
        """``{'loss': ...}`` for one data sample per clip."""
        return classification_loss(self(features), data_samples, self.loss_module)


def _merge_norm(kind: str, dim: int) -> nn.Module:
    if kind == 'LN':
        return nn.LayerNorm(dim, eps=1e-5)
    if kind == 'BN':
        return nn.BatchNorm1d(dim, eps=1e-5)
    return nn.BatchNorm1d(dim, eps=1e-6, affine=False)
