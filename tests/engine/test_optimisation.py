import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from internvideo.engine.learning_rate_scaling import counted_sizes, lr_factor, scale_rates
from internvideo.engine.optimizers.constructors import (
    LayerDecayConstructor,
    ModuleLrConstructor,
    layer_rule,
)
from internvideo.engine.optimizers.optim_wrappers import (
    AmpOptimWrapper,
    NonFiniteError,
    OptimWrapper,
)
from internvideo.engine.schedulers.step_schedules import (
    CosineWeightDecay,
    EpochCosine,
    Horizon,
    LinearWarmupCosine,
    WarmupCosine,
    linear_warmup_cosine_factor,
    warmup_cosine_value,
    warmup_length,
)
from internvideo.models.backbones.videomae import VideoMAE
from internvideo.models.tasks.pretraining.masked_autoencoder import MaskedAutoencoder
from internvideo.models.tasks.recognition.video_recognizer import VideoRecognizer
from tests.engine.small_run import VectorRecognizer
from tests.models.tasks.retrieval.small_models import clip
from tests.paths import ROOT

FACTS = json.loads((ROOT / 'tests/configs/internvideo1_videomae_data.json').read_text())
ADAMW = dict(optimizer=dict(type='AdamW', lr=0.1, weight_decay=0.05))


def test_layer_decay_of_a_recognizer():
    model = VectorRecognizer(depth=2)
    model.backbone.blocks[0].bias.requires_grad = False
    wrapper = LayerDecayConstructor(ADAMW, dict(layer_decay_rate=0.5))(model)
    found = [
        (round(group['lr'], 6), group['lr_scale'], group['weight_decay'], len(group['params']))
        for group in wrapper.optimizer.param_groups
    ]
    assert found == [
        (0.0125, 0.125, 0.0, 1),  # cls_token
        (0.025, 0.25, 0.05, 1),
        (0.05, 0.5, 0.05, 1),
        (0.05, 0.5, 0.0, 1),
        (0.1, 1.0, 0.05, 1),  # head
        (0.1, 1.0, 0.0, 1),
    ]


def test_layer_decay_finds_the_encoder_whatever_it_is_called():
    model = clip(freeze_vision=False)
    layer_of, last = layer_rule(model)
    assert last == model.vision_encoder.depth + 1
    names = ('cls_token', 'blocks.1.norm1.weight', 'clip_projector.cross_attn.q.weight')
    assert [layer_of(f'vision_encoder.{name}') for name in names] == [0, 2, last]
    assert layer_of('text_encoder.blocks.0.weight') == last


def test_layer_decay_needs_a_video_encoder():
    with pytest.raises(ValueError, match='Linear is no VideoModel'):
        LayerDecayConstructor(ADAMW, dict(layer_decay_rate=0.5))(nn.Linear(2, 2))


def test_module_learning_rate():
    wrapper = ModuleLrConstructor(ADAMW, dict(patterns=['^head'], lr=1.0))(VectorRecognizer())
    assert {group['lr'] for group in wrapper.optimizer.param_groups} == {0.1, 1.0}


def scales_by_name(model, **options):
    """Scale on the learning rate of every parameter."""
    groups = LayerDecayConstructor(ADAMW, options).groups(model)
    return {name: group.lr_scale for group in groups for name in group.names}


@pytest.mark.parametrize('extra', [1.0, 0.5])
def test_published_layer_decay_of_a_masked_autoencoder(extra):
    facts = FACTS['layer_decay']
    backbone = dict(type='VideoMAE', arch='base', embed_dim=24, num_heads=2, pos_embed='learned')
    head = dict(type='ClassificationHead', num_classes=4, in_dim=24)
    model = VideoRecognizer(backbone, head)
    assert isinstance(model.backbone, VideoMAE) and model.backbone.depth == facts['depth']
    found = scales_by_name(model, layer_decay_rate=facts['layer_decay'], extra_decay=extra)
    for name, scale in facts['scale'].items():
        part = 'head' if name.split('.')[0] in ('fc_norm', 'head') else 'backbone'
        factor = extra if name.startswith('patch_embed') else 1.0
        assert found[f'{part}.{name}'] == pytest.approx(scale * factor, rel=1e-12)


def test_a_masked_autoencoder_decays_matrices_alone():
    size = dict(embed_dim=24, depth=1, num_heads=2, mlp_ratio=2, img_size=28, num_frames=2)
    model = MaskedAutoencoder(
        dict(type='VideoMAE', arch=None, pos_embed='learned', **size),
        dict(type='VideoMAEDecoder', embed_dim=24, depth=1, num_heads=2),
        dict(type='TubeMask', ratio=0.5),
    )
    groups = LayerDecayConstructor(ADAMW, dict(layer_decay_rate=1.0)).groups(model)
    decayed = {name for group in groups if group.weight_decay for name in group.names}
    parameters = dict(model.named_parameters())
    matrices = {name for name, value in parameters.items() if value.ndim > 1}
    assert matrices - decayed == {'mask_token', 'backbone.pos_embed'} and decayed < matrices
    assert 'encoder_to_decoder.weight' in decayed


def test_extra_decay_is_of_the_patch_embedding_alone():
    size = dict(embed_dim=32, depth=2, num_heads=2, mlp_ratio=2)
    backbone = dict(type='InternVideo2', arch=size, img_size=28, num_frames=2)
    model = VideoRecognizer(backbone, dict(type='ClassificationHead', num_classes=4))
    found = scales_by_name(model, extra_decay=0.1)
    assert found['backbone.cls_token'] == found['backbone.pos_embed'] == 1.0
    slow = {name for name, scale in found.items() if scale != 1.0}
    assert slow == {'backbone.patch_embed.proj.weight', 'backbone.patch_embed.proj.bias'}


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(extra_decay=0.0), 'extra_decay'),
        (dict(layer_decay=0.5), 'unknown paramwise_cfg layer_decay'),
        (dict(layer_decay_rate=2), '2'),
    ],
)
def test_wrong_layer_decay_options(options, message):
    with pytest.raises(ValueError, match=message):
        LayerDecayConstructor(ADAMW, options)(VectorRecognizer())


@pytest.mark.parametrize('constructor', [LayerDecayConstructor, ModuleLrConstructor])
def test_names_without_decay_can_be_given_in_place_of_the_models(constructor):
    def decayed(**options):
        model = VectorRecognizer()
        model.backbone.table = nn.Parameter(torch.ones(1, 4, 8))
        model.backbone.no_weight_decay = lambda: {'table'}
        names = {id(p): name for name, p in model.named_parameters()}
        groups = constructor(ADAMW, options)(model).optimizer.param_groups
        return {names[id(p)] for group in groups if group['weight_decay'] for p in group['params']}

    with_table = decayed() | {'backbone.table'}
    assert decayed() != with_table == decayed(no_weight_decay=[])
    assert decayed(no_weight_decay=['head.weight']) == with_table - {'head.weight'}
    with pytest.raises(ValueError, match='VectorRecognizer has no parameter gone'):
        decayed(no_weight_decay=['gone'])


def optimizer(lr_scales=(1.0,), lr=0.1, **group):
    groups = [
        dict(params=[nn.Parameter(torch.ones(2))], lr=lr * scale, lr_scale=scale, **group)
        for scale in lr_scales
    ]
    return torch.optim.AdamW(groups, lr=lr, weight_decay=0.05)


def rates(schedule, steps):
    found = []
    for _ in range(steps):
        found.append([group[schedule.param_name] for group in schedule.optimizer.param_groups])
        schedule.step()
    return np.array(found)


def test_schedule_scales_every_group():
    schedule = WarmupCosine(
        optimizer((1.0, 0.25)), Horizon(5, 2), warmup_epochs=1, warmup_lr=0.01, min_lr=0.02
    )
    found = rates(schedule, 12)
    np.testing.assert_allclose(found[:, 1], 0.25 * found[:, 0])
    np.testing.assert_allclose(found[[0, 4, 5, 10, 11], 0], [0.01, 0.1, 0.1, 0.02, 0.02])
    assert found[9, 0] > 0.02


@pytest.mark.parametrize('after_warmup', [True, False])
def test_cosine_by_epoch_meets_its_warmup(after_warmup):
    schedule = EpochCosine(
        optimizer((1.0, 0.25)), Horizon(4, 5), 1.5, 0.01, 0.02, cosine_after_warmup=after_warmup
    )
    found = rates(schedule, 24)
    np.testing.assert_allclose(found[:, 1], 0.25 * found[:, 0])
    peak = 0.1 if after_warmup else 0.02 + 0.04 * (1 + math.cos(math.pi * 0.3))
    # A line to the value that the cosine has when the warm-up ends, as published.
    np.testing.assert_allclose(found[:7, 0], np.linspace(0.01, peak, 7))
    share = 0.5 / 3.5 if after_warmup else 2 / 5
    assert found[8, 0] == pytest.approx(0.02 + 0.04 * (1 + math.cos(math.pi * share)))
    assert (np.diff(found[6:20, 0]) < 0).all() and (found[20:, 0] == 0.02).all()


def test_cosine_by_epoch_with_a_warmup_of_the_whole_run():
    found = rates(EpochCosine(optimizer(), Horizon(4, 1), 1, 0.02), 5)
    np.testing.assert_allclose(found[:, 0], np.linspace(0.02, 0.1, 5))
    with pytest.raises(ValueError, match='warmup_epochs=2 in a run of max_epochs=1'):
        EpochCosine(optimizer(), Horizon(4, 1), 2)


def test_accumulation_counts_optimiser_steps():
    schedule = WarmupCosine(optimizer(), Horizon(3, 1, accumulation=4))
    found = rates(schedule, 12)[:, 0]
    np.testing.assert_allclose(
        found, np.repeat(rates(WarmupCosine(optimizer(), Horizon(3, 1)), 3), 4)
    )


def test_weight_decay_schedule_spares_groups_without():
    both = torch.optim.AdamW(
        [dict(params=[nn.Parameter(torch.ones(1))], weight_decay=decay) for decay in (0.04, 0.0)]
    )
    found = rates(CosineWeightDecay(both, Horizon(4, 1), end_value=0.4), 5)
    np.testing.assert_allclose(found[[0, 4]], [[0.04, 0.0], [0.4, 0.0]])


@given(st.integers(1, 50), st.integers(0, 50), st.floats(1e-6, 1), st.floats(0, 1e-6))
def test_schedule_stays_between_its_ends(cosine, warmup, base, low):
    values = [
        warmup_cosine_value(step, base, low, low, warmup, warmup + cosine)
        for step in range(warmup + cosine)
    ]
    assert all(low - 1e-12 <= value <= base + 1e-12 for value in values)
    assert math.isclose(max(values), base)


@pytest.mark.parametrize(('epochs', 'steps'), [(3, 0), (None, 21), (0, 5)])
def test_impossible_warmup(epochs, steps):
    with pytest.raises(ValueError, match='warm'):
        warmup_length(Horizon(10, 2), epochs, steps)


def test_a_linear_warmup_longer_than_the_run_names_both_fields():
    with pytest.raises(ValueError, match=r'warmup_epochs=3\) in a run of 10 \(max_epochs=2\)'):
        LinearWarmupCosine(optimizer(), Horizon(5, 2), warmup_epochs=3)


@pytest.mark.parametrize('warmup', [0, 0.5, 9.5, 10])
def test_linear_warmup_may_fill_the_run(warmup):
    factors = [linear_warmup_cosine_factor(step, warmup, 10, 0.01) for step in range(15)]
    assert all(0.01 <= factor <= 1 for factor in factors)


def test_linear_scaling_rule():
    wrapper = dict(optimizer=dict(lr=1e-3), paramwise_cfg=dict(lr=1e-2))
    schedules = [dict(min_lr=1e-6, warmup_lr=1e-6), dict(end_value=0.1)]
    scale_rates(wrapper, schedules, lr_factor(8, 32, 2, 1, 256))
    assert wrapper['optimizer']['lr'] == pytest.approx(2e-3)
    assert wrapper['paramwise_cfg']['lr'] == pytest.approx(2e-2)
    assert schedules == [dict(min_lr=2e-6, warmup_lr=2e-6), dict(end_value=0.1)]


@pytest.mark.parametrize(
    ('rule', 'sizes'),
    [
        (dict(base_batch_size=256), (8, 32, 2, 4)),
        (dict(with_accumulation=False), (8, 32, 2, 1)),
        (dict(with_repeats=False), (8, 32, 1, 4)),
    ],
)
def test_what_the_scaling_rule_counts(rule, sizes):
    loader = dict(batch_size=8, dataset=dict(num_repeats=2))
    assert counted_sizes(rule, loader, world_size=32, accumulation=4) == sizes


def step(wrapper, factor):
    weight = wrapper.optimizer.param_groups[0]['params'][0]
    wrapper.update_params((weight * factor).sum())
    return weight


@pytest.mark.parametrize('cls', [OptimWrapper, AmpOptimWrapper])
def test_nonfinite_loss_never_reaches_the_weights(cls):
    wrapper = cls(optimizer=optimizer(), max_nonfinite=2, clip_grad=dict(max_norm=1.0))
    weight = step(wrapper, float('nan'))
    assert torch.equal(weight, torch.ones(2))
    assert not torch.equal(step(wrapper, 1.0), torch.ones(2))
    step(wrapper, float('inf'))
    with pytest.raises(NonFiniteError, match='2 times in a row; the step was not taken'):
        step(wrapper, float('nan'))


def test_nonfinite_batch_of_an_accumulation_spoils_its_step_only():
    wrapper = OptimWrapper(optimizer=optimizer(), accumulative_counts=2, max_nonfinite=5)
    step(wrapper, float('nan'))
    assert torch.equal(step(wrapper, 1.0), torch.ones(2))
    step(wrapper, 1.0)
    assert not torch.equal(step(wrapper, 1.0), torch.ones(2))


def test_autocast_on_this_device():
    wrapper = AmpOptimWrapper(optimizer=optimizer())
    layer = nn.Linear(2, 2)
    with wrapper.optim_context(layer):
        assert layer(torch.ones(1, 2)).dtype == torch.bfloat16


@pytest.mark.skipif(torch.cuda.is_available(), reason='float16 is possible on a GPU')
def test_float16_needs_a_gpu():
    with pytest.raises(ValueError, match='float16 needs a GPU'):
        AmpOptimWrapper(optimizer=optimizer(), dtype='float16')


@pytest.mark.parametrize('fact', FACTS['cosine_schedule'])
def test_published_schedule_of_a_masked_autoencoder(fact):
    horizon = Horizon(fact['steps_per_epoch'], fact['epochs'])
    warmup = warmup_length(horizon, fact['warmup_epochs'], fact['warmup_steps'])
    values = [
        warmup_cosine_value(step, fact['base'], fact['final'], fact['start'], warmup, horizon.steps)
        for step in range(horizon.steps)
    ]
    np.testing.assert_allclose(values, fact['values'], rtol=1e-12, atol=1e-18)
