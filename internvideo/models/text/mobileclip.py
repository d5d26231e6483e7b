"""The text tower of MobileCLIP, used by the small CLIP models (arXiv 2311.17049)."""

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from internvideo.registry import MODELS
from internvideo.structures.rehearsal import SmallSizes

NORMS = ('layer_norm', 'layer_norm_fp32')


class LayerNormFP32(nn.LayerNorm):
    """LayerNorm computed in float32 and cast back."""

    def forward(self, x: Tensor) -> Tensor:
        # Weights may be bfloat16 as well, where the whole model was cast.
        bias = None if self.bias is None else self.bias.float()
        normed = F.layer_norm(x.float(), self.normalized_shape, self.weight.float(), bias, self.eps)
        return normed.to(x.dtype)


def make_norm(kind: str, dim: int) -> nn.LayerNorm:
    """Build a LayerNorm of ``kind``, or raise ValueError for an unknown one."""
    if kind not in NORMS:
        raise ValueError(f'norm_layer must be one of {", ".join(NORMS)}, got {kind!r}')
    return LayerNormFP32(dim) if kind == 'layer_norm_fp32' else nn.LayerNorm(dim)


class SelfAttention(nn.Module):
    """Multi-head self-attention with one ``qkv_proj`` map and an ``out_proj`` map."""

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        if dim % num_heads:
            raise ValueError(f'dim={dim} is not divisible by n_heads_per_layer={num_heads}')
        self.num_heads = num_heads
        self.qkv_proj = nn.Linear(dim, 3 * dim)
        self.out_proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor, mask: Tensor | None, is_causal: bool) -> Tensor:
        q, k, v = self.qkv_proj(x).unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=is_causal)
        return self.out_proj(mixed.transpose(1, 2).flatten(2))


class Layer(nn.Module):
    """Pre-norm transformer layer under the published names."""

    def __init__(self, dim: int, num_heads: int, hidden_dim: int, norm: str) -> None:
        super().__init__()
        self.pre_norm_mha = nn.Sequential(make_norm(norm, dim), SelfAttention(dim, num_heads))
        # Two places hold nothing: published names count activation and dropout.
        self.pre_norm_ffn = nn.Sequential(
            make_norm(norm, dim),
            nn.Linear(dim, hidden_dim),
            nn.GELU(),
            nn.Identity(),
            nn.Linear(hidden_dim, dim),
        )

    def forward(self, x: Tensor, mask: Tensor | None, is_causal: bool) -> Tensor:
        norm, attention = self.pre_norm_mha
        x = x + attention(norm(x), mask, is_causal)
        return x + self.pre_norm_ffn(x)


class LearntPositions(nn.Module):
    """``pos_embed`` (1, 1, length, dim), resized bilinearly to another length."""

    def __init__(self, length: int, dim: int) -> None:
        super().__init__()
        self.pos_embed = nn.Parameter(torch.empty(1, 1, length, dim))
        nn.init.normal_(self.pos_embed, std=dim**-0.5)

    def forward(self, length: int) -> Tensor:
        table = self.pos_embed
        if length != table.shape[2]:
            table = F.interpolate(table, size=(length, table.shape[3]), mode='bilinear')
        return table[0]


@MODELS.register_module()
class MobileCLIPText(BaseModule):
    """Transformer over byte-pair tokens, whose state at the end-of-text token is the feature.

    Args:
        context_length: positions of the table.
        vocab_size, dim: of the token embedding.
        n_transformer_layers: number of layers.
        n_heads_per_layer: attention heads.
        ffn_multiplier_per_layer: hidden width over ``dim``, rounded up to a multiple of 16; one
            number, or one per layer.
        projection_dim: width of the feature.
        norm_layer: ``'layer_norm_fp32'`` or ``'layer_norm'``.
        causal_masking: tokens see those before them only; padding is not masked then.
        no_pos_embedding: leave the position table out.

    Raises:
        ValueError: an unknown norm, widths that do not divide, or another number of multipliers
            than layers.
    """

    def __init__(
        self,
        context_length: int = 77,
        vocab_size: int = 49408,
        dim: int = 512,
        n_transformer_layers: int = 12,
        n_heads_per_layer: int = 8,
        ffn_multiplier_per_layer: float | Sequence[float] = 4.0,
        projection_dim: int = 512,
        norm_layer: str = 'layer_norm_fp32',
        causal_masking: bool = True,
        no_pos_embedding: bool = False,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.causal_masking, self.out_dim = causal_masking, projection_dim
        widths = hidden_widths(dim, ffn_multiplier_per_layer, n_transformer_layers)
        self.embedding_layer = nn.Embedding(vocab_size, dim)
        self.positional_embedding = None
        if not no_pos_embedding:
            self.positional_embedding = nn.ModuleDict(
                dict(pos_embed=LearntPositions(context_length, dim))
            )
        self.transformer = nn.ModuleList(
            Layer(dim, n_heads_per_layer, width, norm_layer) for width in widths
        )
        self.final_layer_norm = make_norm(norm_layer, dim)
        self.projection_layer = nn.Parameter(torch.empty(dim, projection_dim))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Normal initialisation of maps (0.02), embedding and projection (``dim ** -0.5``)."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)
        std = self.projection_layer.shape[0] ** -0.5
        nn.init.normal_(self.embedding_layer.weight, std=std)
        # The published code leaves it uninitialised until a file is loaded.
        nn.init.normal_(self.projection_layer, std=std)

    @classmethod
    def shrink(cls, config: dict[str, Any], small: SmallSizes) -> dict[str, Any]:
        """Offer a small copy to a rehearsal."""
        return config | dict(
            dim=small.width,
            n_transformer_layers=small.depth,
            n_heads_per_layer=small.heads,
            ffn_multiplier_per_layer=2.0,
            projection_dim=small.width,
        )

    @property
    def text_limits(self) -> tuple[int, int | None]:
        """Tokens that there are embeddings for, and positions of a text (None: any number)."""
        table = self.positional_embedding
        positions = None if table is None else table['pos_embed'].pos_embed.shape[2]
        return self.embedding_layer.num_embeddings, positions

    def forward(self, input_ids: Tensor) -> Tensor:
        """(B, L) tokens -> (B, ``projection_dim``) features, not normalised."""
        return self.pool(self.encode_tokens(input_ids), input_ids)

    def encode_tokens(self, input_ids: Tensor, padding: Tensor | None = None) -> Tensor:
        """(B, L) tokens, (B, L) bool, True = padding -> (B, L, ``dim``) normalised states."""
        # Not scaled: the published code computes a factor and does not use it.
        x = self.embedding_layer(input_ids)
        if self.positional_embedding is not None:
            x = x + self.positional_embedding['pos_embed'](input_ids.shape[1])
        mask = None
        if padding is not None and not self.causal_masking:
            # A boolean mask of torch is True where a token is seen.
            mask = ~padding[:, None, None]
        for layer in self.transformer:
            x = layer(x, mask, self.causal_masking)
        return self.final_layer_norm(x)

    def pool(self, states: Tensor, input_ids: Tensor) -> Tensor:
        """Project the state at the end-of-text token, which has the largest id."""
        rows = torch.arange(len(states), device=states.device)
        return states[rows, input_ids.argmax(dim=-1)] @ self.projection_layer


def hidden_widths(dim: int, multiplier: float | Sequence[float], depth: int) -> list[int]:
    """Hidden width of every layer, of which there must be ``depth``."""
    factors = list(multiplier) if isinstance(multiplier, Sequence) else [multiplier] * depth
    if len(factors) != depth:
        raise ValueError(f'{len(factors)} ffn_multiplier_per_layer for {depth} layers')
    # Rounded up to a multiple of 16, as published.
    return [math.ceil(dim * factor / 16) * 16 for factor in factors]
