import pytest

from internvideo.checkpoint.adapters import position_tables
from internvideo.checkpoint.adapters.position_tables import infer_time_steps


@pytest.mark.parametrize(
    ('rows', 'grid', 'steps'),
    [
        (2048, (8, 16, 16), 8),  # the same
        (2048, (16, 16, 16), 8),  # more frames
        (1024, (8, 16, 16), 4),  # stage 2
        (4096, (8, 16, 16), 16),
        (2048, (8, 24, 24), 8),  # another resolution
        (2048, (16, 24, 24), 8),  # both: the published 8
        (2048, (8, 32, 32), 8),  # also reads as two steps of 32 x 32
    ],
)
def test_time_steps_are_inferred(rows, grid, steps):
    assert infer_time_steps(rows, grid) == steps


@pytest.mark.parametrize(
    ('rows', 'grid', 'other'),
    [
        (2048, (8, 16, 16), None),
        (2048, (16, 16, 16), None),
        (2048, (8, 32, 32), '2 (32 x 32 patches)'),
        (8192, (32, 16, 16), '8 (32 x 32 patches)'),  # the model's own grid is taken
    ],
)
def test_other_readings_of_a_table_are_said_loudly(rows, grid, other, monkeypatch):
    said = []
    monkeypatch.setattr(position_tables, 'print_log', lambda message, **_: said.append(message))
    infer_time_steps(rows, grid)
    assert len(said) == (other is not None)
    assert all(other in line and 'set orig_t_size' in line for line in said)


@pytest.mark.parametrize(('rows', 'grid'), [(1024, (16, 16, 16)), (1000, (8, 16, 16))])
def test_ambiguous_tables_ask_for_orig_t_size(rows, grid):
    with pytest.raises(ValueError, match=f'{rows} rows.*orig_t_size'):
        infer_time_steps(rows, grid)
