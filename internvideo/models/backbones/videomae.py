"""The VideoMAE vision transformer (arXiv 2203.12602 and, for the giant sizes, 2303.16727)."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from internvideo.models.layers.attention import attend, check_attn_backend
from internvideo.models.layers.linear import Linear
from internvideo.models.layers.mlp import Mlp
from internvideo.models.layers.patch_embed import PatchEmbed3D
from internvideo.models.layers.position import interleaved_sinusoid, resized_sinusoid
from internvideo.models.layers.residual import DropPath
from internvideo.ops.position_tables import interpolate_joint_table
from internvideo.ops.tokens import visible_positions
from internvideo.ops.tubes import take_tubes
from internvideo.registry import MODELS
from internvideo.structures.rehearsal import SmallSizes

from .base import EncoderOutput, PositionTable, VideoEncoder, small_encoder

LAYOUTS = ('corrected', 'published')
POSITIONS = ('resized', 'own', 'learned', 'stored')
POOLINGS = (None, 'mean', 'first')
BASE_FRAMES, BASE_SIZE = 16, 224
STORED_STEPS = 8
# Patches a side of the stored table before resizing: 224 px at patch 14, 14 for any other patch.
STORED_SIDES = {14: 16}


class VideoMAEAttention(nn.Module):
    """Self-attention whose queries and values, but not keys, have a bias.

    ``qk_scale`` takes the place of ``head_dim ** -0.5`` as the factor of the queries.
    ``layout='published'`` reproduces what the published InternVideo2 pretraining code computes
    with these weights: heads and tokens trade places, so a token attends over its own heads and
    the results are spread over other tokens.
    """

    def __init__(
        self,
        dim: int,
        num_heads: int,
        qkv_bias: bool,
        backend: str = 'auto',
        layout: str = 'corrected',
        qk_scale: float | None = None,
    ) -> None:
        super().__init__()
        if dim % num_heads:
            raise ValueError(f'embed_dim={dim} is not divisible by num_heads={num_heads}')
        # What kernels do not multiply with themselves; None, or 0 as published: nothing.
        self.extra_scale = qk_scale * (dim // num_heads) ** 0.5 if qk_scale else None
        self.num_heads, self.layout = num_heads, layout
        self.backend = check_attn_backend(backend)
        self.qkv = Linear(dim, 3 * dim, bias=False)
        self.q_bias = nn.Parameter(torch.zeros(dim)) if qkv_bias else None
        self.v_bias = nn.Parameter(torch.zeros(dim)) if qkv_bias else None
        self.proj = Linear(dim, dim)

    def forward(self, x: Tensor, num_queries: int | None = None) -> Tensor:
        """(B, N, D) -> (B, N, D), or (B, ``num_queries``, D) for the last tokens alone."""
        bias = None
        if self.q_bias is not None:
            # A bias of the keys would add one number to all scores of a query, which a softmax
            # drops.
            bias = torch.cat([self.q_bias, torch.zeros_like(self.q_bias), self.v_bias])
        qkv = F.linear(x, self.qkv.weight, bias)
        q, k, v = (part.unflatten(-1, (self.num_heads, -1)) for part in qkv.chunk(3, dim=-1))
        if num_queries is not None:
            q = q[:, -num_queries:]
        if self.extra_scale is not None:
            q = q * self.extra_scale
        if self.layout == 'corrected':
            return self.proj(attend(q, k, v, self.backend).flatten(-2))
        # attend() takes the second axis for tokens, which is that of the heads here; its output is
        # read back without a transpose, too.
        q, k, v = (part.transpose(1, 2) for part in (q, k, v))
        return self.proj(attend(q, k, v, self.backend).reshape(x.shape))


class VideoMAEBlock(nn.Module):
    """Pre-norm transformer block with LayerNorm and, optionally, layer scale."""

    def __init__(
        self,
        dim: int,
        num_heads: int,
        hidden_dim: int,
        qkv_bias: bool = True,
        init_values: float | None = None,
        drop_path: float = 0.0,
        attn_backend: str = 'auto',
        attention_layout: str = 'corrected',
        qk_scale: float | None = None,
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.attn = VideoMAEAttention(
            dim, num_heads, qkv_bias, attn_backend, attention_layout, qk_scale
        )
        self.norm2 = nn.LayerNorm(dim, eps=1e-6)
        # Trained with the exact GELU, which the fused kernel does not know.
        self.mlp = Mlp(dim, hidden_dim, act='gelu', fused=False, recompute=True)
        self.gamma_1 = self.gamma_2 = None
        if init_values:
            self.gamma_1 = nn.Parameter(torch.full((dim,), init_values))
            self.gamma_2 = nn.Parameter(torch.full((dim,), init_values))
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor, num_queries: int | None = None) -> Tensor:
        """(B, N, D) -> (B, N, D), or (B, ``num_queries``, D) for the last tokens alone."""
        branch = self.attn(self.norm1(x), num_queries)
        x = x if num_queries is None else x[:, -num_queries:]
        x = x + self.drop_path(_scaled(branch, self.gamma_1))
        return x + self.drop_path(_scaled(self.mlp(self.norm2(x)), self.gamma_2))


def _scaled(branch: Tensor, gamma: Tensor | None) -> Tensor:
    return branch if gamma is None else branch * gamma


@MODELS.register_module()
class VideoMAE(VideoEncoder):
    """VideoMAE encoder without class token (arXiv 2203.12602, section 3.2).

    It is pretrained by ``MaskedAutoencoder``, fine-tuned as the encoder of a ``VideoRecognizer``,
    and one is the MAE teacher of InternVideo2.  Parameters carry the published names (without the
    ``encoder.`` of pretraining files).

    Args:
        arch: ``'small'``, ``'base'``, ``'large'``, ``'huge'``, ``'giant'``, ``'gigantic'``, or
            None when ``embed_dim``, ``depth``, ``num_heads`` and ``mlp_ratio`` are given.
        embed_dim, depth, num_heads, mlp_ratio: each overrides ``arch``.
        img_size: side of the input in pixels, or (height, width).
        patch_size, num_frames, tubelet_size, in_channels: as for InternVideo2.
        qkv_bias: biases of queries and values.
        qk_scale: factor of the queries in place of ``head_dim ** -0.5``.
        init_values: first value of the layer scales; 0 or None leaves them out.
        drop_path_rate: stochastic depth of the last block; linear from 0.
        pos_embed: where tokens get their places from.  ``'resized'``: the constant sinusoid of 16
            frames of 224 px, resized to this size (fine-tuning).  ``'own'``: that of this size
            (pretraining, where the two differ but at the base size).  ``'learned'``: parameters,
            an entry ``pos_embed`` (1, N, D).  ``'stored'``: as ``'resized'``, but the resized
            table is an entry that is not trained and starts from 14 patches a side whatever the
            patch, as for the teacher of the published InternVideo2.
        final_norm: LayerNorm ``norm`` after the last block.
        pooling: the pooled vector, for a classifier: ``'mean'`` of the tokens (published with
            ``final_norm=False`` and a norm in the head), the ``'first'`` token, or None.
        attn_backend: attention backend.
        attention_layout: ``'corrected'``, or ``'published'`` for the attention across heads that
            the published InternVideo2 pretraining runs its teacher with.
        checkpoint_num: recompute the activations of that many first blocks when training.

    Raises:
        ValueError: unknown architecture, layout, table or pooling; sizes that do not divide.
    """

    ARCHITECTURES: ClassVar[dict[str, dict[str, Any]]] = {
        'small': dict(embed_dim=384, depth=12, num_heads=6, mlp_ratio=4.0),
        'base': dict(embed_dim=768, depth=12, num_heads=12, mlp_ratio=4.0),
        'large': dict(embed_dim=1024, depth=24, num_heads=16, mlp_ratio=4.0),
        'huge': dict(embed_dim=1280, depth=32, num_heads=16, mlp_ratio=4.0),
        'giant': dict(embed_dim=1408, depth=40, num_heads=16, mlp_ratio=48 / 11),
        'gigantic': dict(embed_dim=1664, depth=48, num_heads=16, mlp_ratio=64 / 13),
    }
    num_prefix_tokens = 0

    def __init__(
        self,
        arch: str | Mapping[str, Any] | None = 'giant',
        embed_dim: int | None = None,
        depth: int | None = None,
        num_heads: int | None = None,
        mlp_ratio: float | None = None,
        img_size: int | tuple[int, int] = 224,
        patch_size: int = 14,
        num_frames: int = 16,
        tubelet_size: int = 2,
        in_channels: int = 3,
        qkv_bias: bool = True,
        qk_scale: float | None = None,
        init_values: float | None = 0.0,
        drop_path_rate: float = 0.0,
        pos_embed: str = 'resized',
        final_norm: bool = True,
        pooling: str | None = None,
        attn_backend: str = 'auto',
        attention_layout: str = 'corrected',
        checkpoint_num: int = 0,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        _check_choice('attention_layout', attention_layout, LAYOUTS)
        _check_choice('pos_embed', pos_embed, POSITIONS)
        _check_choice('pooling', pooling, POOLINGS)
        width = self.resolve_arch(
            arch, embed_dim=embed_dim, depth=depth, num_heads=num_heads, mlp_ratio=mlp_ratio
        )
        super().__init__(
            embed_dim=width['embed_dim'],
            depth=width['depth'],
            img_size=img_size,
            patch_size=patch_size,
            num_frames=num_frames,
            tubelet_size=tubelet_size,
            pooled_dim=width['embed_dim'] if pooling else 0,
            checkpoint_num=checkpoint_num,
            init_cfg=init_cfg,
        )
        self.pooling, self.positions = pooling, pos_embed
        self.patch_embed = PatchEmbed3D(patch_size, tubelet_size, in_channels, self.embed_dim)
        self._make_position_table(patch_size)
        # On the CPU even when the model is built on the meta device: the rates are numbers.
        rates = torch.linspace(0, drop_path_rate, self.depth, device='cpu').tolist()
        self.blocks = nn.ModuleList(
            VideoMAEBlock(
                self.embed_dim,
                width['num_heads'],
                int(self.embed_dim * width['mlp_ratio']),
                qkv_bias,
                init_values,
                rate,
                attn_backend,
                attention_layout,
                qk_scale,
            )
            for rate in rates
        )
        self.norm = nn.LayerNorm(self.embed_dim, eps=1e-6) if final_norm else nn.Identity()

    def _make_position_table(self, patch_size: int) -> None:
        dim, num_positions = self.embed_dim, math.prod(self.grid)
        if self.positions == 'learned':
            self.pos_embed = nn.Parameter(torch.empty(1, num_positions, dim))
            nn.init.trunc_normal_(self.pos_embed, std=0.02)
            return
        if self.positions == 'own':
            table = interleaved_sinusoid(num_positions, dim)[None]
        elif self.positions == 'resized':
            steps, side = BASE_FRAMES // self.tubelet_size, BASE_SIZE // patch_size
            table = interleaved_sinusoid(steps * side**2, dim)[None]
            # Published in space first: on separate axes the order makes no difference.
            table = interpolate_joint_table(
                table, steps, self.grid, extra_rows=0, orig_grid=(side, side)
            )
        else:
            steps, height, width = self.grid
            side = STORED_SIDES.get(patch_size, 14)
            base = STORED_STEPS * side**2
            if height != width:
                raise ValueError(
                    f'the stored table is resized to square frames only, not {height}x{width}'
                )
            table = resized_sinusoid(num_positions, dim, steps, base, STORED_STEPS, side)[None]
            if num_positions != base:
                self.pos_embed = nn.Parameter(table, requires_grad=False)
                return
        # No published file holds such a table.
        self.register_buffer('pos_embed', table, persistent=False)

    def position_tables(self) -> dict[str, PositionTable]:
        """The one table, constant unless it is learned."""
        return dict(pos_embed=PositionTable(learned=self.positions == 'learned'))

    @classmethod
    def shrink(cls, config: dict[str, Any], small: SmallSizes) -> dict[str, Any]:
        """Offer a small copy to a rehearsal."""
        return small_encoder(config, small)

    def forward(
        self,
        video: Tensor,
        mask: Tensor | None = None,
        return_layers: Sequence[int] = (),
        return_attn: bool = False,
        num_visible: int | None = None,
        layers_only: bool = False,
    ) -> EncoderOutput:
        """Encode clips.

        Args:
            video: (B, C, T, H, W) normalised clips.
            mask: (B, N) bool, True hides a token; the same number is visible in every row.
            return_layers: block indices (0-based) whose output stream is returned; that of the
                last block is normalised, the others are raw.
            return_attn: not possible: there is no attention pooler.
            num_visible: visible tokens per row, when the caller knows.
            layers_only: stop after the last of ``return_layers``.

        Raises:
            ValueError: a clip of another size, an unusable mask, or a layer that does not exist.
        """
        self.check_clips(video)
        self.check_request(return_layers, return_attn)
        x = self._embed(video, mask, num_visible)
        taps = {}
        for index in range(self.num_needed_blocks(return_layers, layers_only)):
            x = self.run_block(index, x)
            if index == self.depth - 1:
                x = self.norm(x)
            if index in return_layers:
                taps[index] = x
        pooled = None if layers_only else self._pool(x)
        return EncoderOutput(x, pooled, [taps[i] for i in return_layers], None, self.grid)

    def _embed(self, video: Tensor, mask: Tensor | None, num_visible: int | None) -> Tensor:
        """Visible tokens (B, M, D) with their places, without computing hidden ones."""
        if mask is None:
            tokens, table = self.patch_embed(video).flatten(1, 2), self.pos_embed
        else:
            size = torch.Size((len(video), math.prod(self.grid)))
            kept = visible_positions(mask, size, num_visible)
            tokens = self.patch_embed.embed(take_tubes(video, self.patch_embed.kernel, kept))
            table = F.embedding(kept, self.pos_embed[0])
        # A float32 table would turn a bfloat16 stream into float32.
        return tokens + table.to(tokens.dtype)

    def _pool(self, x: Tensor) -> Tensor | None:
        if self.pooling == 'mean':
            return x.mean(dim=1)
        return x[:, 0] if self.pooling == 'first' else None


def _check_choice(field: str, value: Any, choices: Sequence[Any]) -> None:
    if value not in choices:
        known = ', '.join(map(str, choices))
        raise ValueError(f'{field} must be one of {known}, got {value!r}')
