import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from internvideo.checkpoint.tensor_conversion import inflate_patch_kernel, strip_prefixes
from internvideo.ops.position_tables import interpolate_joint_table, interpolate_separate_tables

SIZES = st.integers(1, 5)


@given(steps=SIZES, side=SIZES, grid=st.tuples(SIZES, SIZES, SIZES), extra=st.integers(0, 2))
def test_resizing_keeps_constants_and_extra_rows(steps, side, grid, extra):
    table = torch.full((1, extra + steps * side * side, 3), 2.0)
    table[:, :extra] = 7
    resized = interpolate_joint_table(table, steps, grid, extra_rows=extra)
    assert resized.shape == (1, extra + grid[0] * grid[1] * grid[2], 3)
    assert (resized[:, :extra] == 7).all()
    torch.testing.assert_close(resized[:, extra:], torch.full_like(resized[:, extra:], 2.0))


@given(steps=SIZES, side=SIZES, grid=st.tuples(SIZES, SIZES, SIZES))
def test_separate_tables_resize_as_the_joint_table_of_their_sum(steps, side, grid):
    spatial, temporal = torch.randn(1, side * side, 4), torch.randn(1, steps, 4)
    joint = (temporal[:, :, None] + spatial[:, None]).flatten(1, 2)
    resized = interpolate_joint_table(joint, steps, grid, extra_rows=0)
    new_spatial, new_temporal = interpolate_separate_tables(spatial, temporal, grid)
    parts = (new_temporal[:, :, None] + new_spatial[:, None]).flatten(1, 2)
    torch.testing.assert_close(parts, resized, rtol=1e-4, atol=1e-4)


def test_unchanged_table_is_the_same_object_and_half_precision_is_resized_in_float32():
    table = torch.randn(1, 33, 4, dtype=torch.bfloat16)
    assert interpolate_joint_table(table, 8, (8, 2, 2)) is table
    resized = interpolate_joint_table(table, 8, (4, 2, 2))
    torch.testing.assert_close(resized, interpolate_joint_table(table.float(), 8, (4, 2, 2)))


def test_a_table_that_does_not_divide_is_refused():
    with pytest.raises(ValueError, match='33 rows does not hold 8 time steps'):
        interpolate_joint_table(torch.zeros(1, 34, 4), 8, (8, 2, 2))


@given(tubelet=st.integers(1, 4), center=st.booleans())
def test_inflated_kernels_keep_the_response_to_a_still_video(tubelet, center):
    kernel = torch.randn(3, 2, 2, 2)
    inflated = inflate_patch_kernel(kernel, tubelet, center=center)
    torch.testing.assert_close(inflated.sum(2), kernel)
    with pytest.raises(ValueError, match='depth 5'):
        inflate_patch_kernel(torch.zeros(1, 1, 5, 2, 2), tubelet)


def test_prefixes_go_once_and_collisions_are_refused():
    one = torch.zeros(1)
    names = strip_prefixes({'encoder.backbone.a': one, 'b': one}, ('backbone.', 'encoder.'))
    assert list(names) == ['backbone.a', 'b']
    with pytest.raises(ValueError, match='collide'):
        strip_prefixes({'encoder.a': one, 'a': one}, ('encoder.',))
