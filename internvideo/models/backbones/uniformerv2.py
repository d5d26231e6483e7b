"""UniFormerV2 (arXiv 2211.09552): CLIP's image tower with local and global blocks for video."""

import itertools
import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from internvideo.models.layers.patch_embed import embed_boxes
from internvideo.models.layers.residual import DropPath
from internvideo.models.layers.residual_attention import (
    MultiheadAttention,
    QuickGELUMlp,
    ResidualAttentionBlock,
)
from internvideo.ops.position_tables import Grid
from internvideo.registry import MODELS
from internvideo.structures.rehearsal import SmallSizes

from .base import EncoderOutput, PositionTable, VideoEncoder, small_encoder

PUBLISHED_GLOBAL_BLOCKS = 4
INPUTS = ('class_embedding', 'positional_embedding', 'conv1.', 'ln_pre.')
RESBLOCK = re.compile(r'transformer\.resblocks\.(\d+)\.')


class LocalBlock(nn.Module):
    """Local relations over time: BatchNorm, 1x1x1, depth-wise 3x1x1 and 1x1x1 convolution.

    The published ``lmhra``, a linear map of the same patch in three neighbouring frames; it starts
    at zero.  Computed with channels last.

    Args:
        dim: width D.
        reduction: the inner width is D divided by it, rounded down.
        sync: take the statistics over all processes.
    """

    def __init__(self, dim: int, reduction: float, sync: bool = False) -> None:
        super().__init__()
        inner = int(dim // reduction)
        if inner < 1:
            raise ValueError(f'dw_reduction={reduction} leaves nothing of embed_dim={dim}')
        self.pos_embed = nn.Sequential(
            nn.SyncBatchNorm(dim) if sync else nn.BatchNorm3d(dim),
            nn.Conv3d(dim, inner, 1),
            nn.Conv3d(inner, inner, (3, 1, 1), padding=(1, 0, 0), groups=inner),
            nn.Conv3d(inner, dim, 1),
        )
        nn.init.zeros_(self.pos_embed[3].weight)
        nn.init.zeros_(self.pos_embed[3].bias)

    def forward(self, patches: Tensor) -> Tensor:
        """(B, T, S, D) -> (B, T, S, D), S patches of a frame."""
        norm, narrow, temporal, widen = self.pos_embed
        # Patches as a batch: any BatchNorm, that over all processes too, takes them so.
        x = norm(patches.flatten(0, 2)[:, :, None, None, None]).view_as(patches)
        x = F.linear(x, narrow.weight.flatten(1), narrow.bias)
        # The three taps as sums: convolutions want channels first, a copy there and back.
        padded, taps = F.pad(x, (0, 0, 0, 0, 1, 1)), temporal.weight.flatten(1).unbind(1)
        steps, x = x.shape[1], temporal.bias.expand_as(x)
        for start, tap in enumerate(taps):
            x = torch.addcmul(x, padded[:, start : start + steps], tap)
        return F.linear(x, widen.weight.flatten(1), widen.bias)


class SpatialBlock(ResidualAttentionBlock):
    """CLIP's block inside each frame, with local blocks before attention and before the MLP.

    Args:
        dim, num_heads, hidden_dim, attn_backend, depth: of :class:`ResidualAttentionBlock`.
        drop_path: stochastic depth rate of all branches.
        num_local: local blocks: 0, 1 (before attention) or 2.
        dw_reduction, sync: of :class:`LocalBlock`.
        drop_axis: axis of (B, T, S, D) whose entries attention and MLP drop.
    """

    def __init__(
        self,
        dim: int,
        num_heads: int,
        hidden_dim: int,
        drop_path: float,
        attn_backend: str,
        depth: int,
        num_local: int,
        dw_reduction: float,
        sync: bool,
        drop_axis: int,
    ) -> None:
        super().__init__(dim, num_heads, hidden_dim, 0.0, attn_backend, depth=depth)
        self.drop_path = DropPath(drop_path, drop_axis)
        self.drop_local = DropPath(drop_path)
        self.lmhra1 = LocalBlock(dim, dw_reduction, sync) if num_local > 0 else None
        self.lmhra2 = LocalBlock(dim, dw_reduction, sync) if num_local > 1 else None

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, 1 + S, D) -> (B, T, 1 + S, D), the class token of each frame first."""
        x = self._add_local(x, self.lmhra1)
        # Frames as a batch of their own.
        mixed = self.attn(self.ln_1(x).flatten(0, 1)).view_as(x)
        x = self._add_local(x + self.drop_path(mixed), self.lmhra2)
        return x + self.drop_path(self.mlp(self.ln_2(x)))

    def _add_local(self, x: Tensor, local: LocalBlock | None) -> Tensor:
        if local is None:
            return x
        cls_token, patches = x[:, :, :1], x[:, :, 1:]
        return torch.cat([cls_token, patches + self.drop_local(local(patches))], dim=2)


class GlobalBlock(nn.Module):
    """Attention of one query to all tokens of a clip, then an MLP, both zero at the start.

    Args:
        dim, num_heads, attn_backend: of :class:`MultiheadAttention`.
        mlp_factor: width of the MLP, in multiples of ``dim``.
        dropout: inside the MLP.
        drop_path: stochastic depth rate of both branches.
        drop_axis: axis of (B, 1, D) whose entries are dropped.
    """

    def __init__(
        self,
        dim: int,
        num_heads: int,
        mlp_factor: float,
        dropout: float,
        drop_path: float,
        drop_axis: int,
        attn_backend: str,
    ) -> None:
        super().__init__()
        hidden_dim = round(mlp_factor * dim)
        self.attn = MultiheadAttention(dim, num_heads, attn_backend, out_std=0.0)
        self.ln_1 = nn.LayerNorm(dim)
        self.mlp = QuickGELUMlp(dim, hidden_dim, out_std=0.0, dropout=dropout)
        self.ln_2 = nn.LayerNorm(dim)
        self.ln_3 = nn.LayerNorm(dim)
        self.drop_path = DropPath(drop_path, drop_axis)

    def forward(self, query: Tensor, tokens: Tensor) -> Tensor:
        """Query (B, 1, D) over tokens (B, N, D) -> (B, 1, D)."""
        query = query + self.drop_path(self.attn(self.ln_1(query), self.ln_3(tokens)))
        return query + self.drop_path(self.mlp(self.ln_2(query)))


class VideoTransformer(nn.Module):
    """Blocks of the frames and the global path beside them, under their published names.

    Args:
        blocks: of the frames, in order.
        global_blocks: of the global path, in order.
        dim: width.
        balance: make the share of the frames' class tokens a parameter.
    """

    def __init__(
        self,
        blocks: Sequence[SpatialBlock],
        global_blocks: Sequence[GlobalBlock],
        dim: int,
        balance: bool,
    ) -> None:
        super().__init__()
        self.temporal_cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.balance = nn.Parameter(torch.zeros(dim)) if balance else None
        self.resblocks = nn.ModuleList(blocks)
        self.dpe = nn.ModuleList(
            nn.Conv3d(dim, dim, 3, padding=1, groups=dim) for _ in global_blocks
        )
        for conv in self.dpe:
            nn.init.zeros_(conv.bias)
        self.dec = nn.ModuleList(global_blocks)

    def attend_globally(self, index: int, query: Tensor, x: Tensor, grid: Grid) -> Tensor:
        """Global block ``index``: query (B, 1, D) over x (B, T, 1 + S, D), which stays as it is."""
        patches = x[:, :, 1:]
        places = patches.permute(0, 3, 1, 2).unflatten(-1, grid[1:])
        places = self.dpe[index](places).flatten(3).permute(0, 2, 3, 1)
        tokens = torch.cat([x[:, :, :1], patches + places], dim=2)
        return self.dec[index](query, tokens.flatten(1, 2))

    def mix(self, query: Tensor, x: Tensor) -> Tensor:
        """(B, D): the query, mixed with the mean class token of x (B, T, 1 + S, D)."""
        query = query[:, 0]
        if self.balance is None:
            return query
        return query + self.balance.sigmoid() * (x[:, :, 0].mean(dim=1) - query)


@MODELS.register_module()
class UniFormerV2(VideoEncoder):
    """UniFormerV2 encoder: CLIP's blocks inside each frame, local blocks, global blocks.

    Parameters carry the published names (without the ``backbone.`` of the files); the classifier
    ``transformer.proj`` is a head.  Every frame has a class token: those of all T' temporal
    positions come first in ``tokens``, then the patches, time-major.  ``pooled`` is
    ``(1 - w) q + w c``: the global query, the mean class token, ``w = sigmoid(balance)``.  Nothing
    depends on the number of frames, so clips of any length are taken, images among them; with
    ``temporal_downsample`` only even lengths.

    Args:
        arch: ``'base'``, ``'large'``, or a dict of ``embed_dim``, ``depth``, ``num_heads`` and
            ``mlp_ratio``.
        img_size: side of the input in pixels, or (height, width).
        patch_size: side of a patch in pixels; published: 16 (base), 14 (large).
        num_frames: frames of a clip.
        temporal_downsample: the patch kernel sees three frames, at every second one.
        no_lmhra: leave out the local blocks.
        double_lmhra: a second local block, before the MLP.
        dw_reduction: width of the encoder over that inside a local block.
        sync_batch_norm: take the statistics of the local blocks' BatchNorm over all processes, on
            GPUs; off, as published: those of one process.
        global_layers: block indices, ascending, that a global block follows (published
            ``return_list``); None: the last four.
        global_num_heads: attention heads of the global blocks; None: as many as the others have.
        mlp_factor: width of the MLP of a global block over that of the encoder.
        backbone_drop_path_rate: stochastic depth of the last block; linear from 0.
        drop_path_rate: stochastic depth of the last global block; linear from 0.
        mlp_dropout: inside the MLPs of the global blocks, one rate or one for each.
        published_drop_path: drop what the published code does: whole token positions of all clips
            in the frames' attention and MLP, the branch of all clips in a global block.  Off:
            branches of single clips.
        balance: learn ``w``; off (published ``frozen``): ``pooled`` is the query alone.
        attn_backend: attention backend.
        checkpoint_num: recompute the activations of that many first blocks when training.

    Raises:
        ValueError: unknown architecture; sizes that do not divide, such as an odd ``num_frames``
            with ``temporal_downsample``; ``global_layers`` that do not exist, repeat or descend.

    Source: equations 2 to 9.
    """

    ARCHITECTURES: ClassVar[dict[str, dict[str, Any]]] = {
        'base': dict(embed_dim=768, depth=12, num_heads=12, mlp_ratio=4.0),
        'large': dict(embed_dim=1024, depth=24, num_heads=16, mlp_ratio=4.0),
    }
    SMALL: ClassVar[dict[str, Any]] = dict(VideoEncoder.SMALL) | dict(no_lmhra=False)
    takes_mask = False
    any_num_frames = True

    def __init__(
        self,
        arch: str | Mapping[str, Any] = 'base',
        img_size: int | tuple[int, int] = 224,
        patch_size: int = 16,
        num_frames: int = 8,
        temporal_downsample: bool = False,
        no_lmhra: bool = True,
        double_lmhra: bool = True,
        dw_reduction: float = 1.5,
        sync_batch_norm: bool = False,
        global_layers: Sequence[int] | None = None,
        global_num_heads: int | None = None,
        mlp_factor: float = 4.0,
        backbone_drop_path_rate: float = 0.0,
        drop_path_rate: float = 0.0,
        mlp_dropout: float | Sequence[float] = 0.5,
        published_drop_path: bool = False,
        balance: bool = True,
        attn_backend: str = 'auto',
        checkpoint_num: int = 0,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        width = self.resolve_arch(arch)
        dim, depth, heads = width['embed_dim'], width['depth'], width['num_heads']
        if temporal_downsample and num_frames % 2:
            raise ValueError(f'temporal_downsample takes an even num_frames, got {num_frames}')
        super().__init__(
            embed_dim=dim,
            depth=depth,
            img_size=img_size,
            patch_size=patch_size,
            num_frames=num_frames,
            tubelet_size=2 if temporal_downsample else 1,
            pooled_dim=dim,
            checkpoint_num=checkpoint_num,
            init_cfg=init_cfg,
        )
        self.num_prefix_tokens = self.grid[0]
        self.global_layers = check_global_layers(global_layers, depth)
        frame_block = dict(
            dim=dim,
            num_heads=heads,
            hidden_dim=int(dim * width['mlp_ratio']),
            attn_backend=attn_backend,
            depth=depth,
            num_local=0 if no_lmhra else 1 + double_lmhra,
            dw_reduction=dw_reduction,
            sync=sync_batch_norm,
            drop_axis=2 if published_drop_path else 0,
        )
        global_block = dict(
            dim=dim,
            num_heads=global_num_heads or heads,
            mlp_factor=mlp_factor,
            drop_axis=1 if published_drop_path else 0,
            attn_backend=attn_backend,
        )
        count = len(self.global_layers)
        dropouts = [mlp_dropout] * count if isinstance(mlp_dropout, int | float) else mlp_dropout
        if len(dropouts) != count:
            raise ValueError(
                f'mlp_dropout={list(dropouts)} is not one rate, nor one for each of '
                f'global_layers={list(self.global_layers)}'
            )
        kernel = (3 if temporal_downsample else 1, patch_size, patch_size)
        # Never run as a convolution: it gives the published name and start.
        self.conv1 = nn.Conv3d(3, dim, kernel, bias=False)
        patches = self.grid[1] * self.grid[2]
        self.class_embedding = nn.Parameter(dim**-0.5 * torch.randn(dim))
        self.positional_embedding = nn.Parameter(dim**-0.5 * torch.randn(1 + patches, dim))
        self.ln_pre = nn.LayerNorm(dim)
        rates, global_rates = (
            # On the CPU even when the model is built on the meta device: the rates are numbers.
            torch.linspace(0, last, number, device='cpu').tolist()
            for last, number in ((backbone_drop_path_rate, depth), (drop_path_rate, count))
        )
        self.transformer = VideoTransformer(
            [SpatialBlock(drop_path=rate, **frame_block) for rate in rates],
            [
                GlobalBlock(drop_path=rate, dropout=dropout, **global_block)
                for rate, dropout in zip(global_rates, dropouts, strict=True)
            ],
            dim,
            balance,
        )

    @property
    def blocks(self) -> nn.ModuleList:
        """Blocks of the frames, which published names call ``transformer.resblocks``."""
        return self.transformer.resblocks

    @property
    def pooler_parts(self) -> tuple[nn.Module | nn.Parameter, ...]:
        """The global path: its query, position convolutions and blocks, and the balance."""
        parts = self.transformer
        path = (parts.temporal_cls_token, parts.balance, parts.dpe, parts.dec)
        return tuple(part for part in path if part is not None)

    def is_image(self, num_frames: int) -> bool:
        """Whether a clip is one frame, which takes the place that every frame takes."""
        return num_frames == self.tubelet_size == 1

    def position_tables(self) -> dict[str, PositionTable]:
        """Table of a frame, class token first."""
        return dict(positional_embedding=PositionTable(over_time=False, extra_rows=1))

    @classmethod
    def shrink(cls, config: dict[str, Any], small: SmallSizes) -> dict[str, Any]:
        """Offer a small copy to a rehearsal."""
        config = small_encoder(config, small, patch_size=16)
        if config.get('global_layers') is not None:
            count = min(len(config['global_layers']), small.depth)
            config['global_layers'] = list(range(small.depth - count, small.depth))
        if isinstance(config.get('mlp_dropout'), list | tuple):
            config['mlp_dropout'] = config['mlp_dropout'][0]
        config.pop('global_num_heads', None)
        return config

    def embed_frames(self, video: Tensor) -> Tensor:
        """(B, C, T, H, W) -> (B, T', 1 + S, D), a class token in front of the patches of a frame.

        Raises ValueError for an odd number of frames that is to be halved.
        """
        kernel, frames = self.conv1.weight, video.shape[2]
        if self.tubelet_size == 1:
            patches = embed_boxes(video, kernel)
        else:
            # Frames 2t-1, 2t and 2t+1, with a black one in front of the first.
            padded = F.pad(video, (0, 0, 0, 0, 1, 0))
            patches = sum(
                embed_boxes(padded[:, :, tap : tap + frames : 2], kernel[:, :, tap : tap + 1])
                for tap in range(3)
            )
        # A float32 table would turn a bfloat16 stream into float32.
        table = self.positional_embedding.to(patches.dtype)
        cls_token = self.class_embedding.to(patches.dtype) + table[0]
        cls_tokens = cls_token.expand(*patches.shape[:2], 1, -1)
        return self.ln_pre(torch.cat([cls_tokens, patches + table[1:]], dim=2))

    def split_frames(self, tokens: Tensor) -> Tensor:
        """``tokens`` or a layer (B, T' (1 + S), D) by frames: (B, T', 1 + S, D), class token first.

        The published tensors (1 + S, B, T', D) are a transpose of it.
        """
        patches = self.grid[1] * self.grid[2]
        steps = tokens.shape[1] // (1 + patches)
        cls_tokens, patches = tokens[:, :steps, None], tokens[:, steps:].unflatten(1, (steps, -1))
        return torch.cat([cls_tokens, patches], dim=2)

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
            video: (B, C, T, H, W) normalised clips of any length (even with
                ``temporal_downsample``).
            mask, num_visible: not possible: the convolutions need every patch.
            return_layers: block indices (0-based) whose output stream is returned.
            return_attn: not possible.
            layers_only: stop after the last of ``return_layers``; there is no pooled vector then.

        Raises:
            ValueError: a clip of another size, a mask, or a layer that does not exist.
        """
        self.check_clips(video)
        self.check_request(return_layers, return_attn)
        if mask is not None:
            raise ValueError(f'{type(self).__name__} takes no mask: its convolutions need a grid')
        x = self.embed_frames(video)
        grid = (x.shape[1], *self.grid[1:])
        query = self.transformer.temporal_cls_token.expand(len(x), -1, -1)
        taps = {}
        for index in range(self.num_needed_blocks(return_layers, layers_only)):
            x = self.run_block(index, x)
            if index in self.global_layers and not layers_only:
                place = self.global_layers.index(index)
                query = self.transformer.attend_globally(place, query, x, grid)
            if index in return_layers:
                taps[index] = class_tokens_first(x)
        pooled = None if layers_only else self.transformer.mix(query, x)
        return EncoderOutput(
            class_tokens_first(x), pooled, [taps[i] for i in return_layers], None, grid
        )

    def no_weight_decay(self) -> set[str]:
        """Names of parameters that are never decayed: class token, table, query and balance."""
        names = {name for name, _ in self.transformer.named_parameters(recurse=False)}
        return super().no_weight_decay() | {f'transformer.{name}' for name in names}

    def get_layer_depth(self, param_name: str, prefix: str = '') -> tuple[int, int]:
        """(layer id, number of layers) of a parameter, the last one for the global path."""
        name, layers = param_name.removeprefix(prefix), self.depth + 2
        if block := RESBLOCK.match(name):
            return int(block.group(1)) + 1, layers
        return (0 if name.startswith(INPUTS) else layers - 1), layers


def class_tokens_first(x: Tensor) -> Tensor:
    """(B, T, 1 + S, D) -> (B, T + T S, D): class tokens of all frames, then patches."""
    return torch.cat([x[:, :, 0], x[:, :, 1:].flatten(1, 2)], dim=1)


def check_global_layers(layers: Sequence[int] | None, depth: int) -> tuple[int, ...]:
    """Block indices that a global block follows, the last four by default.

    Raises ValueError unless they exist and ascend.
    """
    if layers is None:
        return tuple(range(max(0, depth - PUBLISHED_GLOBAL_BLOCKS), depth))
    rising = all(one < two for one, two in itertools.pairwise(layers))
    if not layers or not rising or layers[0] < 0 or layers[-1] >= depth:
        raise ValueError(
            f'global_layers={list(layers)} must be ascending block indices in [0, {depth}), each '
            'once'
        )
    return tuple(layers)
