"""The InternVideo-Next video encoder (arXiv 2512.01342, section 3)."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from internvideo.models.layers.attention_pool import AttentionPooling
from internvideo.models.layers.kernels import Fused
from internvideo.models.layers.norm import RMSNorm
from internvideo.models.layers.patch_embed import PatchEmbed3D
from internvideo.models.layers.position import sincos_1d, sincos_2d, sincos_3d
from internvideo.models.masks.motion_masks import motion_mask
from internvideo.ops.position_tables import (
    Grid,
    interpolate_joint_table,
    interpolate_separate_tables,
)
from internvideo.ops.tokens import gather_visible
from internvideo.registry import MODELS
from internvideo.structures.rehearsal import SmallSizes

from .base import EncoderOutput, PositionTable, VideoEncoder, small_encoder
from .internvideo2 import Block


class NormedPatchEmbed(PatchEmbed3D):
    """Patch embedding between two RMSNorms: of the pixels of a box, and of its token.

    The first norm has one weight for each value of a box in the published order: frame, row,
    column, channel.
    """

    def __init__(
        self,
        patch_size: int,
        tubelet_size: int,
        in_channels: int,
        embed_dim: int,
        fused: Fused = 'auto',
    ) -> None:
        super().__init__(patch_size, tubelet_size, in_channels, embed_dim)
        values = tubelet_size * patch_size**2 * in_channels
        # The kernels want widths that 588 pixels are not.
        self.norm_before = RMSNorm(values, fused=False)
        self.norm = RMSNorm(embed_dim, fused=fused)

    def forward(self, video: Tensor) -> Tensor:
        """(B, C, T, H, W) -> (B, T', H'*W', D), rows before columns."""
        batch, channels, frames, height, width = video.shape
        t, p, q = self.kernel
        boxes = video.reshape(batch, channels, frames // t, t, height // p, p, width // q, q)
        boxes = boxes.permute(0, 2, 4, 6, 3, 5, 7, 1).flatten(4).flatten(2, 3)
        # The kernel in the order of the boxes, whose channels come last.
        kernel = self.proj.weight.permute(0, 2, 3, 4, 1).flatten(1)
        return self.norm(F.linear(self.norm_before(boxes), kernel, self.proj.bias))


@MODELS.register_module()
class InternVideoNext(VideoEncoder):
    """InternVideo-Next encoder: several class tokens, normed patches, any clip length and size.

    Parameters carry the names of the published checkpoints.  There is no norm after the last
    block.  Position tables are trainable, start as sine-cosine tables, and are resized at run time
    (linear in time, then bicubic in space) for clips of other sizes than the configured one,
    with gradient.

    Args:
        arch: ``'base'``, ``'large'``, ``'1B'``, a dict of ``embed_dim``, ``depth``, ``num_heads``
            and ``mlp_ratio``, or None when the four fields are given.
        embed_dim, depth, num_heads, mlp_ratio: each overrides ``arch``.
        img_size: side of the table's input in pixels, or (height, width).
        patch_size: side of a patch in pixels.
        num_frames: frames of the table's clip.
        tubelet_size: frames per temporal position.
        in_channels: colour channels.
        num_cls_tokens: class tokens, in front of those of the patches.
        qkv_bias: bias of the ``qkv`` map.
        qk_normalization: RMSNorm of queries and keys over the whole width.
        init_values: first value of the layer scales; 0 or None leaves them out.
        layerscale_force_fp32: multiply by the layer scales in float32 under any dtype.
        sep_pos_embed: separate spatial and temporal tables in place of a joint one.
        drop_path_rate: stochastic depth of the last block; block 0 has 0, linear between.
        attn_pool_num_heads: heads of the attention pooling.
        clip_embed_dim: width of the pooled vector; 0 or None leaves the pooling out.
        act: ``'gelu_tanh'`` (released weights were trained with it) or ``'gelu'``.
        attn_backend: ``'auto'``, ``'sdpa'``, ``'flash_attn'`` or ``'eager'``; same numbers.
        fused: fused norm and MLP kernels: ``'auto'`` when there, ``True`` insists, ``False`` not.
        use_checkpoint: recompute activations of the first ``checkpoint_num`` blocks when training.
        checkpoint_num: number of such blocks; None means all.

    Attributes:
        num_prefix_tokens: the class tokens.

    Raises:
        ValueError: unknown architecture, backend or activation; sizes that do not divide; no
            class token.
        ImportError: a backend or kernel that is asked for is not installed.
    """

    ARCHITECTURES: ClassVar[dict[str, dict[str, Any]]] = {
        'base': dict(embed_dim=768, depth=12, num_heads=12, mlp_ratio=4.0),
        'large': dict(embed_dim=1024, depth=24, num_heads=16, mlp_ratio=4.0),
        # 48 / 11: the hidden width of the MLP is 6144.
        '1B': dict(embed_dim=1408, depth=40, num_heads=16, mlp_ratio=48 / 11),
    }
    SMALL: ClassVar[dict[str, Any]] = dict(
        VideoEncoder.SMALL, clip_embed_dim=24, attn_pool_num_heads=2
    )

    def __init__(
        self,
        arch: str | Mapping[str, Any] | None = 'base',
        embed_dim: int | None = None,
        depth: int | None = None,
        num_heads: int | None = None,
        mlp_ratio: float | None = None,
        img_size: int | tuple[int, int] = 224,
        patch_size: int = 14,
        num_frames: int = 16,
        tubelet_size: int = 1,
        in_channels: int = 3,
        num_cls_tokens: int = 4,
        qkv_bias: bool = False,
        qk_normalization: bool = True,
        init_values: float | None = 1e-5,
        layerscale_force_fp32: bool = True,
        sep_pos_embed: bool = False,
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
        width = self.resolve_arch(
            arch, embed_dim=embed_dim, depth=depth, num_heads=num_heads, mlp_ratio=mlp_ratio
        )
        if num_cls_tokens < 1:
            raise ValueError(f'num_cls_tokens must be positive, got {num_cls_tokens}')
        if checkpoint_num is None:
            checkpoint_num = width['depth']
        super().__init__(
            embed_dim=width['embed_dim'],
            depth=width['depth'],
            img_size=img_size,
            patch_size=patch_size,
            num_frames=num_frames,
            tubelet_size=tubelet_size,
            pooled_dim=clip_embed_dim or 0,
            checkpoint_num=checkpoint_num if use_checkpoint else 0,
            init_cfg=init_cfg,
        )
        self.patch_size, self.sep_pos_embed = patch_size, sep_pos_embed
        self.num_prefix_tokens = num_cls_tokens
        self.cls_token = nn.Parameter(torch.empty(1, num_cls_tokens, self.embed_dim))
        self._make_position_tables()
        self.patch_embed = NormedPatchEmbed(
            patch_size, tubelet_size, in_channels, self.embed_dim, fused
        )
        # On the CPU even when the model is built on the meta device: the rates are numbers.
        rates = torch.linspace(0, drop_path_rate, self.depth, device='cpu').tolist()
        self.blocks = nn.ModuleList(
            Block(
                dim=self.embed_dim,
                num_heads=width['num_heads'],
                # Cut, not rounded, as published, which matters for odd widths.
                hidden_dim=int(self.embed_dim * width['mlp_ratio']),
                qkv_bias=qkv_bias,
                qk_normalization=qk_normalization,
                init_values=init_values,
                layerscale_force_fp32=layerscale_force_fp32,
                drop_path=rate,
                act=act,
                attn_backend=attn_backend,
                fused=fused,
                # Deeper blocks start with smaller outputs.
                out_std=0.02 / (2 * index) ** 0.5,
            )
            for index, rate in enumerate(rates, start=1)
        )
        self.clip_projector = None
        if clip_embed_dim:
            self.clip_projector = AttentionPooling(
                self.embed_dim, attn_pool_num_heads, clip_embed_dim, attn_backend
            )
        self.reset_parameters()

    def _make_position_tables(self) -> None:
        steps, patches = self.grid[0], self.grid[1] * self.grid[2]
        cls_tokens = self.num_prefix_tokens
        if self.sep_pos_embed:
            self.pos_embed_spatial = nn.Parameter(torch.empty(1, patches, self.embed_dim))
            self.pos_embed_temporal = nn.Parameter(torch.empty(1, steps, self.embed_dim))
            # The published table has one row, and serves one class token alone.
            self.pos_embed_cls = nn.Parameter(torch.empty(1, cls_tokens, self.embed_dim))
        else:
            rows = cls_tokens + steps * patches
            self.pos_embed = nn.Parameter(torch.empty(1, rows, self.embed_dim))

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Initialise the class tokens and the position tables."""
        nn.init.normal_(self.cls_token, std=0.02)
        if self.sep_pos_embed:
            self.pos_embed_spatial.copy_(sincos_2d(self.embed_dim, self.grid[1:]))
            self.pos_embed_temporal.copy_(sincos_1d(self.embed_dim, self.grid[0]))
            self.pos_embed_cls.zero_()
        else:
            self.pos_embed.copy_(joint_table(self.embed_dim, self.grid, self.num_prefix_tokens))

    @property
    def pooler(self) -> AttentionPooling | None:
        """The attention pooling."""
        return self.clip_projector

    @property
    def gives_attn(self) -> bool:
        """Whether there is an attention pooling."""
        return self.clip_projector is not None

    def position_tables(self) -> dict[str, PositionTable]:
        """The joint table or the separate ones."""
        if not self.sep_pos_embed:
            return dict(pos_embed=PositionTable(extra_rows=self.num_prefix_tokens))
        return dict(
            pos_embed_spatial=PositionTable(over_time=False),
            pos_embed_temporal=PositionTable(over_space=False),
            # Rows of no position, in any grid.
            pos_embed_cls=PositionTable(False, False, self.num_prefix_tokens - 1),
        )

    def clip_grid(self, video: Tensor) -> Grid:
        """Temporal positions, rows and columns of the patches of clips (B, C, T, H, W).

        Raises:
            ValueError: a shape that tubelets and patches do not divide.
        """
        t, p, _ = self.patch_embed.kernel
        frames, height, width = video.shape[2:] if video.ndim == 5 else (0, 0, 0)
        if not frames or frames % t or height % p or width % p:
            raise ValueError(
                f'got clips of shape {tuple(video.shape)}; they must be (B, C, T, H, W) with T '
                f'divisible by tubelet_size={t}, H and W by patch_size={p}'
            )
        return frames // t, height // p, width // p

    def check_clips(self, video: Tensor) -> None:
        """Raise ValueError unless tubelets and patches divide ``video``."""
        self.clip_grid(video)

    def position_table(self, grid: Grid) -> Tensor:
        """(1, ``num_prefix_tokens`` + N, D) table of clips with this patch grid."""
        if not self.sep_pos_embed:
            return resized_table(self.pos_embed, self.grid, grid, self.num_prefix_tokens)
        spatial, temporal = interpolate_separate_tables(
            self.pos_embed_spatial, self.pos_embed_temporal, grid, orig_grid=self.grid[1:]
        )
        patches = (temporal[:, :, None] + spatial[:, None]).flatten(1, 2)
        return torch.cat([self.pos_embed_cls.to(patches.dtype), patches], dim=1)

    def motion_mask(self, video: Tensor, ratio: float) -> Tensor:
        """Mask (B, ``num_prefix_tokens`` + N) that hides a share of what moves least.

        Where neither teacher nor masker is at hand; see :func:`motion_mask`.

        Raises:
            ValueError: ``ratio`` outside [0, 1), or clips that cannot be encoded.
        """
        self.check_clips(video)
        with torch.no_grad():
            hidden = motion_mask(self.patch_embed(video), ratio)
        return F.pad(hidden, (self.num_prefix_tokens, 0), value=False)

    @classmethod
    def shrink(cls, config: dict[str, Any], small: SmallSizes) -> dict[str, Any]:
        """Offer a small copy to a rehearsal."""
        config = small_encoder(config, small)
        if config.get('clip_embed_dim', True):
            config |= dict(clip_embed_dim=small.width, attn_pool_num_heads=small.heads)
        return config

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
            video: (B, C, T, H, W) normalised clips of any length and size that tubelets and
                patches divide.
            mask: (B, ``num_prefix_tokens`` + N) bool, True hides a token, class tokens first; the
                same number is visible in every row.  None shows all.
            return_layers: block indices (0-based) whose output stream is returned.
            return_attn: also return the pooling attention.
            num_visible: visible tokens per row, when the caller knows: it spares the device
                synchronisation (and the graph break under ``torch.compile``) of counting them.
            layers_only: stop after the last of ``return_layers``; there is no pooled vector then.

        Raises:
            ValueError: a clip that does not divide, an unusable mask, or a layer that does not
                exist.
        """
        grid = self.clip_grid(video)
        self.check_request(return_layers, return_attn)
        x = self.patch_embed(video).flatten(1, 2)
        x = torch.cat([self.cls_token.expand(len(x), -1, -1).to(x.dtype), x], dim=1)
        # Before tokens are hidden: the visible ones keep their places in the whole clip.
        x = x + self.position_table(grid).to(x.dtype)
        if mask is not None:
            x = gather_visible(x, mask, num_visible)
        taps = {}
        for index in range(self.num_needed_blocks(return_layers, layers_only)):
            x = self.run_block(index, x)
            if index in return_layers:
                taps[index] = x
        pooled = attn = None
        if self.clip_projector is not None and not layers_only:
            pooled, attn = self.clip_projector(x, return_attn)
        # Not scaled to a sum of 1 without the class tokens.
        attn = None if attn is None else attn[:, self.num_prefix_tokens :]
        return EncoderOutput(x, pooled, [taps[i] for i in return_layers], attn, grid)


def joint_table(dim: int, grid: Grid, num_cls_tokens: int) -> Tensor:
    """(1, ``num_cls_tokens`` + N, D) sine-cosine table, zero for the class tokens."""
    steps, *size = grid
    return F.pad(sincos_3d(dim, steps, tuple(size)), (0, 0, num_cls_tokens, 0))[None]


def resized_table(table: Tensor, old: Grid, new: Grid, num_cls_tokens: int) -> Tensor:
    """A joint table of a clip with grid ``old`` for one with grid ``new``, with gradient."""
    return interpolate_joint_table(table, old[0], new, extra_rows=num_cls_tokens, orig_grid=old[1:])
