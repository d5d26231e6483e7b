"""Frozen teachers: loading, precision, and what they refuse."""

import pytest
import torch

from internvideo.checkpoint import files
from internvideo.checkpoint.report import CheckpointMismatchError
from internvideo.registry import MODELS

from .small_models import IMAGE_TOWER, build, pretraining, teacher


def published(path):
    return dict(type='Published', adapter='internvl', checkpoint=str(path))


def with_teacher(init_cfg, **fields):
    config = pretraining()
    config['targets']['clip'] = teacher(IMAGE_TOWER, init_cfg, frame_stride=2, **fields)
    return build(config)


def save(tmp_path, **fields):
    model = MODELS.build(IMAGE_TOWER | fields)
    path = tmp_path / 'teacher.safetensors'
    return model, files.write_state_dict(model.state_dict(), path)


def test_weights_come_from_the_checkpoint(tmp_path):
    source, path = save(tmp_path)
    model = with_teacher(published(path))
    model.init_weights()
    loaded = model.targets.clip.encoder.state_dict()
    assert all(torch.equal(value, loaded[name]) for name, value in source.state_dict().items())


def test_linear_maps_are_kept_in_low_precision(tmp_path):
    model = with_teacher(published(save(tmp_path)[1]), dtype='bfloat16')
    model.init_weights()
    encoder = model.targets.clip.encoder
    assert encoder.blocks[0].mlp.fc1.weight.dtype == torch.bfloat16
    assert encoder.blocks[0].norm1.weight.dtype == torch.float32
    assert model(torch.randn(1, 1, 3, 4, 28, 28), mode='loss')


def test_a_missing_checkpoint_is_named(tmp_path):
    model = with_teacher(published(tmp_path / 'absent.pth'))
    with pytest.raises(FileNotFoundError, match=r'absent\.pth'):
        model.init_weights()


def test_a_checkpoint_of_another_width_is_named(tmp_path):
    model = with_teacher(published(save(tmp_path, embed_dim=48)[1]))
    with pytest.raises(CheckpointMismatchError, match='embed_dim=48'):
        model.init_weights()


def test_a_teacher_that_was_not_loaded_does_not_run(tmp_path):
    model = with_teacher(published(save(tmp_path)[1]))
    with pytest.raises(RuntimeError, match='load_targets'):
        model.compute_targets(torch.randn(1, 3, 4, 28, 28))


def test_the_first_step_loads_what_was_not_loaded(tmp_path):
    model = with_teacher(published(save(tmp_path)[1]))
    assert model(torch.randn(1, 1, 3, 4, 28, 28), mode='loss')
    assert model.teacher_digest.any()


def test_clips_may_go_through_in_portions():
    whole, portions = (with_teacher(None, max_clips=count) for count in (None, 2))
    portions.targets.clip.encoder = whole.targets.clip.encoder
    video = torch.randn(3, 3, 4, 28, 28)
    one, two = (model.targets.clip(video, pooled=True, attn=True) for model in (whole, portions))
    torch.testing.assert_close(one, two)


def test_unknown_precision_is_named():
    with pytest.raises(ValueError, match='dtype'):
        with_teacher(None, dtype='int8')
