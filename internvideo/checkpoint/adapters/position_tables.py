"""Position tables of a file on their way to the grid of a model."""

import logging
import math
from collections.abc import Iterable, Mapping

from mmengine.logging import print_log
from torch import Tensor

from internvideo.checkpoint.report import LoadReport
from internvideo.checkpoint.tensor_conversion import State
from internvideo.ops.position_tables import (
    Grid,
    PositionTable,
    interpolate_joint_table,
    is_square,
)

PUBLISHED_TIME_STEPS = 8


def infer_time_steps(rows: int, grid: Grid) -> int:
    """Number of time steps of a joint table of ``rows`` position rows, for a model of ``grid``.

    Readings considered: the patches of the model, the time steps of the model, and the 8 steps of
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
        f'{t} ({side} x {side} patches)'
        if t * side * side == rows
        else f'{t} ({rows // t} patches)'
        for t, side in sizes
    )


def replace_entry(state: State, name: str, tensor: Tensor, how: str, report: LoadReport) -> None:
    """Put another tensor in the place of an entry, and note why."""
    # Where nothing has to change, functions hand back the very tensor: nothing to note then.
    if tensor is not state[name]:
        report.note_reshaped(name, state[name].shape, tensor.shape, how)
        state[name] = tensor


def resize_joint_table(
    state: State,
    name: str,
    grid: Grid,
    orig_t_size: int | None,
    report: LoadReport,
    extra_rows: int = 1,
) -> None:
    """Resize a table over (time, row, column) to ``grid``, inferring time steps if not given."""
    steps = orig_t_size or infer_time_steps(state[name].shape[1] - extra_rows, grid)
    table = interpolate_joint_table(state[name], steps, grid, extra_rows=extra_rows)
    how = f'interpolated, {steps} to {grid[0]} steps, {grid[1]}x{grid[2]} patches'
    replace_entry(state, name, table, how, report)


def resize_tables(
    state: State,
    own: Mapping[str, Tensor],
    prefix: str,
    tables: Mapping[str, PositionTable],
    grid: Grid,
    report: LoadReport,
    *,
    orig_t_size: int | None = None,
) -> None:
    """Bring the tables of a part of the model to its grid, where widths agree.

    Args:
        state: entries of the file under the model's names; changed in place.
        own: entries of the model.
        prefix: of the part's names in the model, such as ``'backbone.'``.
        tables: ``position_tables()`` of the part.
        grid: temporal positions, rows and columns of the model.
        report: takes down what was reshaped.
        orig_t_size: time steps of the file's joint table.
    """
    for inner, table in tables.items():
        name = f'{prefix}{inner}'
        # A fixed table is computed by the model; one of another width is of another architecture.
        if not table.learned or not _same_width(name, state, own):
            continue
        if table.over_time and table.over_space:
            resize_joint_table(state, name, grid, orig_t_size, report, table.extra_rows)
            continue
        # Over one of the two the number of rows says it all; frames are square.
        rows = state[name].shape[-2] - table.extra_rows
        side = math.isqrt(rows) if table.over_space else 1
        resized = table.resize(state[name], (rows, side, side), grid)
        replace_entry(state, name, resized, 'interpolated', report)


def _same_width(name: str, state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> bool:
    return name in state and name in own and state[name].shape[-1] == own[name].shape[-1]
