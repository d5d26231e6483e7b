"""Position tables: shapes, orders and refusals beyond the reference cases."""

import pytest
import torch

from internvideo.models.layers.position import resized_sinusoid, sincos_1d, sincos_2d, sincos_3d


def test_rectangular_grids_are_row_major():
    table = sincos_2d(16, (2, 3))
    square = sincos_2d(16, (3, 3))
    torch.testing.assert_close(table, square[:6])


def test_joint_table_is_time_major():
    table = sincos_3d(32, 2, (3, 4), cls_token=True)
    assert table.shape == (25, 32)
    assert not table[0].any()
    torch.testing.assert_close(table[1:].view(2, 12, 32)[1, 0, :8], sincos_1d(8, 2)[1])


def test_real_grid_of_patch_14_can_be_resized():
    table = resized_sinusoid(4 * 25, 24, num_steps=4, base_positions=2048, base_grid=16)
    assert table.shape == (100, 24)


@pytest.mark.parametrize('make', [lambda: sincos_3d(24, 2, (2, 2)), lambda: sincos_1d(7, 3)])
def test_widths_that_do_not_divide_are_refused(make):
    with pytest.raises(ValueError, match=r'divisible by 16|even width'):
        make()
