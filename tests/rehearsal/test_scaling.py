"""Formulae of length, cost and scaling on numbers that can be checked by hand."""

import pytest

from internvideo.rehearsal.hardware import gpu_by_name
from internvideo.rehearsal.memory import ModelSizes
from internvideo.rehearsal.run_length import ItemCost, gpu_hours, run_length
from internvideo.rehearsal.scaling import (
    bytes_per_step,
    checkpoint_bytes,
    communication_seconds,
    scaling_limits,
    smallest_batch,
)
from internvideo.structures.rehearsal import ItemCount

GPU = gpu_by_name('A100-80')
SIZES = ModelSizes(total=6_000_000_000, trainable=6_000_000_000, unit=10**8, group=10**9)


def test_length_counts_steps_clips_and_hours():
    config = dict(
        train_dataloader=dict(batch_size=8, dataset=dict(ann_file='', num_repeats=2)),
        optim_wrapper=dict(accumulative_counts=2),
        train_cfg=dict(max_epochs=3),
    )
    costs = {'': ItemCost(batch=16, flops=1e12, tokens=100, per_row=2)}
    length = run_length(config, 4, costs, ItemCount({'': 1000}), GPU, 0.5)
    assert (length.steps_per_epoch, length.steps) == (1000 // 4 // 8 // 2, 45)
    assert length.clips == 45 * 2 * 8 * 4 * 2
    assert length.tokens == 100 * length.clips
    assert length.gpu_hours == pytest.approx(length.clips * 1e12 / (312e12 * 0.5) / 3600)
    assert gpu_hours(312e12 * 3600, GPU, 1.0) == 1.0


@pytest.mark.parametrize(
    ('layout', 'bytes_a_parameter'),
    [('ddp', 8), ('deepspeed_zero1', 4), ('deepspeed_zero2', 4), ('deepspeed_zero3', 6)],
)
def test_bytes_sent_approach_a_constant(layout, bytes_a_parameter):
    sent = bytes_per_step(layout, SIZES, 1024)
    assert sent == pytest.approx(bytes_a_parameter * SIZES.total, rel=2e-3)
    assert bytes_per_step(layout, SIZES, 1) == 0


def test_links_inside_a_node_are_faster():
    assert communication_seconds(300e9, GPU, 8) == 1.0
    assert communication_seconds(25e9, GPU, 16) == 1.0


def test_below_the_break_even_batch_links_limit():
    even = smallest_batch('deepspeed_zero3', SIZES, 256, 1e14, GPU, 0.4)
    few = scaling_limits('deepspeed_zero3', SIZES, 256, 1e14, max(int(even / 2), 1), 1, GPU, 0.4)
    many = scaling_limits('deepspeed_zero3', SIZES, 256, 1e14, int(even) + 1, 1, GPU, 0.4)
    assert few.efficiency < 1
    assert many.efficiency == 1


def test_checkpoint_of_six_billion():
    assert checkpoint_bytes(SIZES) == 72e9
