"""Decoders that bring a student's features to the spaces of its teachers."""

from typing import Any

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from internvideo.models.layers.linear import Linear
from internvideo.models.layers.position import check_image_table, sincos_1d, sincos_2d, sincos_3d
from internvideo.ops.features import check_norm, normalise
from internvideo.ops.position_tables import PositionTable
from internvideo.ops.tokens import mean_over_time
from internvideo.registry import MODELS
from internvideo.structures.aligned_features import AlignedFeatures
from internvideo.structures.rehearsal import SmallSizes


class LinearDecoder(nn.Module):
    """Linear map ``head`` and LayerNorm ``norm``."""

    def __init__(self, in_dim: int, out_dim: int) -> None:
        super().__init__()
        self.head = Linear(in_dim, out_dim)
        self.norm = nn.LayerNorm(out_dim, eps=1e-5)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.head(x))


class MLPDecoder(nn.Module):
    """Two linear maps with an exact GELU between them (``head``) and LayerNorm ``norm``."""

    def __init__(self, in_dim: int, out_dim: int) -> None:
        super().__init__()
        self.head = nn.Sequential(Linear(in_dim, in_dim), nn.GELU(), Linear(in_dim, out_dim))
        self.norm = nn.LayerNorm(out_dim, eps=1e-5)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.head(x))


DECODERS = {'LinearDecoder': LinearDecoder, 'MLPDecoder': MLPDecoder}


@MODELS.register_module()
class AlignmentNeck(BaseModule):
    """One decoder per aligned layer, with a position table per branch.

    The CLIP branch aligns the streams of ``clip_layers`` blocks (class token included) and the
    pooled vector, the MAE branch those of ``mae_layers`` blocks (patches only).  Parameters have
    the published names: ``clip_decoder.k``, ``final_clip_decoder``, ``mae_decoder.k``,
    ``clip_pos_embed*``, ``mae_pos_embed*``.

    Args:
        embed_dim: token width of the student.
        pooled_dim: width of its pooled vector.
        grid: its temporal positions, rows and columns.
        sep_pos_embed: separate spatial and temporal tables, as in the student.
        clip_dim: token width of the CLIP teacher.
        clip_layers: aligned layers of the CLIP branch.
        clip_final_dim: pooled width of the CLIP teacher; 0 hands the pooled vector out as it is.
        clip_decoder: ``'LinearDecoder'`` (pretraining) or ``'MLPDecoder'`` (distillation).
        clip_norm: ``'l2'`` or ``'none'``.
        mae_dim: token width of the MAE teacher.
        mae_layers: aligned layers of the MAE branch; 0 leaves the branch out.
        mae_norm: as ``clip_norm``.
        image_pos_embed: how images of a video student are placed in the CLIP branch, as in the
            student: None, ``'shared'`` or ``'separate'`` (a table ``clip_img_pos_embed``).

    Raises:
        ValueError: unknown decoder, norm or image table, or a branch without layers or width.
    """

    def __init__(
        self,
        embed_dim: int,
        pooled_dim: int,
        grid: tuple[int, int, int],
        sep_pos_embed: bool = False,
        clip_dim: int = 3200,
        clip_layers: int = 6,
        clip_final_dim: int = 768,
        clip_decoder: str = 'LinearDecoder',
        clip_norm: str = 'l2',
        mae_dim: int = 0,
        mae_layers: int = 0,
        mae_norm: str = 'l2',
        image_pos_embed: str | None = None,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if clip_decoder not in DECODERS:
            raise ValueError(
                f'clip_decoder must be one of {", ".join(DECODERS)}, got {clip_decoder!r}'
            )
        if clip_layers < 1 or clip_dim < 1 or mae_layers < 0 or (mae_layers and mae_dim < 1):
            raise ValueError(
                f'clip_layers={clip_layers} and clip_dim={clip_dim} must be positive, and '
                f'mae_dim={mae_dim} too when mae_layers={mae_layers} is'
            )
        self.clip_norm, self.mae_norm = check_norm(clip_norm), check_norm(mae_norm)
        self.embed_dim, self.grid, self.sep_pos_embed = embed_dim, tuple(grid), sep_pos_embed
        self.image_pos_embed = check_image_table(image_pos_embed, sep_pos_embed)
        self.clip_dim, self.clip_final_dim, self.mae_dim = clip_dim, clip_final_dim, mae_dim

        decoder = DECODERS[clip_decoder]
        self._make_table('clip', cls_token=True)
        if image_pos_embed == 'separate':
            self._add('clip_img_pos_embed', sincos_3d(embed_dim, 1, tuple(grid[1:]), True))
        self.clip_decoder = nn.ModuleList(decoder(embed_dim, clip_dim) for _ in range(clip_layers))
        self.final_clip_decoder = nn.Identity()
        if clip_final_dim:
            self.final_clip_decoder = decoder(pooled_dim, clip_final_dim)
        if mae_layers:
            self._make_table('mae', cls_token=False)
        # MLPs in every published student, whatever the CLIP branch has.
        self.mae_decoder = nn.ModuleList(MLPDecoder(embed_dim, mae_dim) for _ in range(mae_layers))

    def _make_table(self, branch: str, cls_token: bool) -> None:
        dim, (steps, *sides) = self.embed_dim, self.grid
        name = f'{branch}_pos_embed'
        if not self.sep_pos_embed:
            self._add(name, sincos_3d(dim, steps, tuple(sides), cls_token))
            return
        self._add(f'{name}_spatial', sincos_2d(dim, tuple(sides)))
        self._add(f'{name}_temporal', sincos_1d(dim, steps))
        if cls_token:
            self._add(f'{name}_cls', torch.zeros(1, dim, device='cpu'))

    def _add(self, name: str, table: Tensor) -> None:
        # Tables come on the CPU; the parameter belongs on the device that the model is built on.
        parameter = nn.Parameter(torch.empty(1, *table.shape))
        with torch.no_grad():
            parameter.copy_(table)
        self.register_parameter(name, parameter)

    def _table(self, branch: str, is_image: bool = False) -> Tensor:
        """(rows, D) table of a branch."""
        name = f'{branch}_pos_embed'
        if is_image and self.image_pos_embed == 'separate':
            return self.clip_img_pos_embed[0]
        if not self.sep_pos_embed:
            joint = getattr(self, name)
            return (mean_over_time(joint, self.grid[0]) if is_image else joint)[0]
        temporal, spatial = getattr(self, f'{name}_temporal'), getattr(self, f'{name}_spatial')
        patches = spatial[0]
        if not is_image:
            patches = (temporal[0][:, None] + patches).flatten(0, 1)
        cls_row = getattr(self, f'{name}_cls', None)
        return patches if cls_row is None else torch.cat([cls_row[0], patches])

    @classmethod
    def shrink(cls, config: dict[str, Any], small: SmallSizes) -> dict[str, Any]:
        """Offer a small copy to a rehearsal."""
        given = [name for name in ('mae_dim',) if name in config]
        return small.narrowed(config, 'clip_dim', 'clip_final_dim', *given)

    def forward(
        self,
        pooled: Tensor,
        clip_streams: list[Tensor],
        mae_streams: list[Tensor] = (),
        visible: Tensor | None = None,
        is_image: bool = False,
    ) -> AlignedFeatures:
        """Decode the student's streams.

        Args:
            pooled: (B, ``pooled_dim``).
            clip_streams: ``clip_layers`` streams (B, M, D), class token first.
            mae_streams: ``mae_layers`` streams (B, M, D), class token first.
            visible: (B, M) positions of the visible tokens in the full sequence, class token
                first; None when all are visible.
            is_image: the streams are those of images under a video student.

        Raises ValueError for images when ``image_pos_embed`` is None or there is a MAE branch.
        """
        if is_image and (self.image_pos_embed is None or len(self.mae_decoder)):
            raise ValueError(
                'images need image_pos_embed and no MAE branch, got '
                f'image_pos_embed={self.image_pos_embed!r} and {len(self.mae_decoder)} MAE layers'
            )
        # Decoder k belongs to the k-th shallowest of the aligned blocks, as published.
        table = self._rows('clip', visible, is_image)
        middle = [
            normalise(decoder(stream + table.to(stream.dtype)), self.clip_norm)
            for decoder, stream in zip(self.clip_decoder, clip_streams, strict=True)
        ]
        final = self.final_clip_decoder(pooled)
        # Without a decoder of its own the pooled vector goes out raw, as published.
        if self.clip_final_dim:
            final = normalise(final, self.clip_norm)
        return AlignedFeatures(middle, final, self._decode_mae(mae_streams, visible))

    def _decode_mae(self, streams: list[Tensor], visible: Tensor | None) -> list[Tensor]:
        if not len(self.mae_decoder):
            return []
        # The MAE table has no row for the class token: patches count from 0 in it.
        table = self._rows('mae', None if visible is None else visible[:, 1:] - 1)
        return [
            normalise(decoder(stream[:, 1:] + table.to(stream.dtype)), self.mae_norm)
            for decoder, stream in zip(self.mae_decoder, streams, strict=True)
        ]

    def _rows(self, branch: str, visible: Tensor | None, is_image: bool = False) -> Tensor:
        table = self._table(branch, is_image)
        return table if visible is None else F.embedding(visible, table)

    def position_tables(self) -> dict[str, PositionTable]:
        """Name of each position table -> what its rows are."""
        tables = self._branch_tables('clip', extra_rows=1)
        if self.image_pos_embed == 'separate':
            tables['clip_img_pos_embed'] = PositionTable(over_time=False, extra_rows=1)
        return tables | (self._branch_tables('mae') if len(self.mae_decoder) else {})

    def _branch_tables(self, branch: str, extra_rows: int = 0) -> dict[str, PositionTable]:
        name = f'{branch}_pos_embed'
        if not self.sep_pos_embed:
            return {name: PositionTable(extra_rows=extra_rows)}
        return {
            f'{name}_spatial': PositionTable(over_time=False),
            f'{name}_temporal': PositionTable(over_space=False),
        }

    def no_weight_decay(self) -> set[str]:
        """Names of parameters that are never decayed."""
        names = {f'clip_pos_embed{part}' for part in ('', '_spatial', '_temporal', '_cls')}
        if self.image_pos_embed == 'separate':
            names.add('clip_img_pos_embed')
        if len(self.mae_decoder):
            names |= {f'mae_pos_embed{part}' for part in ('', '_spatial', '_temporal')}
        return names
