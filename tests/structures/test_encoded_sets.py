"""Figures of evaluation sets and their names."""

import pytest

from internvideo.structures.encoded_sets import is_figure_of


@pytest.mark.parametrize(
    ('figure', 'expected'),
    [
        ('t2v_r1', True),
        ('msvd/t2v_r1', True),
        ('msvd_match/t2v_r1', True),
        ('msvdx/t2v_r1', False),
        ('didemo/t2v_r1', False),
    ],
)
def test_a_figure_is_of_the_set_that_begins_its_name(figure, expected):
    assert is_figure_of(figure, ['msrvtt', 'msvd']) is expected
