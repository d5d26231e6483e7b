"""Predicted memory and operations beside formulae by hand and real runs."""

import json
import os
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from mmengine.registry import DefaultScope, init_default_scope

from internvideo.rehearsal.fake_model import (
    FakeModel,
    largest_unit,
    model_activations,
    parameter_counts,
)
from internvideo.rehearsal.hardware import MEMORIES, gpu_by_name, usable_memory
from internvideo.rehearsal.memory import (
    LAYOUTS,
    ModelSizes,
    layout_of,
    most_clips,
    static_bytes,
    step_peak,
)
from tests.paths import ROOT
from tests.rehearsal.templates import clip_template

CLASSES = 10


@pytest.fixture(autouse=True, scope='module')
def scope():
    init_default_scope('internvideo')
    yield
    DefaultScope._instance_dict.popitem()


def recognizer(frames=4, side=56, **backbone):
    width = dict(embed_dim=48, depth=3, num_heads=4, mlp_ratio=4.0)
    return dict(
        type='VideoRecognizer',
        backbone=dict(
            dict(type='InternVideo2', arch=width, img_size=side, num_frames=frames),
            attn_backend='sdpa',
            clip_embed_dim=64,
            attn_pool_num_heads=4,
        )
        | backbone,
        head=dict(type='ClassificationHead', num_classes=CLASSES, in_dim=64),
    )


def sizes_of(model):
    total, trainable = parameter_counts(model)
    return ModelSizes(total, trainable, largest_unit(model), group=trainable)


def test_flops_equal_the_formula_by_hand():
    tokens, dim, hidden, depth, pooled = 4 * 16 + 1, 48, 192, 3, 64
    fake = FakeModel(recognizer(), 'fp32')
    flops = fake.trace(clip_template(1, 3, 4, 56, 56, CLASSES), 2).flops
    embed = 2 * (tokens - 1) * dim * 3 * 14 * 14
    block = 2 * tokens * (4 * dim * dim + 2 * dim * hidden) + 4 * tokens**2 * dim
    pool = 2 * (2 * tokens + 1) * dim * dim + 4 * tokens * dim + 2 * dim * pooled
    forward = embed + depth * block + pool + 2 * pooled * CLASSES
    assert flops.forward == 2 * forward
    attention = depth * 4 * tokens**2 * dim + 4 * tokens * dim
    norms = depth * 4 * 2 * tokens * dim
    # Twice the forward's products, two and a half times its attention; pixels take no gradient.
    products = 2 * (forward - attention) - embed + norms
    assert flops.backward == 2 * (products + attention * 5 // 2)
    assert flops.recompute == 0


def test_recomputation_trades_memory_for_operations():
    shape = clip_template(1, 3, 4, 56, 56, CLASSES)
    kept = FakeModel(recognizer()).trace(shape, 2)
    again = FakeModel(recognizer(use_checkpoint=True)).trace(shape, 2)
    assert again.flops.model == kept.flops.model
    assert 0.5 * again.flops.forward < again.flops.recompute < again.flops.forward
    assert max(m.activations for m in again.moments) < 0.7 * max(
        m.activations for m in kept.moments
    )


def test_gradients_are_counted_apart_and_whole():
    fake = FakeModel(recognizer())
    moments = fake.trace(clip_template(1, 3, 4, 56, 56, CLASSES), 2).moments
    _, trainable = parameter_counts(fake.model)
    assert trainable * 4 <= moments[-1].gradients <= trainable * 4 + 512 * len(moments)


def test_activations_are_a_straight_line_in_the_clips():
    fake, shape = FakeModel(recognizer()), clip_template(1, 3, 4, 56, 56, CLASSES)
    model, _ = model_activations(fake, shape)
    for clips in (3, 16):
        traced = max(moment.activations for moment in fake.trace(shape, clips).moments)
        assert model.peak(clips) == pytest.approx(traced, rel=0.01)


def test_saved_bytes_equal_those_of_a_real_forward_pass():
    from internvideo.registry import MODELS
    from tests.rehearsal.measure_peak import batch

    config, shape = recognizer(), (2, 1, 3, 4, 56, 56)
    model = MODELS.build(config).train()
    inputs, samples = batch(shape, CLASSES)
    given = {t.untyped_storage().data_ptr() for t in (*model.parameters(), inputs)}
    saved = {}

    def pack(tensor):
        saved[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        model(inputs, samples, mode='loss')
    real = sum(size for pointer, size in saved.items() if pointer not in given)
    traced = FakeModel(config, 'fp32').trace(clip_template(1, 3, 4, 56, 56, CLASSES), 2)
    first = traced.moments[0].activations - inputs.untyped_storage().nbytes()
    assert first == pytest.approx(real, rel=0.1)


CASES = {
    'activations': (dict(arch='small', depth=4), 16, 4, 112),
    'recomputed': (dict(arch='small', depth=6, use_checkpoint=True), 16, 4, 112),
    'optimizer': (dict(arch='base', depth=6), 1, 2, 56),
}


@pytest.mark.slow
@pytest.mark.parametrize('case', CASES)
def test_peak_equals_the_resident_memory_of_a_real_run(case):
    backbone, clips, frames, side = CASES[case]
    config = recognizer(frames, side, **backbone)
    fake = FakeModel(config, 'fp32')
    activations, _ = model_activations(fake, clip_template(1, 3, frames, side, side, CLASSES))
    static = static_bytes(LAYOUTS['single'], sizes_of(fake.model), 1)
    expected = step_peak(static, activations, clips) - static.params
    arguments = dict(config=config, clips=clips, frames=frames, side=side)
    # Every block of more than 64 kB is a mapping of its own, given back at once when freed.
    environment = os.environ | dict(MALLOC_MMAP_THRESHOLD_='65536', OMP_NUM_THREADS='1')
    output = subprocess.run(
        [sys.executable, '-m', 'tests.rehearsal.measure_peak', json.dumps(arguments)],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert int(output) == pytest.approx(expected, rel=0.1)


def test_sharding_divides_what_it_says():
    sizes = ModelSizes(total=1000, trainable=800, unit=100, group=400)
    at = {name: static_bytes(layout, sizes, 8) for name, layout in LAYOUTS.items()}
    assert (at['ddp'].params, at['ddp'].grads, at['ddp'].optimizer) == (4000, 3200, 6400)
    assert at['deepspeed_zero1'].optimizer == 12 * 800 // 8
    assert at['deepspeed_zero2'].grads == 2 * 800 // 8
    assert at['deepspeed_zero3'].params == 2 * 1000 // 8
    assert at['deepspeed_zero3_offload'].optimizer == 0
    assert at['fsdp'].params == 4 * 1000 // 8


def test_sharded_training_gathers_whole_weights_to_validate():
    sizes = ModelSizes(total=1000, trainable=800, unit=100, group=400, validates=True)
    validation = {
        name: static_bytes(layout, sizes, 8).validation for name, layout in LAYOUTS.items()
    }
    sharded = ('deepspeed_zero3', 'deepspeed_zero3_offload', 'fsdp')
    assert validation == {name: 4000 * (name in sharded) for name in LAYOUTS}
    static = static_bytes(LAYOUTS['fsdp'], sizes, 8)
    fake = FakeModel(recognizer())
    activations, _ = model_activations(fake, clip_template(1, 3, 4, 56, 56, CLASSES))
    without, large = (replace(static, validation=size) for size in (0, 10**12))
    assert step_peak(large, activations, 1) == static.held + 10**12
    assert step_peak(static, activations, 1) == step_peak(without, activations, 1)


@pytest.mark.parametrize(
    ('strategy', 'world', 'name'),
    [('auto', 1, 'single'), ('auto', 4, 'ddp'), (dict(type='FSDP'), 4, 'fsdp')],
)
def test_layout_is_that_of_the_strategy(strategy, world, name):
    assert layout_of(strategy, world).name == name


def test_most_clips_is_the_largest_that_fits():
    fake = FakeModel(recognizer())
    activations, _ = model_activations(fake, clip_template(1, 3, 4, 56, 56, CLASSES))
    static = static_bytes(LAYOUTS['single'], sizes_of(fake.model), 1)
    clips = most_clips(static, activations, MEMORIES[0])
    assert step_peak(static, activations, clips) <= usable_memory(MEMORIES[0])
    assert step_peak(static, activations, clips + 1) > usable_memory(MEMORIES[0])


def test_unknown_gpu_is_named():
    with pytest.raises(ValueError, match=r'H999.*known: A100-40'):
        gpu_by_name('H999')
