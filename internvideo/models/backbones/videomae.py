"""The VideoMAE vision transformer (arXiv 2203.12602 and, for the giant sizes, 2303.16727)."""

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
from internvideo.ops.tokens import gather_visible
from internvideo.registry import MODELS
from internvideo.structures.rehearsal import SmallSizes

from .base import EncoderOutput, PositionTable, VideoEncoder, small_encoder

LAYOUTS = ('corrected', 'published')
BASE_STEPS = 8
# Patches a side of the table before resizing: 224 px at patch 14, and 14 for any other patch.
BASE_SIDES = {14: 16}


class VideoMAEAttention(nn.Module):
    """Self-attention whose queries and values, but not keys, have a bias.

    ``layout='published'`` reproduces what the published InternVideo2 pretraining code computes
    with these weights: heads and tokens trade places, so a token attends over its own heads and
    the results are spread over other tokens.
    """

    def __init__(self, dim: int, num_heads: int, qkv_bias: bool, backend: str, layout: str) -> None:
        super().__init__()
        if dim % num_heads:
            raise ValueError(f'embed_dim={dim} is not divisible by num_heads={num_heads}')
        self.num_heads, self.layout = num_heads, layout
        self.backend = check_attn_backend(backend)
        self.qkv = Linear(dim, 3 * dim, bias=False)
        self.q_bias = nn.Parameter(torch.zeros(dim)) if qkv_bias else None
        self.v_bias = nn.Parameter(torch.zeros(dim)) if qkv_bias else None
        self.proj = Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, D) -> (B, N, D)."""
        bias = None
        if self.q_bias is not None:
            # A bias of the keys would add one number to all scores of a query, which a softmax
            # drops.
            bias = torch.cat([self.q_bias, torch.zeros_like(self.q_bias), self.v_bias])
        qkv = F.linear(x, self.qkv.weight, bias)
        parts = (part.unflatten(-1, (self.num_heads, -1)) for part in qkv.chunk(3, dim=-1))
        if self.layout == 'corrected':
            return self.proj(attend(*parts, self.backend).flatten(-2))
        # attend() takes the second axis for tokens, which is that of the heads here; its output is
        # read back without a transpose, too.
        q, k, v = (part.transpose(1, 2) for part in parts)
        return self.proj(attend(q, k, v, self.backend).reshape(x.shape))


class VideoMAEBlock(nn.Module):
    """Pre-norm transformer block with LayerNorm and, optionally, layer scale."""

    def __init__(
        self,
        dim: int,
        num_heads: int,
        hidden_dim: int,
        qkv_bias: bool,
        init_values: float | None,
        drop_path: float,
        attn_backend: str,
        attention_layout: str,
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.attn = VideoMAEAttention(dim, num_heads, qkv_bias, attn_backend, attention_layout)
        self.norm2 = nn.LayerNorm(dim, eps=1e-6)
        # Trained with the exact GELU, which the fused kernel does not know.
        self.mlp = Mlp(dim, hidden_dim, act='gelu', fused=False)
        self.gamma_1 = self.gamma_2 = None
        if init_values:
            self.gamma_1 = nn.Parameter(torch.full((dim,), init_values))
            self.gamma_2 = nn.Parameter(torch.full((dim,), init_values))
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.drop_path(_scaled(self.attn(self.norm1(x)), self.gamma_1))
        return x + self.drop_path(_scaled(self.mlp(self.norm2(x)), self.gamma_2))


def _scaled(branch: Tensor, gamma: Tensor | None) -> Tensor:
    return branch if gamma is None else branch * gamma


@MODELS.register_module()
class VideoMAE(VideoEncoder):
    """VideoMAE encoder without class token, of which one is the MAE teacher of InternVideo2.

    Parameters carry the published names (without the ``encoder.`` of pretraining files).  The
    position table is a constant sinusoid of the base size (16 frames, 224 px); for another size
    it is resized and, as in the published files, an entry ``pos_embed`` that is not trained.

    Args:
        arch: ``'small'``, ``'base'``, ``'large'``, ``'huge'``, ``'giant'``, ``'gigantic'``, or
            None when ``embed_dim``, ``depth``, ``num_heads`` and ``mlp_ratio`` are given.
        embed_dim, depth, num_heads, mlp_ratio: each overrides ``arch``.
        img_size: side of the input in pixels, or (height, width).
        patch_size, num_frames, tubelet_size, in_channels: as for InternVideo2.
        qkv_bias: biases of queries and values.
        init_values: first value of the layer scales; 0 or None leaves them out.
        drop_path_rate: stochastic depth of the last block; linear from 0.
        final_norm: LayerNorm ``norm`` after the last block.
        mean_pool: give the mean of the tokens as the pooled vector, for a classifier.
        attn_backend: attention backend.
        attention_layout: ``'corrected'``, or ``'published'`` for the attention across heads that
            the published InternVideo2 pretraining runs its teacher with.
        checkpoint_num: recompute the activations of that many first blocks when training.

    Raises:
        ValueError: unknown architecture or layout; sizes that do not divide.
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
        init_values: float | None = 0.0,
        drop_path_rate: float = 0.0,
        final_norm: bool = True,
        mean_pool: bool = False,
        attn_backend: str = 'auto',
        attention_layout: str = 'corrected',
        checkpoint_num: int = 0,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        if attention_layout not in LAYOUTS:
            raise ValueError(
                f'attention_layout must be one of {", ".join(LAYOUTS)}, got {attention_layout!r}'
            )
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
            pooled_dim=width['embed_dim'] if mean_pool else 0,
            checkpoint_num=checkpoint_num,
            init_cfg=init_cfg,
        )
        self.mean_pool = mean_pool
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
            )
            for rate in rates
        )
        self.norm = nn.LayerNorm(self.embed_dim, eps=1e-6) if final_norm else nn.Identity()

    def _make_position_table(self, patch_size: int) -> None:
        steps, height, width = self.grid
        side = BASE_SIDES.get(patch_size, 14)
        num_positions, base = steps * height * width, BASE_STEPS * side**2
        if num_positions == base:
            table = interleaved_sinusoid(base, self.embed_dim)[None]
            # Published files of this size hold no such entry.
            self.register_buffer('pos_embed', table, persistent=False)
            return
        if height != width:
            raise ValueError(f'the position table is resized to squares only, not {height}x{width}')
        table = resized_sinusoid(num_positions, self.embed_dim, steps, base, BASE_STEPS, side)
        self.pos_embed = nn.Parameter(table[None], requires_grad=False)

    def position_tables(self) -> dict[str, PositionTable]:
        """The constant table, made for the encoder's own grid."""
        return dict(pos_embed=PositionTable(learned=False))

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
        x = self.patch_embed(video).flatten(1, 2)
        # A float32 table would turn a bfloat16 stream into float32.
        x = x + self.pos_embed.to(x.dtype)
        if mask is not None:
            x = gather_visible(x, mask, num_visible)
        taps = {}
        for index in range(self.num_needed_blocks(return_layers, layers_only)):
            x = self.run_block(index, x)
            if index == self.depth - 1:
                x = self.norm(x)
            if index in return_layers:
                taps[index] = x
        pooled = x.mean(dim=1) if self.mean_pool and not layers_only else None
        return EncoderOutput(x, pooled, [taps[i] for i in return_layers], None, self.grid)
