"""An attentive probe with layers of its own: it sees all tokens and asks by learned queries."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from internvideo.models.backbones.base import EncoderOutput
from internvideo.models.layers.attention import Attention, attend, check_attn_backend
from internvideo.models.layers.linear import Linear
from internvideo.models.layers.mlp import Mlp
from internvideo.registry import MODELS
from internvideo.structures import VideoDataSample
from internvideo.structures.rehearsal import SmallSizes

from .classification_heads import classification_loss


class ProbeBlock(nn.Module):
    """Pre-norm layer of attention and MLP, both added to the tokens."""

    def __init__(self, dim: int, num_heads: int, hidden_dim: int, std: float, backend: str) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=1e-5)
        self.attn = Attention(dim, num_heads, True, False, backend, out_std=std)
        self.norm2 = nn.LayerNorm(dim, eps=1e-5)
        self.mlp = Mlp(dim, hidden_dim, act='gelu', out_std=std, fused=False)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class QueryAttention(nn.Module):
    """Attention of queries to tokens without a map behind it."""

    def __init__(self, dim: int, num_heads: int, backend: str) -> None:
        super().__init__()
        if dim % num_heads:
            raise ValueError(f'embed_dim={dim} is not divisible by num_heads={num_heads}')
        self.num_heads, self.backend = num_heads, check_attn_backend(backend)
        self.q = Linear(dim, dim)
        self.kv = Linear(dim, 2 * dim)

    def forward(self, query: Tensor, tokens: Tensor) -> Tensor:
        parts = (self.q(query), *self.kv(tokens).chunk(2, dim=-1))
        q, k, v = (part.unflatten(-1, (self.num_heads, -1)) for part in parts)
        return attend(q, k, v, self.backend).flatten(-2)


class QueryBlock(nn.Module):
    """Residual cross-attention of queries, which are not normed, and an MLP."""

    def __init__(self, dim: int, num_heads: int, hidden_dim: int, std: float, backend: str) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=1e-5)
        self.xattn = QueryAttention(dim, num_heads, backend)
        self.norm2 = nn.LayerNorm(dim, eps=1e-5)
        self.mlp = Mlp(dim, hidden_dim, act='gelu', out_std=std, fused=False)

    def forward(self, query: Tensor, tokens: Tensor) -> Tensor:
        query = query + self.xattn(query, self.norm1(tokens))
        return query + self.mlp(self.norm2(query))


class QueryPooler(nn.Module):
    """Tokens (B, N, D) -> (B, ``num_queries``, D): plain blocks, then one of queries.

    Args:
        dim, num_heads, mlp_ratio: sizes of the blocks.
        depth: blocks, the last of which is that of the queries.
        num_queries: learned queries.
        backend: attention backend.
    """

    def __init__(
        self,
        dim: int,
        num_heads: int,
        depth: int,
        mlp_ratio: float = 4.0,
        num_queries: int = 1,
        backend: str = 'auto',
    ) -> None:
        super().__init__()
        if depth < 1 or num_queries < 1:
            raise ValueError(f'depth={depth} and num_queries={num_queries} must be positive')
        hidden = int(dim * mlp_ratio)
        self.query_tokens = nn.Parameter(torch.empty(1, num_queries, dim))
        # Deeper blocks start with smaller outputs.
        first = 0.02 / 2**0.5
        self.cross_attention_block = QueryBlock(dim, num_heads, hidden, first, backend)
        self.blocks = nn.ModuleList(
            ProbeBlock(dim, num_heads, hidden, 0.02 / (2 * (index + 1)) ** 0.5, backend)
            for index in range(1, depth)
        )
        nn.init.normal_(self.query_tokens, std=0.02)

    def forward(self, tokens: Tensor) -> Tensor:
        for block in self.blocks:
            tokens = block(tokens)
        query = self.query_tokens.to(tokens.dtype).expand(len(tokens), -1, -1)
        return self.cross_attention_block(query, tokens)


@MODELS.register_module()
class AttentiveClassifierHead(nn.Module):
    """The four-layer attentive probe of V-JEPA 2 (arXiv 2506.09985) on all tokens of an encoder.

    Parameters have the published names (``pooler.*``, ``linear.*``).

    Args:
        num_classes: number of classes K.
        embed_dim: token width D of the encoder.
        num_heads, mlp_ratio: of the blocks.
        depth: blocks, the last of which has the learned query; 1 is the probe of one layer.
        attn_backend: attention backend.
        loss: config of the loss ``(logits, target) -> scalar``.

    Raises:
        ValueError: no block, or a width that the heads do not divide.
    """

    def __init__(
        self,
        num_classes: int,
        embed_dim: int = 768,
        num_heads: int = 16,
        depth: int = 4,
        mlp_ratio: float = 4.0,
        attn_backend: str = 'auto',
        loss: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.pooler = QueryPooler(embed_dim, num_heads, depth, mlp_ratio, backend=attn_backend)
        self.linear = Linear(embed_dim, num_classes)
        self.loss_module = MODELS.build(loss or dict(type='SoftTargetCrossEntropy'))

    @classmethod
    def shrink(cls, config: dict[str, Any], small: SmallSizes) -> dict[str, Any]:
        """Offer a small copy to a rehearsal."""
        return small.narrowed(config, 'embed_dim') | dict(num_heads=small.heads)

    def forward(self, features: EncoderOutput) -> Tensor:
        """(B, num_classes) logits.  Raises ValueError for tokens of another width."""
        width = self.linear.in_features
        if features.tokens.shape[-1] != width:
            raise ValueError(
                f'head.embed_dim={width}, but the tokens of the encoder are '
                f'{features.tokens.shape[-1]} wide'
            )
        return self.linear(self.pooler(features.tokens)[:, 0])

    def loss(
        self, features: EncoderOutput, data_samples: Sequence[VideoDataSample]
    ) -> dict[str, Tensor]:
        """``{'loss': ...}`` for one data sample per clip."""
        return classification_loss(self(features), data_samples, self.loss_module)
