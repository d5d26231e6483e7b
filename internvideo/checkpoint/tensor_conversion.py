"""What happens to tensors between two models: patch kernels, heads, names, readings of tables.

Plain functions on tensors and state dicts, shared by the adapters of all families.  None of them
changes its input.
"""

import functools
import json
import logging
import math
from collections.abc import Iterable, Mapping
from importlib import resources

from mmengine.logging import print_log
from torch import Tensor

from internvideo.ops.position_tables import Grid, is_square

State = dict[str, Tensor]

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


def infer_time_steps(rows: int, grid: Grid) -> int:
    """Number of time steps of a joint table of ``rows`` position rows, for a model of ``grid``.

    Readings considered: the squares of the model, the time steps of the model, and the 8 steps of
    the published models.  A single one is taken; among several, the model's own grid, else the
    published 8, and a warning names the others.

    Raises:
        ValueError: none of them fits, or several do without 8 being one of them.
    """
    steps, height, width = grid
    readings = {t for t in (steps, PUBLISHED_TIME_STEPS) if is_square(rows, t)}
    if rows % (height * width) == 0:
        readings.add(rows // (height * width))
    own = steps if rows == steps * height * width else PUBLISHED_TIME_STEPS
    if own in readings or len(readings) == 1:
        taken = own if own in readings else readings.pop()
        _warn_of_other_readings(rows, taken, readings - {taken}, grid)
        return taken
    possible = _readings(rows, [t for t in range(1, min(rows, 128) + 1) if is_square(rows, t)])
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
