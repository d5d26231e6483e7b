"""Coordination of InternVideo's two branches by cross-model attention (arXiv 2212.03191, 3.3).

The code of this part was never published.  From the paper: both encoders stay frozen but for their
classifiers and the query token of the multimodal one; a module is multi-head cross-attention and a
feed-forward network; between blocks of the masked encoder its tokens are queries, tokens of the
multimodal encoder keys and values; in the last module the class token of the multimodal encoder is
the query and the tokens of the masked encoder are keys and values; a learned linear combination
joins the two scores.  Chosen here, where the paper says nothing: which layers meet, pre-norm
modules under tanh gates that start at 0 (arXiv 2204.14198), the pooled vector as the class token,
and that the combination is a convex one of probabilities.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from internvideo.models.backbones.base import EncoderOutput
from internvideo.models.heads.classification_heads import classification_loss
from internvideo.models.layers.attention import attend, check_attn_backend
from internvideo.models.layers.linear import Linear
from internvideo.models.layers.mlp import Mlp
from internvideo.models.tasks.retrieval.freezing import freeze_parts
from internvideo.registry import MODELS
from internvideo.structures import VideoDataSample
from internvideo.structures.rehearsal import SmallSizes

from .video_recognizer import VideoRecognizer

QUERY_TOKENS = ('temporal_cls_token',)


class CrossModelAttention(nn.Module):
    """Gated cross-attention and feed-forward network, both of which start as nothing.

    Args:
        dim: width D of the queries; must be divisible by ``num_heads``.
        context_dim: width of keys and values before their projection.
        num_heads: attention heads.
        mlp_ratio: hidden width of the feed-forward network over ``dim``.
        attn_backend: attention backend.
    """

    def __init__(
        self,
        dim: int,
        context_dim: int,
        num_heads: int,
        mlp_ratio: float = 4.0,
        attn_backend: str = 'auto',
    ) -> None:
        super().__init__()
        if dim % num_heads:
            raise ValueError(f'embed_dim={dim} is not divisible by num_heads={num_heads}')
        self.num_heads, self.backend = num_heads, check_attn_backend(attn_backend)
        self.norm_query, self.norm_context = nn.LayerNorm(dim), nn.LayerNorm(context_dim)
        self.query, self.key_value = Linear(dim, dim), Linear(context_dim, 2 * dim)
        self.proj = Linear(dim, dim)
        self.norm_mlp = nn.LayerNorm(dim)
        self.mlp = Mlp(dim, int(mlp_ratio * dim), act='gelu', fused=False)
        self.attn_gate, self.mlp_gate = (nn.Parameter(torch.zeros(())) for _ in range(2))

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """(B, M, D) over (B, N, C) -> (B, M, D)."""
        q = self.query(self.norm_query(x))
        k, v = self.key_value(self.norm_context(context)).chunk(2, dim=-1)
        parts = (part.unflatten(-1, (self.num_heads, -1)) for part in (q, k, v))
        mixed = self.proj(attend(*parts, self.backend).flatten(-2))
        x = x + self.attn_gate.tanh() * mixed
        return x + self.mlp_gate.tanh() * self.mlp(self.norm_mlp(x))


@MODELS.register_module()
class CrossModelRecognizer(VideoRecognizer):
    """Classifies by two encoders, one of which reads the other between its blocks.

    At the start the gates are closed: the scores are the mean of those of the two recognisers
    alone, that is, a plain ensemble.  What is the paper's and what is not: see the module.

    Args:
        backbone: config of the masked video encoder (:class:`VideoMAE`), whose blocks read.
        multimodal_encoder: config of the multimodal video encoder (:class:`UniFormerV2`), which
            gives its tokens and a pooled vector.
        head, multimodal_head: configs of their heads.
        cross_layers: pairs (block of ``backbone``, block of ``multimodal_encoder``): behind the
            first, its tokens look at those behind the second.
        num_heads: attention heads of the modules; both widths must be divisible by it.
        mlp_ratio: of their feed-forward networks.
        frame_stride: the multimodal encoder sees every so-many-th frame of a clip.
        multimodal_pixels: ``dict(mean=..., std=...)`` on the scale 0..255 that the multimodal
            encoder was trained with, where it is not that of the ``data_preprocessor``.
        freeze_encoders: encoders do not learn, but for query tokens.
        loss: config of the loss ``(logits, target) -> scalar``.
        data_preprocessor, max_views_per_forward, init_cfg: see :class:`VideoRecognizer`.

    Raises:
        ValueError: layers that do not exist or come twice, widths that heads do not divide, pixel
            statistics without a preprocessor, a ``multimodal_encoder`` without pooled vector.
    """

    def __init__(
        self,
        backbone: dict[str, Any],
        multimodal_encoder: dict[str, Any],
        head: dict[str, Any],
        multimodal_head: dict[str, Any],
        cross_layers: Sequence[tuple[int, int]],
        num_heads: int = 16,
        mlp_ratio: float = 4.0,
        frame_stride: int = 1,
        multimodal_pixels: dict[str, Sequence[float]] | None = None,
        freeze_encoders: bool = True,
        loss: dict[str, Any] | None = None,
        data_preprocessor: dict[str, Any] | nn.Module | None = None,
        max_views_per_forward: int | None = None,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(
            backbone, head, data_preprocessor, max_views_per_forward, init_cfg=init_cfg
        )
        self.multimodal_encoder = MODELS.build(multimodal_encoder)
        self.multimodal_head = MODELS.build(multimodal_head)
        self.cross_layers = self._checked_layers(cross_layers)
        if not self.multimodal_encoder.pooled_dim:
            raise ValueError('multimodal_encoder gives no pooled vector to classify by')
        masked, other = self.backbone.embed_dim, self.multimodal_encoder.embed_dim
        fields = dict(num_heads=num_heads, mlp_ratio=mlp_ratio)
        self.cross_attention = nn.ModuleList(
            CrossModelAttention(masked, other, **fields) for _ in self.cross_layers
        )
        pooled = self.multimodal_encoder.pooled_dim
        self.last_cross_attention = CrossModelAttention(pooled, masked, **fields)
        # The share of the masked encoder's scores is the sigmoid of it.
        self.balance = nn.Parameter(torch.zeros(()))
        self.frame_stride = frame_stride
        self._set_pixels(multimodal_pixels)
        self.loss_module = MODELS.build(loss or dict(type='SoftTargetCrossEntropy'))
        if freeze_encoders:
            parts = ['backbone', 'multimodal_encoder']
            self._frozen += freeze_parts(self, parts, QUERY_TOKENS)

    def _checked_layers(self, pairs: Sequence[tuple[int, int]]) -> dict[int, int]:
        layers = {int(ours): int(theirs) for ours, theirs in pairs}
        depths = (self.backbone.depth, self.multimodal_encoder.depth)
        fits = all(0 <= a < depths[0] and 0 <= b < depths[1] for a, b in layers.items())
        if not layers or len(layers) < len(pairs) or not fits:
            raise ValueError(
                f'cross_layers={list(pairs)} must be pairs of block indices below {depths}, each '
                'block of the backbone once'
            )
        return layers

    def _set_pixels(self, pixels: dict[str, Sequence[float]] | None) -> None:
        self.register_buffer('pixel_scale', None)
        self.register_buffer('pixel_shift', None)
        if pixels is None:
            return
        if not hasattr(self.data_preprocessor, 'mean'):
            raise ValueError('multimodal_pixels needs a data_preprocessor with mean and std')
        mean, std = (torch.tensor(pixels[name]).view(3, 1, 1, 1) for name in ('mean', 'std'))
        own = self.data_preprocessor
        scale = own.std.detach().view(3, 1, 1, 1) / std
        shift = (own.mean.detach().view(3, 1, 1, 1) - mean) / std
        # Not persistent: both are in the config.
        self.register_buffer('pixel_scale', scale, persistent=False)
        self.register_buffer('pixel_shift', shift, persistent=False)

    @classmethod
    def shrink(cls, config: dict[str, Any], small: SmallSizes) -> dict[str, Any]:
        """Offer a small copy to a rehearsal."""
        last = small.depth - 1
        return config | dict(cross_layers=[(last, last)], num_heads=small.heads)

    def classify(self, inputs: Tensor) -> Tensor:
        """Log-probabilities (N, K) of clips, or of views as clips, as their logits."""
        clips = inputs if inputs.ndim == 5 else inputs.flatten(0, 1)
        masked, multimodal = self.encode_both(clips)
        scores = [
            head(output).float().log_softmax(dim=-1)
            for head, output in (
                (self.head, masked),
                (self.multimodal_head, multimodal),
            )
        ]
        sign = self.balance.float()
        shares = [nn.functional.logsigmoid(sign), nn.functional.logsigmoid(-sign)]
        return torch.logsumexp(torch.stack([s + w for s, w in zip(scores, shares, strict=True)]), 0)

    def encode_both(self, clips: Tensor) -> tuple[EncoderOutput, EncoderOutput]:
        """Outputs of both encoders on clips (B, C, T, H, W), coordinated."""
        other = self.multimodal_encoder(
            self._for_multimodal(clips), return_layers=sorted(set(self.cross_layers.values()))
        )
        tokens = dict(zip(sorted(set(self.cross_layers.values())), other.layers, strict=True))
        modules = dict(zip(self.cross_layers, self.cross_attention, strict=True))

        def look(index: int, stream: Tensor) -> Tensor:
            if index not in modules:
                return stream
            return modules[index](stream, tokens[self.cross_layers[index]])

        with self.backbone.changed_stream(look):
            masked = self.extract_features(clips)
        query = other.pooled[:, None]
        pooled = self.last_cross_attention(query, masked.tokens)[:, 0]
        return masked, other._replace(pooled=pooled)

    def _for_multimodal(self, clips: Tensor) -> Tensor:
        clips = clips[:, :, :: self.frame_stride]
        if self.pixel_scale is None:
            return clips
        return clips * self.pixel_scale.to(clips.dtype) + self.pixel_shift.to(clips.dtype)

    def loss(self, inputs: Tensor, data_samples: Sequence[VideoDataSample]) -> dict[str, Tensor]:
        """Compute the loss of the joined scores, with each view of a video as a clip of its own."""
        views = 1 if inputs.ndim == 5 else inputs.shape[1]
        per_clip = [sample for sample in data_samples for _ in range(views)]
        return classification_loss(self.classify(inputs), per_clip, self.loss_module)

    def no_weight_decay(self) -> set[str]:
        """Names of parameters that are never decayed."""
        other = self.multimodal_encoder.no_weight_decay()
        return super().no_weight_decay() | {f'multimodal_encoder.{name}' for name in other}
