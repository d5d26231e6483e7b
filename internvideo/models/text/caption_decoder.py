"""The caption decoder of InternVideo's multimodal model, that of CoCa (arXiv 2205.01917)."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from internvideo.models.layers.attention import attend, check_attn_backend
from internvideo.models.layers.linear import Linear
from internvideo.models.losses.masked_language import IGNORED, masked_language_loss, targets_only
from internvideo.registry import MODELS
from internvideo.structures.rehearsal import SmallSizes


class ScaleNorm(nn.Module):
    """LayerNorm with a learned scale ``gamma`` and, in place of a bias, a constant ``beta``."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(dim))
        self.register_buffer('beta', torch.zeros(dim))

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, x.shape[-1:], self.gamma, self.beta)


class RotaryFrequencies(nn.Module):
    """Angles of rotary positions (arXiv 2104.09864), base 10000, for vectors of ``dim``."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        steps = torch.arange(0, dim, 2, device='cpu').float()
        self.register_buffer('inv_freq', 10000.0 ** (-steps / dim))

    def forward(self, x: Tensor) -> Tensor:
        """Rotate (B, N, heads, dim) by position, entry i together with entry i + dim / 2."""
        positions = torch.arange(x.shape[1], device=x.device, dtype=torch.float32)
        # In float32: a half-precision angle would be wrong by whole steps at large positions.
        angles = (positions[:, None] * self.inv_freq.float())[:, None]
        cos, sin = angles.cos(), angles.sin()
        one, two = x.float().chunk(2, dim=-1)
        return torch.cat([one * cos - two * sin, two * cos + one * sin], dim=-1).to(x.dtype)


class SwiGLU(nn.Module):
    """``x * silu(gate)``, of which the gate is the second half of the input."""

    def forward(self, x: Tensor) -> Tensor:
        x, gate = x.chunk(2, dim=-1)
        return F.silu(gate) * x


class Residual(nn.Module):
    """``x + fn(x, ...)``, which gives the published names their ``fn``."""

    def __init__(self, fn: nn.Module) -> None:
        super().__init__()
        self.fn = fn

    def forward(self, x: Tensor, *context: Tensor) -> Tensor:
        return x + self.fn(x, *context)


class ParallelBlock(nn.Module):
    """Causal attention and feed-forward side by side, from one norm and one projection.

    All heads share one key and one value.

    Args:
        dim, num_heads: widths; a head has ``dim / num_heads``.
        ff_mult: hidden width of the feed-forward part over ``dim``.
    """

    def __init__(self, dim: int, num_heads: int, ff_mult: int) -> None:
        super().__init__()
        head_dim, hidden = dim // num_heads, ff_mult * dim
        self.num_heads, self.parts = num_heads, [dim, head_dim, head_dim, 2 * hidden]
        self.norm = ScaleNorm(dim)
        self.rotary_emb = RotaryFrequencies(head_dim)
        self.fused_attn_ff_proj = Linear(dim, sum(self.parts), bias=False)
        self.attn_out = Linear(dim, dim, bias=False)
        self.ff_out = nn.Sequential(SwiGLU(), Linear(hidden, dim, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, D) -> (B, L, D)."""
        q, k, v, hidden = self.fused_attn_ff_proj(self.norm(x)).split(self.parts, dim=-1)
        q = self.rotary_emb(q.unflatten(-1, (self.num_heads, -1))).transpose(1, 2)
        k = self.rotary_emb(k[:, :, None]).transpose(1, 2)
        # A view: the kernels read the one key and value again for every head.
        k, v = (side.expand(-1, self.num_heads, -1, -1) for side in (k, v[:, None]))
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.attn_out(mixed.transpose(1, 2).flatten(-2)) + self.ff_out(hidden)


class SharedKeyAttention(nn.Module):
    """Attention of queries over a context with one key and value for all heads, without biases.

    Args:
        dim, context_dim, num_heads: widths; a head has ``dim / num_heads``.
        ff_mult: hidden width over ``dim`` of the feed-forward part ``ff`` of the normalised
            queries, which is added to the result; None: there is none.
        norm_context: normalise the context too.
        attn_backend: attention backend.
    """

    def __init__(
        self,
        dim: int,
        context_dim: int,
        num_heads: int,
        ff_mult: int | None = None,
        norm_context: bool = False,
        attn_backend: str = 'auto',
    ) -> None:
        super().__init__()
        self.head_dim, self.backend = dim // num_heads, check_attn_backend(attn_backend)
        self.norm = ScaleNorm(dim)
        self.context_norm = ScaleNorm(context_dim) if norm_context else nn.Identity()
        self.to_q = Linear(dim, dim, bias=False)
        self.to_kv = Linear(context_dim, 2 * self.head_dim, bias=False)
        self.to_out = Linear(dim, dim, bias=False)
        self.ff = None
        if ff_mult:
            wide, narrow = Linear(dim, 2 * ff_mult * dim, bias=False), ff_mult * dim
            self.ff = nn.Sequential(wide, SwiGLU(), Linear(narrow, dim, bias=False))

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """(B, M, D) queries over (B, N, C) -> (B, M, D)."""
        x = self.norm(x)
        keys_values = self.to_kv(self.context_norm(context))
        k, v = (side[:, :, None] for side in keys_values.chunk(2, dim=-1))
        # What shares keys and values are M queries of some heads as well as M x heads of one.
        q = self.to_q(x).unflatten(-1, (-1, self.head_dim)).flatten(1, 2)
        mixed = attend(q[:, :, None], k, v, self.backend).reshape(x.shape)
        out = self.to_out(mixed)
        return out if self.ff is None else out + self.ff(x)


@MODELS.register_module()
class CaptionDecoder(BaseModule):
    """Predicts the next token of a caption from the tokens of a video and those before it.

    Learned queries pool the video tokens by one cross-attention; the states of a causal text
    tower then pass layers of a :class:`ParallelBlock` and a cross-attention to what was pooled
    (CoCa, arXiv 2205.01917, section 3.2).  Parameters carry the published names (without
    ``caption_decoder.``).

    Args:
        width: D, that of the text tower's states.
        vision_width: of the video tokens.
        n_layers: pairs of the two layers.
        heads: attention heads.
        num_visual_queries: learned queries.
        vocab_size: tokens that it tells apart.
        ff_mult: hidden width of the feed-forward parts over ``width``.
        attn_backend: attention backend of the cross-attentions; the causal one is torch's own.
        checkpoint_num: recompute the activations of that many first layers when training.

    Raises:
        ValueError: a width that the heads do not divide into even parts.
    """

    def __init__(
        self,
        width: int = 768,
        vision_width: int = 1024,
        n_layers: int = 4,
        heads: int = 12,
        num_visual_queries: int = 256,
        vocab_size: int = 49408,
        ff_mult: int = 4,
        attn_backend: str = 'auto',
        checkpoint_num: int = 0,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if width % (2 * heads):
            raise ValueError(
                f'width={width} is not divisible by twice heads={heads}: rotary positions need '
                'heads of even width'
            )
        self.width, self.vision_width, self.vocab_size = width, vision_width, vocab_size
        self.checkpoint_num = checkpoint_num
        self.visual_queries = nn.Parameter(torch.empty(num_visual_queries, width))
        nn.init.normal_(self.visual_queries, std=0.02)
        self.visual_attn_pooler = SharedKeyAttention(
            width, vision_width, heads, norm_context=True, attn_backend=attn_backend
        )
        self.visual_pooler_norm = nn.LayerNorm(width)
        self.text_norm = nn.LayerNorm(width)
        self.multimodal_layers = nn.ModuleList(
            nn.ModuleList(
                [
                    Residual(ParallelBlock(width, heads, ff_mult)),
                    Residual(
                        SharedKeyAttention(width, width, heads, ff_mult, attn_backend=attn_backend)
                    ),
                ]
            )
            for _ in range(n_layers)
        )
        self.predictor = nn.Sequential(
            nn.LayerNorm(width),
            Linear(width, width),
            nn.GELU(),
            nn.LayerNorm(width),
            Linear(width, vocab_size),
        )

    @classmethod
    def shrink(cls, config: dict[str, Any], small: SmallSizes) -> dict[str, Any]:
        """Offer a small copy to a rehearsal."""
        sizes = dict(width=small.width, vision_width=small.width, n_layers=small.depth)
        queries = min(config.get('num_visual_queries', 256), 8)
        return config | sizes | dict(heads=small.heads, num_visual_queries=queries)

    def no_weight_decay(self) -> set[str]:
        """Names of parameters that are never decayed: the queries."""
        return {'visual_queries'}

    def pool_video(self, video_tokens: Tensor) -> Tensor:
        """Pool video tokens (B, N, vision_width), in any order, to (B, queries, D)."""
        queries = self.visual_queries.to(video_tokens.dtype).expand(len(video_tokens), -1, -1)
        return self.visual_pooler_norm(self.visual_attn_pooler(queries, video_tokens))

    def decode(self, text_states: Tensor, pooled_video: Tensor) -> Tensor:
        """(B, L, D) states of a causal text tower -> (B, L, D) in which each has seen the video.

        A state depends on those before it and on ``pooled_video`` (B, queries, D) alone.
        """
        x = self.text_norm(text_states)
        for index, (causal, cross) in enumerate(self.multimodal_layers):
            recompute = index < self.checkpoint_num and self.training and torch.is_grad_enabled()
            if recompute:
                x = checkpoint(_layer, causal, cross, x, pooled_video, use_reentrant=False)
            else:
                x = _layer(causal, cross, x, pooled_video)
        return x

    def forward(self, video_tokens: Tensor, text_states: Tensor) -> Tensor:
        """Logits (B, L, vocabulary) of the token after each of L."""
        return self.predictor(self.decode(text_states, self.pool_video(video_tokens)))

    def loss(self, video_tokens: Tensor, text_states: Tensor, input_ids: Tensor) -> Tensor:
        """Mean cross-entropy of every token behind the first, up to the end of text.

        Args:
            video_tokens: (B, N, vision_width), in any order.
            text_states: (B, L, D) states of the causal text tower on ``input_ids``.
            input_ids: (B, L); the end of text is the largest id of a row, and what follows it is
                padding.

        Raises:
            ValueError: tokens that the decoder's vocabulary does not have.
        """
        hidden = self.decode(text_states[:, :-1], self.pool_video(video_tokens))
        hidden, labels = targets_only(hidden, next_tokens(input_ids))
        return masked_language_loss(self.predictor(hidden), labels)

    @torch.no_grad()
    def generate(
        self,
        video_tokens: Tensor,
        encode_text: Callable[[Tensor], Tensor],
        start_id: int,
        end_id: int,
        max_length: int,
    ) -> Tensor:
        """Write captions greedily.

        Args:
            video_tokens: (B, N, vision_width), in any order.
            encode_text: the causal text tower: (B, L) ids -> (B, L, D) states.
            start_id, end_id: the first token of every caption, and what ends it.
            max_length: most tokens of a caption, those two included; at least 2.

        Returns:
            Ids (B, M) of M <= ``max_length`` tokens, 0 behind the end; the last token of a caption
            that found no end is ``end_id``.
        """
        if max_length < 2:
            raise ValueError(f'max_length={max_length} has no room for start and end of text')
        pooled = self.pool_video(video_tokens)
        batch, device = len(video_tokens), video_tokens.device
        ids = torch.full((batch, 1), start_id, device=device)
        ended = torch.zeros(batch, dtype=torch.bool, device=device)
        while ids.shape[1] < max_length and not bool(ended.all()):
            hidden = self.decode(encode_text(ids), pooled)[:, -1]
            words = self.predictor(hidden).argmax(dim=-1)
            if ids.shape[1] == max_length - 1:
                words = torch.full_like(words, end_id)
            ids = torch.cat([ids, words.masked_fill(ended, 0)[:, None]], dim=1)
            ended |= words == end_id
        return ids


def _layer(causal: nn.Module, cross: nn.Module, x: Tensor, pooled_video: Tensor) -> Tensor:
    return cross(causal(x), pooled_video)


def next_tokens(input_ids: Tensor) -> Tensor:
    """Labels (B, L - 1): the ids behind the first, -100 for padding behind the end of text.

    The end of text is the largest id of a row.
    """
    positions = torch.arange(input_ids.shape[1], device=input_ids.device)
    padding = positions > input_ids.argmax(dim=1, keepdim=True)
    return input_ids.masked_fill(padding, IGNORED)[:, 1:]
