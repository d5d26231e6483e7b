"""The InternVideo2 video encoder (arXiv 2403.15377, section 3 and its supplement's Table 12)."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from internvideo.models.layers.attention import Attention
from internvideo.models.layers.attention_pool import AttentionPooling
from internvideo.models.layers.kernels import Fused
from internvideo.models.layers.mlp import Mlp
from internvideo.models.layers.norm import RMSNorm
from internvideo.models.layers.patch_embed import PatchEmbed3D
from internvideo.models.layers.position import sincos_1d, sincos_2d, sincos_3d
from internvideo.models.layers.residual import DropPath, LayerScale, add_branch
from internvideo.registry import MODELS

from .base import EncoderOutput

ARCHITECTURES: dict[str, dict[str, Any]] = {
    'small': dict(embed_dim=384, depth=12, num_heads=6, mlp_ratio=4.0),
    'base': dict(embed_dim=768, depth=12, num_heads=12, mlp_ratio=4.0),
    'large': dict(embed_dim=1024, depth=24, num_heads=16, mlp_ratio=4.0),
    '1B': dict(embed_dim=1408, depth=40, num_heads=16, mlp_ratio=48 / 11),
    '6B': dict(embed_dim=3200, depth=48, num_heads=25, mlp_ratio=4.0),
}
_ARCH_FIELDS = tuple(ARCHITECTURES['small'])
IMAGE_TABLES = (None, 'shared', 'separate')


def resolve_architecture(
    arch: str | Mapping[str, Any] | None, **overrides: int | float | None
) -> dict[str, Any]:
    """Width, depth, heads and MLP ratio of ``arch`` with every given override applied.

    Raises:
        ValueError: unknown name, unknown field, or a field that neither side gives.
    """
    if isinstance(arch, str):
        if arch not in ARCHITECTURES:
            raise ValueError(f'arch must be one of {", ".join(ARCHITECTURES)}, got {arch!r}')
        arch = ARCHITECTURES[arch]
    fields = dict(arch or {})
    fields.update({name: value for name, value in overrides.items() if value is not None})
    unknown = sorted(set(fields) - set(_ARCH_FIELDS))
    missing = [name for name in _ARCH_FIELDS if name not in fields]
    if unknown or missing:
        raise ValueError(f'arch has unknown fields {unknown} and lacks {missing}')
    return fields


class Block(nn.Module):
    """Pre-norm transformer block: attention and MLP, each scaled, dropped and added.

    Args:
        dim, num_heads, hidden_dim: widths.
        init_values: first value of the layer scale; 0 or None leaves it out.
        drop_path: stochastic depth rate of both branches.
        out_std: standard deviation of the initial output maps of both branches.
    """

    def __init__(
        self,
        dim: int,
        num_heads: int,
        hidden_dim: int,
        qkv_bias: bool,
        qk_normalization: bool,
        init_values: float | None,
        layerscale_force_fp32: bool,
        drop_path: float,
        act: str,
        attn_backend: str,
        fused: Fused,
        out_std: float,
    ) -> None:
        super().__init__()
        self.norm1 = RMSNorm(dim, fused=fused)
        self.attn = Attention(
            dim, num_heads, qkv_bias, qk_normalization, attn_backend, out_std, fused
        )
        self.ls1 = LayerScale(dim, init_values, layerscale_force_fp32) if init_values else None
        self.norm2 = RMSNorm(dim, fused=fused)
        self.mlp = Mlp(dim, hidden_dim, act=act, out_std=out_std, fused=fused)
        self.ls2 = LayerScale(dim, init_values, layerscale_force_fp32) if init_values else None
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        x = add_branch(x, self.attn(self.norm1(x)), self.ls1, self.drop_path)
        return add_branch(x, self.mlp(self.norm2(x)), self.ls2, self.drop_path)


@MODELS.register_module()
class InternVideo2(BaseModule):
    """InternVideo2 encoder: classifier trunk, masked student and teacher are all this class.

    Parameters carry the names of the published checkpoints.  There is no norm after the last
    block.  Position tables are trainable and start as sine-cosine tables.

    Args:
        arch: ``'small'``, ``'base'``, ``'large'``, ``'1B'``, ``'6B'``, a dict of ``embed_dim``,
            ``depth``, ``num_heads`` and ``mlp_ratio``, or None when the four fields are given.
        embed_dim, depth, num_heads, mlp_ratio: each overrides ``arch``.
        img_size: side of the input in pixels, or (height, width).
        patch_size: side of a patch in pixels.
        num_frames: frames of an input clip.
        tubelet_size: frames per temporal position.
        in_channels: colour channels.
        qkv_bias: bias of the ``qkv`` map.
        qk_normalization: RMSNorm of queries and keys.
        init_values: first value of the layer scales; 0 or None leaves them out.
        layerscale_force_fp32: multiply by the layer scales in float32 under any dtype.
        sep_pos_embed: separate spatial and temporal tables in place of a joint one.
        image_pos_embed: how images, clips of one tubelet, are placed by a video encoder: None
            refuses them; ``'shared'``: patches get the mean of the joint table over time, or the
            spatial table alone; ``'separate'``: images have a table ``img_pos_embed`` of their
            own (joint tables only).
        drop_path_rate: stochastic depth of the last block; block 0 has 0, linear between.
        attn_pool_num_heads: heads of the attention pooling.
        clip_embed_dim: width of the pooled vector; 0 or None leaves the pooling out.
        act: ``'gelu_tanh'`` (released weights were trained with it) or ``'gelu'``.
        attn_backend: ``'auto'``, ``'sdpa'``, ``'flash_attn'`` or ``'eager'``; same numbers.
        fused: fused norm and MLP kernels: ``'auto'`` when there, ``True`` insists, ``False`` not.
        use_checkpoint: recompute activations of the first ``checkpoint_num`` blocks when training.
        checkpoint_num: number of such blocks; None means all.

    Raises:
        ValueError: unknown architecture, backend, activation or image table; sizes that do not
            divide.
        ImportError: a backend or kernel that is asked for is not installed.
    """

    def __init__(
        self,
        arch: str | Mapping[str, Any] | None = 'base',
        embed_dim: int | None = None,
        depth: int | None = None,
        num_heads: int | None = None,
        mlp_ratio: float | None = None,
        img_size: int | tuple[int, int] = 224,
        patch_size: int = 14,
        num_frames: int = 8,
        tubelet_size: int = 1,
        in_channels: int = 3,
        qkv_bias: bool = False,
        qk_normalization: bool = True,
        init_values: float | None = 1e-5,
        layerscale_force_fp32: bool = True,
        sep_pos_embed: bool = False,
        image_pos_embed: str | None = None,
        drop_path_rate: float = 0.0,
        attn_pool_num_heads: int = 16,
        clip_embed_dim: int | None = 768,
        act: str = 'gelu_tanh',
        attn_backend: str = 'auto',
        fused: Fused = 'auto',
        use_checkpoint: bool = False,
        checkpoint_num: int | None = None,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        width = resolve_architecture(
            arch, embed_dim=embed_dim, depth=depth, num_heads=num_heads, mlp_ratio=mlp_ratio
        )
        self.embed_dim, self.depth = width['embed_dim'], width['depth']
        self.num_frames = num_frames
        self.pooled_dim = clip_embed_dim or 0
        self.img_size = (img_size, img_size) if isinstance(img_size, int) else tuple(img_size)
        self.grid = self._grid(patch_size, tubelet_size)
        self.tubelet_size = tubelet_size
        self.sep_pos_embed = sep_pos_embed
        self.image_pos_embed = check_image_table(image_pos_embed, sep_pos_embed)
        self._frozen: list[nn.Module] = []
        self.checkpoint_num = self._checkpointed(use_checkpoint, checkpoint_num)

        self.cls_token = nn.Parameter(torch.empty(1, 1, self.embed_dim))
        self._make_position_tables()
        self.patch_embed = PatchEmbed3D(patch_size, tubelet_size, in_channels, self.embed_dim)
        block = dict(
            dim=self.embed_dim,
            num_heads=width['num_heads'],
            hidden_dim=int(self.embed_dim * width['mlp_ratio']),
            qkv_bias=qkv_bias,
            qk_normalization=qk_normalization,
            init_values=init_values,
            layerscale_force_fp32=layerscale_force_fp32,
            act=act,
            attn_backend=attn_backend,
            fused=fused,
        )
        self.blocks = self._make_blocks(drop_path_rate, block)
        self.clip_projector = self._make_pooler(attn_pool_num_heads, clip_embed_dim, attn_backend)
        self.reset_parameters()

    def _grid(self, patch_size: int, tubelet_size: int) -> tuple[int, int, int]:
        height, width = self.img_size
        if self.num_frames % tubelet_size or height % patch_size or width % patch_size:
            raise ValueError(
                f'num_frames={self.num_frames} must be divisible by tubelet_size={tubelet_size} '
                f'and img_size={self.img_size} by patch_size={patch_size}'
            )
        return self.num_frames // tubelet_size, height // patch_size, width // patch_size

    def _checkpointed(self, use_checkpoint: bool, checkpoint_num: int | None) -> int:
        if not use_checkpoint:
            return 0
        return self.depth if checkpoint_num is None else checkpoint_num

    def _make_blocks(self, drop_path_rate: float, fields: dict[str, Any]) -> nn.ModuleList:
        # On the CPU even when the model is built on the meta device: the rates are numbers.
        rates = torch.linspace(0, drop_path_rate, self.depth, device='cpu').tolist()
        # Deeper blocks start with smaller outputs, as if each weight were divided by
        # sqrt(2 (i + 1)).
        return nn.ModuleList(
            Block(drop_path=rate, out_std=0.02 / (2 * index) ** 0.5, **fields)
            for index, rate in enumerate(rates, start=1)
        )

    def _make_pooler(
        self, num_heads: int, out_dim: int | None, backend: str
    ) -> AttentionPooling | None:
        return AttentionPooling(self.embed_dim, num_heads, out_dim, backend) if out_dim else None

    def _make_position_tables(self) -> None:
        steps, squares = self.grid[0], self.grid[1] * self.grid[2]
        if self.sep_pos_embed:
            self.pos_embed_spatial = nn.Parameter(torch.empty(1, squares, self.embed_dim))
            self.pos_embed_temporal = nn.Parameter(torch.empty(1, steps, self.embed_dim))
            self.pos_embed_cls = nn.Parameter(torch.empty(1, 1, self.embed_dim))
        else:
            self.pos_embed = nn.Parameter(torch.empty(1, steps * squares + 1, self.embed_dim))
        if self.image_pos_embed == 'separate':
            self.img_pos_embed = nn.Parameter(torch.empty(1, squares + 1, self.embed_dim))

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Set the class token and the position tables; other modules set their own."""
        nn.init.normal_(self.cls_token, std=0.02)
        steps, *squares = self.grid
        if self.sep_pos_embed:
            self.pos_embed_spatial.copy_(sincos_2d(self.embed_dim, tuple(squares)))
            self.pos_embed_temporal.copy_(sincos_1d(self.embed_dim, steps))
            self.pos_embed_cls.zero_()
        else:
            table = sincos_3d(self.embed_dim, steps, tuple(squares), cls_token=True)
            self.pos_embed.copy_(table)
        if self.image_pos_embed == 'separate':
            self.img_pos_embed.copy_(sincos_3d(self.embed_dim, 1, tuple(squares), cls_token=True))

    def is_image(self, num_frames: int) -> bool:
        """Whether a clip of so many frames is placed as an image: it has one frame, or one tubelet.

        A tubelet of several frames that is all that the encoder takes is a clip.
        """
        if self.image_pos_embed is None or num_frames != self.tubelet_size:
            return False
        return num_frames == 1 or num_frames < self.num_frames

    def position_table(self, is_image: bool = False) -> Tensor:
        """(1, N+1, D) table, the class token's row first."""
        if is_image:
            return self._image_table()
        if not self.sep_pos_embed:
            return self.pos_embed
        patches = self.pos_embed_temporal[:, :, None] + self.pos_embed_spatial[:, None]
        return torch.cat([self.pos_embed_cls, patches.flatten(1, 2)], dim=1)

    def _image_table(self) -> Tensor:
        if self.image_pos_embed == 'separate':
            return self.img_pos_embed
        if self.sep_pos_embed:
            return torch.cat([self.pos_embed_cls, self.pos_embed_spatial], dim=1)
        return mean_over_time(self.pos_embed, self.grid[0])

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
            video: (B, C, T, H, W) normalised clip, or an image: T of one tubelet.
            mask: (B, N+1) bool, True hides a token, column 0 is the class token; the same number
                is visible in every row.  None shows all.
            return_layers: block indices (0-based) whose output stream is returned.
            return_attn: also return the pooling attention.
            num_visible: visible tokens per row, when the caller knows: it spares the device
                synchronisation (and the graph break under ``torch.compile``) of counting them.
            layers_only: stop after the last of ``return_layers``; there is no pooled vector then.

        Raises:
            ValueError: a clip of another size, an unusable mask, or a layer that does not exist.
        """
        self._check(video, return_layers, return_attn)
        x = self.patch_embed(video)
        steps, x = x.shape[1], x.flatten(1, 2)
        x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], dim=1)
        x = x + self.position_table(self.is_image(video.shape[2]))
        if mask is not None:
            x = gather_visible(x, mask, num_visible)
        taps = {}
        needed = max(return_layers) + 1 if layers_only else self.depth
        for index, block in enumerate(self.blocks[:needed]):
            x = self._run(block, x, index)
            if index in return_layers:
                taps[index] = x
        pooled = attn = None
        if self.clip_projector is not None and not layers_only:
            pooled, attn = self.clip_projector(x, return_attn)
        attn = None if attn is None else attn[:, 1:]
        return EncoderOutput(
            x, pooled, [taps[i] for i in return_layers], attn, (steps, *self.grid[1:])
        )

    def _run(self, block: Block, x: Tensor, index: int) -> Tensor:
        if index < self.checkpoint_num and self.training and torch.is_grad_enabled():
            return checkpoint(block, x, use_reentrant=False)
        return block(x)

    def _check(self, video: Tensor, return_layers: Sequence[int], return_attn: bool) -> None:
        lengths = {self.num_frames}
        if self.image_pos_embed:
            lengths.add(self.tubelet_size)
        fits = video.ndim == 5 and tuple(video.shape[3:]) == self.img_size
        if not fits or video.shape[2] not in lengths:
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
        if return_attn and self.clip_projector is None:
            raise ValueError('return_attn needs the pooler, which clip_embed_dim=0 leaves out')

    def freeze(self, open_blocks: int = 0, open_pooler: bool = False) -> None:
        """Freeze everything but the last ``open_blocks`` blocks and, when open, the pooler.

        Frozen parameters need no gradient, and frozen modules stay in evaluation mode.  Nothing
        is recorded for the backward pass up to the first open part.

        Raises ValueError when there are fewer blocks than ``open_blocks``.
        """
        if not 0 <= open_blocks <= self.depth:
            raise ValueError(f'open_blocks={open_blocks} must be in [0, depth={self.depth}]')
        closed = self.blocks[: self.depth - open_blocks]
        self._frozen = [self.patch_embed, *closed]
        if self.clip_projector is not None and not open_pooler:
            self._frozen.append(self.clip_projector)
        for name, parameter in self.named_parameters(recurse=False):
            parameter.requires_grad_(name not in self.no_weight_decay())
        for module in self._frozen:
            module.requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> 'InternVideo2':
        """Switch mode, leaving frozen modules in evaluation mode."""
        super().train(mode)
        for module in self._frozen:
            module.eval()
        return self

    def no_weight_decay(self) -> set[str]:
        """Names of parameters that are never decayed."""
        tables = {'pos_embed', 'pos_embed_spatial', 'pos_embed_temporal', 'pos_embed_cls'}
        if self.image_pos_embed == 'separate':
            tables.add('img_pos_embed')
        return {'cls_token'} | tables

    def get_layer_depth(self, param_name: str, prefix: str = '') -> tuple[int, int]:
        """(layer id, number of layers) of a parameter for layer-wise learning-rate decay.

        Embeddings are layer 0, block i is layer i + 1, all else is the last layer.  Separate
        position tables count as "all else": so do the published recipes.
        """
        name = param_name.removeprefix(prefix)
        num_layers = self.depth + 2
        if name in ('cls_token', 'mask_token', 'pos_embed') or name.startswith('patch_embed.'):
            return 0, num_layers
        if name.startswith('blocks.'):
            return int(name.split('.')[1]) + 1, num_layers
        return num_layers - 1, num_layers


def check_image_table(kind: str | None, sep_pos_embed: bool) -> str | None:
    """Return ``kind`` if it names a way to place images; else ValueError."""
    if kind not in IMAGE_TABLES or (kind == 'separate' and sep_pos_embed):
        raise ValueError(
            f"image_pos_embed must be None, 'shared' or, with a joint table, 'separate', got "
            f'{kind!r} with sep_pos_embed={sep_pos_embed}'
        )
    return kind


def mean_over_time(table: Tensor, steps: int) -> Tensor:
    """(1, 1 + steps * S, D) -> (1, 1 + S, D): the rows of each square averaged over time."""
    squares = table[:, 1:].unflatten(1, (steps, -1)).mean(dim=1)
    return torch.cat([table[:, :1], squares], dim=1)


def gather_visible(x: Tensor, mask: Tensor, num_visible: int | None = None) -> Tensor:
    """Keep the tokens of ``x`` (B, N, D) where ``mask`` (B, N) is False, in order: (B, M, D).

    Raises ValueError when the mask has another shape or dtype, or rows differ in visible count.
    """
    if mask.dtype != torch.bool or mask.shape != x.shape[:2]:
        raise ValueError(
            f'mask must be bool of shape {tuple(x.shape[:2])}, got {mask.dtype} of shape '
            f'{tuple(mask.shape)}'
        )
    counts = (~mask).sum(dim=1)
    if num_visible is None:
        distinct = counts.unique().tolist()
        if len(distinct) != 1:
            raise ValueError(f'mask rows differ in their number of visible tokens: {distinct}')
        num_visible = distinct[0]
    else:
        torch._assert_async((counts == num_visible).all(), 'mask does not fit num_visible')
    order = torch.argsort(mask.to(torch.uint8), dim=1, stable=True)[:, :num_visible]
    return x.gather(1, order[:, :, None].expand(-1, -1, x.shape[-1]))
