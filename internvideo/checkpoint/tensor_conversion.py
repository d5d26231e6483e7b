"""What happens to tensors between two models: position tables, patch kernels, heads, names.

Plain functions on tensors and state dicts, shared by the adapters of all families.  None of them
changes its input.  Half-precision tables are resized in float32 and stay float32, so that nothing
is rounded twice on the way into a float32 model.
"""

import functools
import json
import logging
import math
from collections.abc import Iterable, Mapping
from importlib import resources

import torch
import torch.nn.functional as F
from mmengine.logging import print_log
from torch import Tensor

State = dict[str, Tensor]
Grid = tuple[int, int, int]
"""Temporal positions, rows and columns of the tokens of one clip."""

K710_CLASSES = 710
PUBLISHED_TIME_STEPS = 8
STAGE2_PREFIX = 'vision_encoder.'
DECODER_PARTS = (
    'clip_decoder',
    'final_clip_decoder',
    'mae_decoder',
    'clip_pos_embed',
    'mae_pos_embed',
    'clip_img_pos_embed',
    'img_pos_embed',
    'neck.',
    'teacher_digest',
)
"""Beginnings of the names that only pretraining, distillation and stage 2 use, ours included."""
STAGE2_DECODER_PARTS = ('clip_decoder', 'clip_pos_embed', 'img_pos_embed')
"""Parts of the names, in the vision tower of a stage-2 file, that its encoder does not need."""


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
        ValueError: the rows do not divide into ``orig_t_size`` squares (or ``orig_grid``).
    """
    extra, body = table[:, :extra_rows], table[:, extra_rows:]
    height, width = orig_grid or _square(body.shape[1], orig_t_size)
    if orig_t_size * height * width != body.shape[1]:
        raise ValueError(
            f'a position table of {body.shape[1]} rows does not hold {orig_t_size} time steps '
            f'of {height} x {width} squares'
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


def infer_time_steps(rows: int, grid: Grid) -> int:
    """Number of time steps of a joint table of ``rows`` position rows, for a model of ``grid``.

    Readings considered: the squares of the model, the time steps of the model, and the 8 steps of
    the published models.  A single one is taken; among several, the model's own grid, else the
    published 8, and a warning names the others.

    Raises:
        ValueError: none of them fits, or several do without 8 being one of them.
    """
    steps, height, width = grid
    readings = {t for t in (steps, PUBLISHED_TIME_STEPS) if _is_square(rows, t)}
    if rows % (height * width) == 0:
        readings.add(rows // (height * width))
    own = steps if rows == steps * height * width else PUBLISHED_TIME_STEPS
    if own in readings or len(readings) == 1:
        taken = own if own in readings else readings.pop()
        _warn_of_other_readings(rows, taken, readings - {taken}, grid)
        return taken
    possible = _readings(rows, [t for t in range(1, min(rows, 128) + 1) if _is_square(rows, t)])
    raise ValueError(
        f'cannot tell how many time steps a position table of {rows} rows holds (the model has '
        f'{steps} x {height} x {width}); set orig_t_size, possible: {possible or "none"}'
    )


def _warn_of_other_readings(rows: int, taken: int, others: set[int], grid: Grid) -> None:
    if others:
        print_log(
            f'AMBIGUOUS position table: its {rows} rows are read as {_readings(rows, [taken])}, '
            f'they could be {_readings(rows, sorted(others))} (the model has '
            f'{grid[0]} x {grid[1]} x {grid[2]}); set orig_t_size of init_cfg to the time steps '
            'that the checkpoint was trained with',
            logger='current',
            level=logging.WARNING,
        )


def _readings(rows: int, steps: Iterable[int]) -> str:
    sizes = [(t, math.isqrt(rows // t)) for t in steps]
    return ', '.join(
        f'{t} ({side} x {side} squares)'
        if t * side * side == rows
        else f'{t} ({rows // t} squares)'
        for t, side in sizes
    )


def inflate_patch_kernel(weight: Tensor, tubelet_size: int, *, center: bool = True) -> Tensor:
    """Turn a 2-D patch kernel into a 3-D one of depth ``tubelet_size``.

    Args:
        weight: (O, C, h, w) or (O, C, 1, h, w).
        tubelet_size: wanted depth.
        center: put the kernel at index ⌊tubelet_size / 2⌋ and zeros elsewhere; otherwise copy it
            everywhere, divided by ``tubelet_size``.  Both keep the response to a still video.

    Raises:
        ValueError: the kernel already spans several frames.
    """
    if weight.ndim == 4:
        weight = weight[:, :, None]
    if weight.shape[2] != 1:
        raise ValueError(
            f'patch kernel of depth {weight.shape[2]} cannot be inflated, only depth 1'
        )
    if not center:
        return weight.repeat(1, 1, tubelet_size, 1, 1) / tubelet_size
    inflated = weight.new_zeros(*weight.shape[:2], tubelet_size, *weight.shape[3:])
    inflated[:, :, tubelet_size // 2] = weight[:, :, 0]
    return inflated


def average_patch_kernel(weight: Tensor) -> Tensor:
    """Average a patch kernel (O, C, t, h, w) over time to (O, C, 1, h, w)."""
    return weight.mean(dim=2, keepdim=True)


@functools.cache
def _label_maps() -> dict[str, list[int]]:
    text = resources.files(__package__).joinpath('k710_label_maps.json').read_text('utf-8')
    return json.loads(text)


def k710_rows(num_classes: int) -> list[int] | None:
    """Kinetics-710 class of each Kinetics-400/600/700 class; None for any other class count."""
    if num_classes == 400:
        return list(range(400))
    return _label_maps().get(str(num_classes))


def remap_k710_head(
    weight: Tensor, bias: Tensor | None, num_classes: int
) -> tuple[Tensor, Tensor | None]:
    """Pick the rows of a Kinetics-710 classifier that serve Kinetics-400, 600 or 700.

    A head of other than 710 rows, or for another class count, is returned as it is.

    Args:
        weight: (710, D).
        bias: (710,) or None.
        num_classes: 400 (the first 400 classes), 600 or 700 (by label map).
    """
    rows = k710_rows(num_classes)
    if rows is None or weight.shape[0] != K710_CLASSES:
        return weight, bias
    return weight[rows], None if bias is None else bias[rows]


def strip_prefix(name: str, prefixes: Iterable[str]) -> str:
    """Remove the first of ``prefixes`` that ``name`` starts with, once."""
    prefix = next((p for p in prefixes if name.startswith(p)), '')
    return name.removeprefix(prefix)


def strip_prefixes(state: Mapping[str, Tensor], prefixes: Iterable[str]) -> State:
    """Apply :func:`strip_prefix` to every name; the order is kept.

    Raises:
        ValueError: two entries end up with the same name.
    """
    prefixes = tuple(prefixes)
    stripped = {strip_prefix(name, prefixes): tensor for name, tensor in state.items()}
    if len(stripped) < len(state):
        raise ValueError(f'removing the prefixes {", ".join(prefixes)} makes two entries collide')
    return stripped


def override_from_stage2(state: Mapping[str, Tensor], stage2: Mapping[str, Tensor]) -> State:
    """Overwrite (or add) the vision tower of a stage-2 file; its other entries are ignored."""
    tower = {
        name.replace(STAGE2_PREFIX, ''): tensor
        for name, tensor in stage2.items()
        if name.startswith(STAGE2_PREFIX)
    }
    if not tower:
        raise ValueError(f'the stage-2 file holds no entry that starts with {STAGE2_PREFIX!r}')
    return {**state, **tower}


def extract_stage2_vision(stage2: Mapping[str, Tensor]) -> State:
    """The vision tower of a stage-2 file without decoders and their tables, prefix removed."""
    tower = override_from_stage2({}, stage2)
    return {
        name: tensor
        for name, tensor in tower.items()
        if not any(part in name for part in STAGE2_DECODER_PARTS)
    }


def is_decoder_part(name: str) -> bool:
    """Whether ``name`` belongs to a decoder of pretraining, distillation or stage 2."""
    return name.startswith(DECODER_PARTS)


def _is_square(rows: int, steps: int) -> bool:
    return rows % steps == 0 and math.isqrt(rows // steps) ** 2 == rows // steps


def _square(rows: int, steps: int) -> tuple[int, int]:
    if not _is_square(rows, steps):
        raise ValueError(
            f'a position table of {rows} rows does not hold {steps} time steps of a square grid'
        )
    side = math.isqrt(rows // steps)
    return side, side


def _at_least_float32(table: Tensor) -> Tensor:
    return table.to(torch.promote_types(table.dtype, torch.float32))


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
    images = F.interpolate(images, size=tuple(new_size), mode='bicubic', align_corners=False)
    return images.flatten(2).transpose(1, 2)[None]
