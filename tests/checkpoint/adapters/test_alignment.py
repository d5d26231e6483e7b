"""Checkpoints of students and teachers: full-size layouts, both ways, resized."""

import json

import pytest
import torch

from internvideo.checkpoint.adapters.alignment import (
    InternVLAdapter,
    StudentAdapter,
    VideoMAETeacherAdapter,
)
from internvideo.checkpoint.loading import load_pretrained
from internvideo.checkpoint.report import LoadReport
from internvideo.registry import MODELS
from tests.models.tasks.pretraining.small_models import IMAGE_TOWER, MAE_TOWER, STUDENT, pretraining
from tests.paths import PARITY

FOLDER = PARITY / 'internvideo2_single'
TEACHER_6B = dict(type='InternVLVision', arch='6B')
TEACHER_G = dict(type='VideoMAE', arch='giant')


def manifest(name):
    return json.loads((FOLDER / f'{name}.manifest.json').read_text())


def on_meta(config):
    with torch.device('meta'):
        return MODELS.build(config)


def tensors(name):
    return {key: torch.empty(shape, device='meta') for key, shape, _ in manifest(name)['state']}


def shapes(state):
    return {name: tuple(tensor.shape) for name, tensor in state.items()}


def full_size(arch, decoder='LinearDecoder', **fields):
    clip = dict(encoder=TEACHER_6B, layers=dict(count=6), init_cfg=None)
    mae = dict(encoder=TEACHER_G, layers=dict(count=4), init_cfg=None)
    return (
        dict(
            type='MaskedAlignment',
            backbone=dict(type='InternVideo2', arch=arch),
            neck=dict(type='AlignmentNeck', clip_dim=3200, clip_decoder=decoder, mae_dim=1408),
            targets=dict(type='InlineTeachers', clip=clip, mae=mae),
            masker=dict(type='AttentionMask'),
            clip_layers=dict(count=6),
            mae_layers=dict(count=4),
        )
        | fields
    )


DISTILLED = full_size(
    'base',
    neck=dict(type='AlignmentNeck', clip_dim=1408, clip_decoder='MLPDecoder'),
    targets=dict(
        type='InlineTeachers',
        clip=dict(
            encoder=dict(type='InternVideo2', arch='1B'),
            layers=dict(count=6, interval=3.34),
            init_cfg=None,
        ),
    ),
    mae_layers=None,
)


@pytest.mark.parametrize(
    ('name', 'config'),
    [('pretrain_internvideo2_1B', full_size('1B')), ('distill_internvideo2_B14', DISTILLED)],
    ids=['pretrain', 'distill'],
)
def test_full_size_students_go_both_ways(name, config):
    model, published, adapter = on_meta(config), tensors(name), StudentAdapter()
    own = shapes(model.state_dict())
    own.pop('teacher_digest')
    report = LoadReport()
    assert shapes(adapter.to_ours(published, model, report)) == own
    assert report.new == ['teacher_digest'] and not report.reshaped
    assert shapes(adapter.to_published(model.state_dict())) == shapes(published)
    assert sum(p.numel() for p in model.parameters()) == manifest(name)['params']


@pytest.mark.parametrize(
    ('name', 'config'),
    [('internvl_6B_teacher', TEACHER_6B), ('videomae_v2_g_teacher', TEACHER_G)],
    ids=['internvl', 'videomae'],
)
def test_full_size_teachers_have_the_published_layout(name, config):
    model, facts = on_meta(config), manifest(name)
    assert shapes(model.state_dict()) == shapes(tensors(name))
    assert sum(p.numel() for p in model.parameters()) == facts['params']
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == facts['trainable']


def test_a_student_round_trip_is_bitwise(tmp_path):
    model, adapter = MODELS.build(pretraining()), StudentAdapter()
    torch.save(dict(module=adapter.to_published(model.state_dict())), tmp_path / 'student.pth')
    other = MODELS.build(pretraining())
    load_pretrained(other, tmp_path / 'student.pth', 'internvideo2_student')
    for name, value in model.state_dict().items():
        assert torch.equal(value, other.state_dict()[name])


@pytest.mark.parametrize('sep_pos_embed', [False, True])
def test_every_table_of_a_student_follows_the_resolution(sep_pos_embed):
    def student(size):
        config = pretraining(backbone=STUDENT | dict(img_size=size, sep_pos_embed=sep_pos_embed))
        config['targets'] = dict(
            type='InlineTeachers',
            clip=dict(config['targets']['clip'], encoder=IMAGE_TOWER | dict(img_size=size)),
            mae=dict(config['targets']['mae'], encoder=MAE_TOWER | dict(img_size=size)),
        )
        return MODELS.build(config)

    source, target, adapter = student(28), student(42), StudentAdapter()
    state = adapter.to_ours(adapter.to_published(source.state_dict()), target)
    assert shapes(state).items() <= shapes(target.state_dict()).items()


def test_our_own_pretraining_checkpoint_fits_a_classifier(tmp_path):
    model = MODELS.build(pretraining())
    torch.save(dict(state_dict=model.state_dict()), tmp_path / 'epoch_1.pth')
    head = dict(type='ClassificationHead', num_classes=3, in_dim=16)
    classifier = MODELS.build(dict(type='VideoRecognizer', backbone=STUDENT, head=head))
    report = load_pretrained(classifier, tmp_path / 'epoch_1.pth', 'internvideo2_single')
    assert all(name.startswith('head.') for name in report.new)
    encoder_weight = classifier.backbone.blocks[0].attn.qkv.weight
    assert torch.equal(encoder_weight, model.backbone.blocks[0].attn.qkv.weight)


def test_an_image_kernel_gets_a_depth_and_the_table_the_models_grid():
    model = MODELS.build(IMAGE_TOWER | dict(img_size=42))
    published = dict(MODELS.build(IMAGE_TOWER).state_dict())
    published['patch_embed.proj.weight'] = published['patch_embed.proj.weight'][:, :, 0]
    state = InternVLAdapter().to_ours(published, model)
    assert shapes(state) == shapes(model.state_dict())


def test_the_encoder_is_taken_out_of_a_videomae_file(tmp_path):
    model = MODELS.build(MAE_TOWER)
    published = VideoMAETeacherAdapter().to_published(model.state_dict())
    published |= {'decoder.norm.weight': torch.ones(4), 'mask_token': torch.ones(4)}
    torch.save(dict(model=published), tmp_path / 'mae.pth')
    report = load_pretrained(MODELS.build(MAE_TOWER), tmp_path / 'mae.pth', 'videomae_teacher')
    assert {'decoder.norm.weight', 'mask_token'} <= set(report.left_over)


def test_the_kernel_is_averaged_for_one_frame_per_token():
    model = MODELS.build(MAE_TOWER | dict(tubelet_size=1, num_frames=2))
    published = MODELS.build(MAE_TOWER).state_dict()
    state = VideoMAETeacherAdapter().to_ours(published, model)
    name = 'patch_embed.proj.weight'
    torch.testing.assert_close(state[name], published[name].mean(2, keepdim=True))


def test_the_text_tower_of_a_released_internvl_file_is_left_over(tmp_path):
    model = MODELS.build(IMAGE_TOWER)
    text = ['transformer.layers.0.mlp.up_proj.weight', 'text_projection', 'logit_scale']
    state = InternVLAdapter().to_published(model.state_dict()) | {k: torch.ones(1) for k in text}
    torch.save(state, tmp_path / 'internvl_c.pth')
    report = load_pretrained(model, tmp_path / 'internvl_c.pth', 'internvl')
    assert set(report.left_over) == set(text) and report.explained and not report.new
