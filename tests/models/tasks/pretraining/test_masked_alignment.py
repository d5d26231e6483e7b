"""A pretraining or distillation step, and students that do not fit their teachers."""

import copy

import pytest
import torch

from internvideo.models.tasks.pretraining.teachers import aligned_layers
from internvideo.structures import VideoDataSample

from .small_models import IMAGE_TOWER, MAE_TOWER, STUDENT, build, pretraining, teacher


def clips(batch=2, frames=4, size=28):
    return torch.randn(batch, 1, 3, frames, size, size)


def samples(count=2):
    return [VideoDataSample(metainfo=dict(path=f'{i}.mp4')) for i in range(count)]


def test_a_step_gives_each_term_and_gradients_to_every_student_parameter():
    model = build(pretraining())
    losses = model(clips(), samples(), mode='loss')
    assert set(losses) == {'loss_clip_middle', 'loss_clip_final', 'loss_mae'}
    sum(losses.values()).backward()
    assert all(p.grad is not None for p in model.parameters())


@pytest.mark.parametrize(
    'masker',
    [
        dict(type='RandomMask', ratio=0.5),
        dict(type='TubeMask', ratio=0.5),
        dict(type='AttentionMask', ratio=0.5),
        dict(type='BlockMask', num_blocks=2, spatial_scale=(0.3, 0.5)),
    ],
    ids=lambda masker: masker['type'],
)
def test_every_mask_serves_pretraining(masker):
    losses = build(pretraining(masker=masker))(clips(), mode='loss')
    assert all(torch.isfinite(value) for value in losses.values())


def test_distillation_needs_one_teacher_only():
    config = pretraining(
        neck=dict(type='AlignmentNeck', clip_dim=32, clip_final_dim=16, clip_decoder='MLPDecoder'),
        targets=dict(type='InlineTeachers', clip=teacher(STUDENT, layers=[0, 2])),
        masker=dict(type='AttentionMask', ratio=0.8, per='clip'),
        mae_layers=None,
        frame_stride=1,
    )
    losses = build(config)(clips(frames=2), mode='loss')
    assert set(losses) == {'loss_clip_middle', 'loss_clip_final'}


def test_teachers_are_no_part_of_the_state_the_parameters_or_a_copy():
    model = build(pretraining())
    parts = {name.split('.')[0] for name in model.state_dict()}
    assert parts == {'backbone', 'neck', 'teacher_digest'}
    assert {name.split('.')[0] for name, _ in model.named_parameters()} == {'backbone', 'neck'}
    assert copy.deepcopy(model).targets is model.targets


def test_training_mode_does_not_reach_the_teachers():
    config = pretraining()
    config['targets']['clip']['encoder'] = IMAGE_TOWER | dict(drop_path_rate=0.5)
    model = build(config).train()
    video = clips()[:, 0]
    one, two = (model.compute_targets(video).clip_middle[0] for _ in range(2))
    torch.testing.assert_close(one, two)


def test_clips_of_another_size_are_resized_for_each_teacher():
    config = pretraining()
    config['targets']['clip']['encoder'] = IMAGE_TOWER | dict(img_size=24, patch_size=12)
    assert build(config)(clips(), mode='loss')


def test_without_the_final_term_the_teacher_stops_early():
    config = pretraining(
        masker=dict(type='RandomMask'), loss=dict(type='AlignmentLoss', clip_final=0)
    )
    config['targets']['clip']['layers'] = [0, 1]
    model = build(config)
    model.targets.clip.encoder.blocks[2].forward = None  # calling it would fail
    assert set(model(clips(), mode='loss')) == {'loss_clip_middle', 'loss_mae'}


def test_what_no_term_reaches_is_frozen():
    layers = dict(clip_layers=[0, 1], mae_layers=[0, 1])
    model = build(pretraining(loss=dict(type='AlignmentLoss', clip_final=0), **layers))
    sum(model(clips(), mode='loss').values()).backward()
    assert all((p.grad is not None) == p.requires_grad for p in model.parameters())
    frozen = {
        name.rpartition('.')[0] for name, p in model.named_parameters() if not p.requires_grad
    }
    parts = ('backbone.blocks.2', 'backbone.clip_projector', 'neck.final_clip_decoder')
    assert frozen and all(name.startswith(parts) for name in frozen)


def test_low_precision_teachers_stay_close():
    losses = []
    for dtype in ('float32', 'bfloat16'):
        torch.manual_seed(0)
        config = pretraining(masker=dict(type='RandomMask', ratio=0.0))
        for name, tower in (('clip', IMAGE_TOWER), ('mae', MAE_TOWER)):
            stride = 2 if name == 'clip' else 1
            config['targets'][name] = teacher(tower, dtype=dtype, frame_stride=stride)
        model = build(config)
        model.init_weights()
        torch.manual_seed(1)
        losses.append(sum(model(clips(), mode='loss').values()))
    torch.testing.assert_close(*losses, rtol=0.02, atol=0.02)


@pytest.mark.parametrize(
    ('change', 'match'),
    [
        (dict(clip_layers=dict(count=3)), 'clip_layers is 2 for the teachers and 3'),
        (dict(clip_layers=dict(count=4)), 'distinct blocks'),
        (dict(clip_layers=[3]), 'distinct blocks'),
        (dict(neck=dict(type='AlignmentNeck', clip_dim=99, mae_dim=20)), 'clip_dim is 24'),
        (dict(mae_layers=None), 'mae_layers is 2 for the teachers and 0'),
        (dict(backbone=STUDENT | dict(img_size=42)), 'patch grid'),
    ],
    ids=str,
)
def test_students_that_do_not_fit_their_teachers_are_refused(change, match):
    with pytest.raises(ValueError, match=match):
        build(pretraining(**change))


@pytest.mark.parametrize('interval', [1, 1.5, 3.34])
def test_layers_follow_count_and_interval(interval):
    found = aligned_layers(40, dict(count=6, interval=interval))
    assert found == sorted(40 - int(i * interval) - 1 for i in range(6))


@pytest.mark.parametrize('layers', [dict(count=3, interval=0.5), dict(count=5), [1, 1], [4], []])
def test_repeated_or_missing_layers_are_refused(layers):
    with pytest.raises(ValueError, match='distinct blocks'):
        aligned_layers(4, layers)


def test_resuming_with_other_teachers_is_refused():
    models = [build(pretraining()) for _ in range(2)]
    for model in models:
        model.init_weights()
    models[0].load_state_dict(models[0].state_dict())
    with pytest.raises(ValueError, match='other teacher weights'):
        models[0].load_state_dict(models[1].state_dict())


def test_a_resumed_run_with_other_teachers_stops_at_its_first_step():
    first, other = build(pretraining()), build(pretraining())
    first.init_weights()
    other.load_state_dict(first.state_dict())
    with pytest.raises(ValueError, match='other teacher weights'):
        other(clips(), mode='loss')


def test_a_batch_without_a_clip_is_an_error():
    with pytest.raises(ValueError, match='no readable clip'):
        build(pretraining())(None, samples(), mode='loss')


def test_prediction_is_refused():
    with pytest.raises(ValueError, match="'loss' or 'tensor'"):
        build(pretraining())(clips(), mode='predict')
