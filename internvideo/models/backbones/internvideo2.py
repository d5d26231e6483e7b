"""The InternVideo2 video encoder (arXiv 2403.15377, section 3 and its supplement's Table 12)."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from internvideo.models.layers.attention import Attention
from internvideo.models.layers.attention_pool import AttentionPooling
from internvideo.models.layers.kernels import Fused
from internvideo.models.layers.mlp import Mlp
from internvideo.models.layers.norm import RMSNorm
from internvideo.models.layers.patch_embed import PatchEmbed3D
from internvideo.models.layers.position import (
    check_image_table,
    sincos_1d,
    sincos_2d,
    sincos_3d,
)
from internvideo.models.layers.residual import DropPath, LayerScale, add_branch
from internvideo.ops.tokens import gather_visible, mean_over_time
from internvideo.registry import MODELS
from internvideo.structures.rehearsal import SmallSizes

from .base import EncoderOutput, PositionTable, VideoEncoder, small_encoder


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
        # Without state: each branch draws anew from the same module.
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        x = add_branch(x, self.attn(self.norm1(x)), self.ls1, self.drop_path)
        return add_branch(x, self.mlp(self.norm2(x)), self.ls2, self.drop_path)


@MODELS.register_module()
class InternVideo2(VideoEncoder):
    """InternVideo2 encoder, as classifier backbone, masked student and teacher alike.

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

    ARCHITECTURES: ClassVar[dict[str, dict[str, Any]]] = {
        'small': dict(embed_dim=384, depth=12, num_heads=6, mlp_ratio=4.0),
        'base': dict(embed_dim=768, depth=12, num_heads=12, mlp_ratio=4.0),
        'large': dict(embed_dim=1024, depth=24, num_heads=16, mlp_ratio=4.0),
        # 48 / 11: the hidden width of the MLP is 6144.
        '1B': dict(embed_dim=1408, depth=40, num_heads=16, mlp_ratio=48 / 11),
        '6B': dict(embed_dim=3200, depth=48, num_heads=25, mlp_ratio=4.0),
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
        width = self.resolve_arch(
            arch, embed_dim=embed_dim, depth=depth, num_heads=num_heads, mlp_ratio=mlp_ratio
        )
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
        self.sep_pos_embed = sep_pos_embed
        self.image_pos_embed = check_image_table(image_pos_embed, sep_pos_embed)

        self.cls_token = nn.Parameter(torch.empty(1, 1, self.embed_dim))
        self._make_position_tables()
        self.patch_embed = PatchEmbed3D(patch_size, tubelet_size, in_channels, self.embed_dim)
        block = dict(
            dim=self.embed_dim,
            num_heads=width['num_heads'],
            # Cut, not rounded, as published, which matters for odd widths.
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
        steps, patches = self.grid[0], self.grid[1] * self.grid[2]
        if self.sep_pos_embed:
            self.pos_embed_spatial = nn.Parameter(torch.empty(1, patches, self.embed_dim))
            self.pos_embed_temporal = nn.Parameter(torch.empty(1, steps, self.embed_dim))
            self.pos_embed_cls = nn.Parameter(torch.empty(1, 1, self.embed_dim))
        else:
            self.pos_embed = nn.Parameter(torch.empty(1, steps * patches + 1, self.embed_dim))
        if self.image_pos_embed == 'separate':
            self.img_pos_embed = nn.Parameter(torch.empty(1, patches + 1, self.embed_dim))

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Initialise the class token and the position tables."""
        nn.init.normal_(self.cls_token, std=0.02)
        steps, *size = self.grid
        if self.sep_pos_embed:
            self.pos_embed_spatial.copy_(sincos_2d(self.embed_dim, tuple(size)))
            self.pos_embed_temporal.copy_(sincos_1d(self.embed_dim, steps))
            self.pos_embed_cls.zero_()
        else:
            table = sincos_3d(self.embed_dim, steps, tuple(size), cls_token=True)
            self.pos_embed.copy_(table)
        if self.image_pos_embed == 'separate':
            # The joint table of one frame: its part for time is the constant row of step 0.
            self.img_pos_embed.copy_(sincos_3d(self.embed_dim, 1, tuple(size), cls_token=True))

    @property
    def pooler(self) -> AttentionPooling | None:
        """The attention pooling."""
        return self.clip_projector

    @property
    def gives_attn(self) -> bool:
        """Whether there is an attention pooling."""
        return self.clip_projector is not None

    def position_tables(self) -> dict[str, PositionTable]:
        """The joint table or the separate ones, and that of images."""
        tables = dict(pos_embed=PositionTable(extra_rows=1))
        if self.sep_pos_embed:
            tables = dict(
                # pos_embed_cls is one row in any grid: there is nothing to resize.
                pos_embed_spatial=PositionTable(over_time=False),
                pos_embed_temporal=PositionTable(over_space=False),
            )
        if self.image_pos_embed == 'separate':
            tables['img_pos_embed'] = PositionTable(over_time=False, extra_rows=1)
        return tables

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
        self.check_clips(video)
        self.check_request(return_layers, return_attn)
        x = self.patch_embed(video)
        steps, x = x.shape[1], x.flatten(1, 2)
        x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], dim=1)
        # Before tokens are hidden: the visible ones keep their places in the whole clip.
        x = x + self.position_table(self.is_image(video.shape[2]))
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
        # Not scaled to a sum of 1 without the class token, as published.
        attn = None if attn is None else attn[:, 1:]
        return EncoderOutput(
            x, pooled, [taps[i] for i in return_layers], attn, (steps, *self.grid[1:])
        )
