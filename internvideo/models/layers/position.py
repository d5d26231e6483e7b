"""Fixed sine-cosine position tables, float32.

Two families exist: the InternVideo2 tables (halves: all sines, then all cosines) and the VideoMAE
table (sines and cosines interleaved), each with its own resizing.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

IMAGE_TABLES = (None, 'shared', 'separate')


def sincos(positions: Tensor, dim: int) -> Tensor:
    """(n,) positions -> (n, dim): ``sin(p w_i)`` for all i, then ``cos(p w_i)``.

    ``w_i = 10000 ** (-i / (dim / 2))``.  Raises ValueError for an odd ``dim``.
    """
    if dim % 2:
        raise ValueError(f'a sine-cosine table needs an even width, got {dim}')
    # In float32, as the published tables were made.
    index = torch.arange(dim // 2, dtype=torch.float32, device='cpu')
    frequency = 1.0 / 10000 ** (index / (dim / 2))
    angle = positions.to(torch.float32)[:, None] * frequency
    return torch.cat([angle.sin(), angle.cos()], dim=1)


def _positions(length: int) -> Tensor:
    return torch.arange(length, dtype=torch.float32, device='cpu')


def _with_cls_row(table: Tensor, cls_token: bool) -> Tensor:
    return F.pad(table, (0, 0, 1, 0)) if cls_token else table


def sincos_1d(dim: int, length: int, cls_token: bool = False) -> Tensor:
    """Table (length, dim) over time, with a zero row in front for ``cls_token``."""
    return _with_cls_row(sincos(_positions(length), dim), cls_token)


def sincos_2d(dim: int, grid: tuple[int, int], cls_token: bool = False) -> Tensor:
    """Table (height * width, dim) in row-major order, columns in the first half of the width."""
    height, width = grid
    rows = _positions(height).repeat_interleave(width)
    columns = _positions(width).repeat(height)
    # Columns first, as published: on a square grid no shape would show the other order.
    table = torch.cat([sincos(columns, dim // 2), sincos(rows, dim // 2)], dim=1)
    return _with_cls_row(table, cls_token)


def sincos_3d(dim: int, length: int, grid: tuple[int, int], cls_token: bool = False) -> Tensor:
    """(length * height * width, dim) table, time-major: a quarter of the width for time.

    Raises ValueError when ``dim`` is not a multiple of 16.
    """
    # Space has 3/4 of the width; half of that, 3 dim / 8, must be even for sines and cosines.
    if dim % 16:
        raise ValueError(f'a joint position table needs embed_dim divisible by 16, got {dim}')
    time, space = sincos_1d(dim // 4, length), sincos_2d(dim - dim // 4, grid)
    table = torch.cat([time.repeat_interleave(len(space), 0), space.repeat(length, 1)], dim=1)
    return _with_cls_row(table, cls_token)


def interleaved_sinusoid(num_positions: int, dim: int) -> Tensor:
    """(num_positions, dim) VideoMAE table over the flattened position: even sine, odd cosine."""
    # Rounded once, from float64, as published.  On the CPU also when the model is built on the
    # meta device: as no file holds this table, nothing would fill it in later.
    pair = torch.arange(dim, dtype=torch.float64, device='cpu') // 2
    position = torch.arange(num_positions, dtype=torch.float64, device='cpu')
    angle = position[:, None] / 10000 ** (2 * pair / dim)
    even = torch.arange(dim, device='cpu') % 2 == 0
    return torch.where(even, angle.sin(), angle.cos()).to(torch.float32)


def resized_sinusoid(
    num_positions: int,
    dim: int,
    num_steps: int | None = None,
    base_positions: int | None = None,
    base_steps: int = 8,
    base_grid: int = 14,
) -> Tensor:
    """(num_positions, dim) VideoMAE table, resized from a base table where the sizes differ.

    The base table holds ``base_steps x base_grid x base_grid`` positions.  It is resized
    bicubically in space when the wanted patches per step differ, then linearly in time when the
    wanted ``num_steps`` differ.

    Args:
        num_positions: wanted rows, ``num_steps * side ** 2``.
        num_steps: wanted temporal positions; None gives the base table as it is.
        base_positions: rows of the base table; defaults to its grid's.
    """
    base_positions = base_positions or base_steps * base_grid**2
    table = interleaved_sinusoid(base_positions, dim)
    if num_steps is None:
        return table
    patches = num_positions // num_steps
    if patches * base_steps != base_positions:
        side = round(patches**0.5)
        table = table.view(base_steps, base_grid, base_grid, dim).permute(0, 3, 1, 2)
        table = F.interpolate(table, size=(side, side), mode='bicubic', align_corners=False)
        table = table.permute(0, 2, 3, 1).flatten(0, 2)
    if num_steps != base_steps:
        table = table.view(base_steps, patches * dim).T[None]
        table = F.interpolate(table, size=num_steps, mode='linear', align_corners=False)
        table = table[0].T.reshape(num_positions, dim)
    return table


def check_image_table(kind: str | None, sep_pos_embed: bool) -> str | None:
    """Return ``kind`` if it names a way to place images, else raise ValueError."""
    if kind not in IMAGE_TABLES or (kind == 'separate' and sep_pos_embed):
        raise ValueError(
            f"image_pos_embed must be None, 'shared' or, with a joint table, 'separate', got "
            f'{kind!r} with sep_pos_embed={sep_pos_embed}'
        )
    return kind
