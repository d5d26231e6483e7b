"""Equal rows are found, in the order of the first of each."""

import pytest
import torch

from internvideo.ops.distinct_rows import distinct_rows


@pytest.mark.parametrize('dtype', [torch.float, torch.bfloat16, torch.long, torch.bool])
def test_equal_rows_have_one_group(dtype):
    rows = torch.tensor([[1, 0], [0, 1], [1, 0], [1, 1], [0, 1]]).to(dtype)
    first, group = distinct_rows(rows)
    assert (first.tolist(), group.tolist()) == ([0, 1, 3], [0, 1, 0, 2, 1])
    assert torch.equal(rows[first][group], rows)


def test_rows_are_equal_in_every_column():
    first, group = distinct_rows(torch.zeros(3, 2), None, torch.tensor([[1], [2], [1]]))
    assert (first.tolist(), group.tolist()) == ([0, 1], [0, 1, 0])


def test_what_has_no_rows_has_no_groups():
    assert [each.tolist() for each in distinct_rows(torch.zeros(0, 3))] == [[], []]
