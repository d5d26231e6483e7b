"""Figures of evaluation sets and their names."""

import pytest

from internvideo.structures.encoded_sets import is_metric_of


@pytest.mark.parametrize(
    ('metric', 'expected'),
    [
        ('t2v_r1', True),
        ('msvd/t2v_r1', True),
        ('msvd_match/t2v_r1', True),
        ('msvdx/t2v_r1', False),
        ('didemo/t2v_r1', False),
    ],
)
def test_a_metric_is_of_the_set_that_begins_its_name(metric, expected):
    assert is_metric_of(metric, ['msrvtt', 'msvd']) is expected
