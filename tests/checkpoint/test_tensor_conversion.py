import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from internvideo.checkpoint import tensor_conversion
from internvideo.checkpoint.tensor_conversion import (
    extract_stage2_vision,
    infer_time_steps,
    inflate_patch_kernel,
    k710_rows,
    remap_k710_head,
    strip_prefixes,
)
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
        (2048, (8, 32, 32), '2 (32 x 32 squares)'),
        (8192, (32, 16, 16), '8 (32 x 32 squares)'),  # the model's own grid is taken
    ],
)
def test_other_readings_of_a_table_are_said_loudly(rows, grid, other, monkeypatch):
    said = []
    monkeypatch.setattr(tensor_conversion, 'print_log', lambda message, **_: said.append(message))
    infer_time_steps(rows, grid)
    assert len(said) == (other is not None)
    assert all(other in line and 'set orig_t_size' in line for line in said)


@pytest.mark.parametrize(('rows', 'grid'), [(1024, (16, 16, 16)), (1000, (8, 16, 16))])
def test_ambiguous_tables_ask_for_orig_t_size(rows, grid):
    with pytest.raises(ValueError, match=f'{rows} rows.*orig_t_size'):
        infer_time_steps(rows, grid)


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


@pytest.mark.parametrize('num_classes', [400, 600, 700])
def test_label_maps_name_distinct_classes(num_classes):
    rows = k710_rows(num_classes)
    assert len(rows) == len(set(rows)) == num_classes
    weight, bias = remap_k710_head(torch.arange(710.0)[:, None], torch.arange(710.0), num_classes)
    assert weight[:, 0].tolist() == bias.tolist() == rows


def test_other_heads_stay_as_they_are():
    weight, bias = torch.zeros(174, 4), torch.zeros(174)
    assert remap_k710_head(weight, bias, 400) == (weight, bias)
    wide = torch.zeros(710, 4)
    assert remap_k710_head(wide, None, 174)[0] is wide


def test_prefixes_go_once_and_collisions_are_refused():
    one = torch.zeros(1)
    names = strip_prefixes({'encoder.backbone.a': one, 'b': one}, ('backbone.', 'encoder.'))
    assert list(names) == ['backbone.a', 'b']
    with pytest.raises(ValueError, match='collide'):
        strip_prefixes({'encoder.a': one, 'a': one}, ('encoder.',))


def test_a_stage2_tower_loses_what_its_decoders_own_and_nothing_else():
    names = ('cls_token', 'img_pos_embed', 'sub.clip_decoder.x', 'final_clip_decoder.y', 'head.z')
    stage2 = {f'vision_encoder.{name}': torch.zeros(1) for name in names} | {'temp': torch.ones(1)}
    assert list(extract_stage2_vision(stage2)) == ['cls_token', 'head.z']
