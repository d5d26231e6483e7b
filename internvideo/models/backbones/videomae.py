"""The VideoMAE vision transformer (arXiv 2203.12602 and, for the giant sizes, 2303.16727)."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from internvideo.models.layers.attention import attend, check_attn_backend
from internvideo.models.layers.linear import Linear
from internvideo.models.layers.mlp import Mlp
from internvideo.models.layers.patch_embed import PatchEmbed3D
from internvideo.models.layers.position import videomae_sinusoid, videomae_table
from internvideo.models.layers.residual import DropPath
from internvideo.registry import MODELS

from .base import EncoderOutput
from .internvideo2 import gather_visible

ARCHITECTURES: dict[str, dict[str, Any]] = {
    'small': dict(embed_dim=384, depth=12, num_heads=6, mlp_ratio=4.0),
    'base': dict(embed_dim=768, depth=12, num_heads=12, mlp_ratio=4.0),
    'large': dict(embed_dim=1024, depth=24, num_heads=16, mlp_ratio=4.0),
    'huge': dict(embed_dim=1280, depth=32, num_heads=16, mlp_ratio=4.0),
    'giant': dict(embed_dim=1408, depth=40, num_heads=16, mlp_ratio=48 / 11),
    'gigantic': dict(embed_dim=1664, depth=48, num_heads=16, mlp_ratio=64 / 13),
}
_ARCH_FIELDS = tuple(ARCHITECTURES['small'])
LAYOUTS = ('corrected', 'published')
BASE_STEPS = 8
# Squares a side of the table before resizing: 224 px at patch 14, and 14 for any other patch.
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
            bias = torch.cat([self.q_bias, torch.zeros_like(self.q_bias), self.v_bias])
        qkv = F.linear(x, self.qkv.weight, bias)
        parts = (part.unflatten(-1, (self.num_heads, -1)) for part in qkv.chunk(3, dim=-1))
        if self.layout == 'corrected':
            return self.proj(attend(*parts, self.backend).flatten(-2))
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
class VideoMAE(BaseModule):
    """VideoMAE encoder without class token; VideoMAEv2-g is the MAE teacher of InternVideo2.

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
        super().__init__(init_cfg)
        fields = dict(embed_dim=embed_dim, depth=depth, num_heads=num_heads, mlp_ratio=mlp_ratio)
        fields = _resolve(arch, fields)
        if attention_layout not in LAYOUTS:
            raise ValueError(
                f'attention_layout must be one of {", ".join(LAYOUTS)}, got {attention_layout!r}'
            )
        self.embed_dim, self.depth = fields['embed_dim'], fields['depth']
        self.num_frames, self.mean_pool = num_frames, mean_pool
        self.pooled_dim = self.embed_dim if mean_pool else 0
        self.img_size = (img_size, img_size) if isinstance(img_size, int) else tuple(img_size)
        self.grid = _grid(num_frames, self.img_size, tubelet_size, patch_size)
        self.checkpoint_num = checkpoint_num
        self.patch_embed = PatchEmbed3D(patch_size, tubelet_size, in_channels, self.embed_dim)
        self._make_position_table(patch_size)
        rates = torch.linspace(0, drop_path_rate, self.depth, device='cpu').tolist()
        self.blocks = nn.ModuleList(
            VideoMAEBlock(
                self.embed_dim,
                fields['num_heads'],
                int(self.embed_dim * fields['mlp_ratio']),
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
            table = videomae_sinusoid(base, self.embed_dim)[None]
            self.register_buffer('pos_embed', table, persistent=False)
            return
        if height != width:
            raise ValueError(f'the position table is resized to squares only, not {height}x{width}')
        table = videomae_table(num_positions, self.embed_dim, steps, base, BASE_STEPS, side)
        self.pos_embed = nn.Parameter(table[None], requires_grad=False)

    def forward(
        self,
        video: Tensor,
        mask: Tensor | None = None,
        return_layers: Sequence[int] = (),
        num_visible: int | None = None,
        layers_only: bool = False,
    ) -> EncoderOutput:
        """Encode clips.

        Args:
            video: (B, C, T, H, W) normalised clips.
            mask: (B, N) bool, True hides a token; the same number is visible in every row.
            return_layers: block indices (0-based) whose output stream is returned; that of the
                last block is normalised, the others are raw.
            num_visible: visible tokens per row, when the caller knows.
            layers_only: stop after the last of ``return_layers``.

        Raises:
            ValueError: a clip of another size, an unusable mask, or a layer that does not exist.
        """
        self._check(video, return_layers)
        x = self.patch_embed(video).flatten(1, 2)
        x = x + self.pos_embed.to(x.dtype)
        if mask is not None:
            x = gather_visible(x, mask, num_visible)
        taps = {}
        needed = max(return_layers) + 1 if layers_only else self.depth
        for index, block in enumerate(self.blocks[:needed]):
            if index < self.checkpoint_num and self.training and torch.is_grad_enabled():
                x = checkpoint(block, x, use_reentrant=False)
            else:
                x = block(x)
            if index == self.depth - 1:
                x = self.norm(x)
            if index in return_layers:
                taps[index] = x
        pooled = x.mean(dim=1) if self.mean_pool else None
        return EncoderOutput(x, pooled, [taps[i] for i in return_layers], None, self.grid)

    def _check(self, video: Tensor, return_layers: Sequence[int]) -> None:
        expected = (self.num_frames, *self.img_size)
        if video.ndim != 5 or tuple(video.shape[2:]) != expected:
            raise ValueError(
                f'got clips of shape {tuple(video.shape)}; the model is configured for '
                f'(B, C, T, H, W) with num_frames={self.num_frames} and img_size={self.img_size}'
            )
        wrong = [i for i in return_layers if not 0 <= i < self.depth]
        if wrong or len(set(return_layers)) != len(return_layers):
            raise ValueError(
                f'return_layers={list(return_layers)} must be distinct block indices in '
                f'[0, {self.depth})'
            )

    def no_weight_decay(self) -> set[str]:
        """Names of parameters that are never decayed."""
        return {'pos_embed', 'cls_token'}

    def get_layer_depth(self, param_name: str, prefix: str = '') -> tuple[int, int]:
        """(layer id, number of layers) of a parameter for layer-wise learning-rate decay."""
        name, num_layers = param_name.removeprefix(prefix), self.depth + 2
        if name in ('cls_token', 'mask_token', 'pos_embed') or name.startswith('patch_embed.'):
            return 0, num_layers
        if name.startswith('blocks.'):
            return int(name.split('.')[1]) + 1, num_layers
        return num_layers - 1, num_layers


def _resolve(arch: str | Mapping[str, Any] | None, overrides: dict[str, Any]) -> dict[str, Any]:
    if isinstance(arch, str) and arch not in ARCHITECTURES:
        raise ValueError(f'arch must be one of {", ".join(ARCHITECTURES)}, got {arch!r}')
    fields = dict(ARCHITECTURES[arch] if isinstance(arch, str) else arch or {})
    fields.update({name: value for name, value in overrides.items() if value is not None})
    if set(fields) != set(_ARCH_FIELDS):
        raise ValueError(f'arch needs exactly the fields {_ARCH_FIELDS}, got {sorted(fields)}')
    return fields


def _grid(
    num_frames: int, img_size: tuple[int, int], tubelet_size: int, patch_size: int
) -> tuple[int, int, int]:
    height, width = img_size
    if num_frames % tubelet_size or height % patch_size or width % patch_size:
        raise ValueError(
            f'num_frames={num_frames} must be divisible by tubelet_size={tubelet_size} and '
            f'img_size={img_size} by patch_size={patch_size}'
        )
    return num_frames // tubelet_size, height // patch_size, width // patch_size
