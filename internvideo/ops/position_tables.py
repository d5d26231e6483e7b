"""Resizing of position tables in time and space.

Tables in half precision are resized in float32 and stay float32, so that nothing is rounded twice
on the way into a float32 model.  No function changes its input.
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

Grid = tuple[int, int, int]
"""Temporal positions, rows and columns of the tokens of one clip."""


class PositionTable(NamedTuple):
    """Layout of the rows of a position table (1, rows, D) or (rows, D), by which it is resized.

    Attributes:
        over_time, over_space: whether a row is there for each temporal position, each patch of a
            frame.
        extra_rows: rows in front that belong to no position (class token); kept as they are.
        learned: False for a constant that the encoder computes from its own grid: there is
            nothing to resize, and a file's copy is not needed.
    """

    over_time: bool = True
    over_space: bool = True
    extra_rows: int = 0
    learned: bool = True

    def span(self, grid: Grid) -> Grid:
        """The part of an encoder's ``grid`` that the table covers."""
        steps, height, width = grid
        return (
            steps if self.over_time else 1,
            height if self.over_space else 1,
            width if self.over_space else 1,
        )

    def num_rows(self, grid: Grid) -> int:
        """Rows that the table of an encoder with this grid has."""
        steps, height, width = self.span(grid)
        return self.extra_rows + steps * height * width

    def resize(self, table: Tensor, old: Grid, new: Grid) -> Tensor:
        """``table`` of an encoder with grid ``old`` for one with grid ``new``, of as many axes.

        Linear in time, bicubic in space, in float32 at least.

        Raises:
            ValueError: the table has other rows than ``old`` says.
        """
        if table.ndim == 2:
            batched = table[None]
            resized = self.resize(batched, old, new)
            return table if resized is batched else resized[0]
        steps, *size = self.span(old)
        return interpolate_joint_table(
            table, steps, self.span(new), extra_rows=self.extra_rows, orig_grid=tuple(size)
        )


def interpolate_joint_table(
    table: Tensor,
    orig_t_size: int,
    grid: Grid,
    *,
    extra_rows: int = 1,
    orig_grid: tuple[int, int] | None = None,
) -> Tensor:
    """Resize a table over (time, row, column): time first (linear), then space (bicubic).

    Args:
        table: (1, extra_rows + T·h·w, D), rows ordered time, row, column.
        orig_t_size: T of ``table``.
        grid: wanted (T, rows, columns).
        extra_rows: leading rows that belong to no position (CLS); kept as they are.
        orig_grid: (h, w) of ``table``; a square by default.

    Returns:
        (1, extra_rows + grid[0]·grid[1]·grid[2], D); ``table`` itself when nothing changes.

    Raises:
        ValueError: the rows do not divide into ``orig_t_size`` square grids (or ``orig_grid``).
    """
    extra, body = table[:, :extra_rows], table[:, extra_rows:]
    height, width = orig_grid or _square(body.shape[1], orig_t_size)
    if orig_t_size * height * width != body.shape[1]:
        raise ValueError(
            f'a position table of {body.shape[1]} rows does not hold {orig_t_size} time steps '
            f'of {height} x {width} patches'
        )
    if (orig_t_size, height, width) == tuple(grid):
        return table
    body = _resize_time(_at_least_float32(body).unflatten(1, (orig_t_size, -1)), grid[0])
    body = _resize_space(body, (height, width), grid[1:])
    return torch.cat([extra.to(body.dtype), body.flatten(1, 2)], dim=1)


def interpolate_separate_tables(
    spatial: Tensor,
    temporal: Tensor,
    grid: Grid,
    *,
    orig_grid: tuple[int, int] | None = None,
) -> tuple[Tensor, Tensor]:
    """Resize a spatial table (1, h·w, D), bicubic, and a temporal table (1, T, D), linear.

    The published code cannot resize the spatial table of a model with more than one time step;
    here it is a plain bicubic resize.

    Raises:
        ValueError: the spatial table is not square and ``orig_grid`` is not given.
    """
    size = orig_grid or _square(spatial.shape[1], 1)
    if size != tuple(grid[1:]):
        spatial = _resize_space(_at_least_float32(spatial)[:, None], size, grid[1:])[:, 0]
    if temporal.shape[1] != grid[0]:
        temporal = _resize_time(_at_least_float32(temporal)[:, :, None], grid[0])[:, :, 0]
    return spatial, temporal


def interpolate_image_table(table: Tensor, size: tuple[int, int], *, extra_rows: int = 1) -> Tensor:
    """Resize an image encoder's table (1, extra_rows + g², D) to ``size`` (rows, columns), bicubic.

    The leading ``extra_rows`` (CLS) are kept.
    """
    return interpolate_joint_table(table, 1, (1, *size), extra_rows=extra_rows)


def is_square(rows: int, steps: int) -> bool:
    """Whether ``rows`` are ``steps`` times those of a square grid."""
    return rows % steps == 0 and math.isqrt(rows // steps) ** 2 == rows // steps


def _square(rows: int, steps: int) -> tuple[int, int]:
    if not is_square(rows, steps):
        raise ValueError(
            f'a position table of {rows} rows does not hold {steps} time steps of a square grid'
        )
    side = math.isqrt(rows // steps)
    return side, side


def _at_least_float32(table: Tensor) -> Tensor:
    return table.to(torch.promote_types(table.dtype, torch.float32))


# timm's resample_abs_pos_embed knows no time axis, and rounds the result to the table's dtype.
def _resize_time(table: Tensor, steps: int) -> Tensor:
    """(1, T, L, D) to (1, steps, L, D), linear between the centres of the steps."""
    if table.shape[1] == steps:
        return table
    series = table.flatten(2).transpose(1, 2)
    series = F.interpolate(series, size=steps, mode='linear', align_corners=False)
    return series.transpose(1, 2).unflatten(2, table.shape[2:])


def _resize_space(table: Tensor, size: tuple[int, int], new_size: tuple[int, int]) -> Tensor:
    """(1, T, h·w, D) to (1, T, h'·w', D), bicubic, each time step on its own."""
    if tuple(size) == tuple(new_size):
        return table
    images = table[0].unflatten(1, size).permute(0, 3, 1, 2)
    # Without antialiasing, as the published tables were resized.
    images = F.interpolate(images, size=tuple(new_size), mode='bicubic', align_corners=False)
    return images.flatten(2).transpose(1, 2)[None]
