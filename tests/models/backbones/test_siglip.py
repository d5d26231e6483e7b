"""SigLIP's image tower over frames against transformers' own forward pass."""

import pytest
import torch

from internvideo.models.backbones.siglip import SiglipVision
from internvideo.models.tasks.pretraining.frame_teacher import FrameTeacher, renormalise
from internvideo.verification.encoder_checks import build

MEAN, STD = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])


@pytest.fixture(scope='module')
def encoder():
    return build(SiglipVision)


@torch.no_grad()
@pytest.mark.parametrize('size', [(28, 28), (56, 56)])
def test_features_of_frames_are_those_of_transformers(encoder, size):
    frames = torch.randn(3, 3, *size)
    tower = encoder.vision_model
    whole = type(tower)(tower.config).eval()
    whole.load_state_dict(tower.state_dict())
    expected = whole(frames, interpolate_pos_encoding=size != (28, 28), output_hidden_states=True)
    found = encoder.encode_frames(frames, inputs_of=[0, 1], attn=True)
    for ours, theirs in zip(found.layers, expected.hidden_states[:2], strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found.pooled, expected.pooler_output, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found.attn.sum(dim=1), torch.ones(3))


@torch.no_grad()
def test_layers_behind_the_last_that_is_asked_for_do_not_run(encoder):
    ran = []
    hook = encoder.blocks[1].register_forward_hook(lambda *_: ran.append(1))
    frames = torch.randn(1, 3, 28, 28)
    encoder.encode_frames(frames, inputs_of=[1], pooled=False)
    assert not ran
    encoder.encode_frames(frames, inputs_of=[1])
    assert ran
    hook.remove()


def test_what_the_tower_does_not_take_is_refused(encoder):
    with pytest.raises(ValueError, match='patch_size'):
        encoder(torch.randn(1, 3, 1, 30, 28))
    with pytest.raises(ValueError, match='drop_path_rate'):
        SiglipVision(**SiglipVision.small(drop_path_rate=0.1))
    with pytest.raises(ValueError, match='return_layers'):
        encoder.encode_frames(torch.randn(1, 3, 28, 28), inputs_of=[2])


def test_clips_are_brought_to_the_normalisation_and_size_of_the_teacher():
    pixels = torch.rand(2, 3, 4, 14, 14)
    video = (pixels - MEAN.view(3, 1, 1, 1)) / STD.view(3, 1, 1, 1)
    norms = dict(mean=MEAN.tolist(), std=STD.tolist()), dict(mean=[0.5] * 3, std=[0.5] * 3)
    torch.testing.assert_close(renormalise(video, *norms), (pixels - 0.5) / 0.5)
    config = dict(type='SiglipVision') | SiglipVision.small()
    torch.manual_seed(0)
    teacher = FrameTeacher(config, [0, 1], init_cfg=None, dtype='float32', max_frames=3)
    found = teacher(video)
    frames = (pixels - 0.5) / 0.5
    frames = frames.transpose(1, 2).flatten(0, 1)
    frames = torch.nn.functional.interpolate(frames, size=(28, 28), mode='bicubic')
    with torch.no_grad():
        expected = teacher.encoder.encode_frames(frames, [0, 1], attn=True)
    assert found.batch_size == 2
    for ours, theirs in zip(found.middle, expected.layers, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(found.final, expected.pooled, rtol=1e-3, atol=1e-4)
    assert found.clip_attn().shape == (2, 16)
    assert teacher(video, pooled=False, attn=False).final is None


def test_a_teacher_without_its_weights_does_not_run():
    config = dict(type='SiglipVision') | SiglipVision.small()
    teacher = FrameTeacher(config, [1], init_cfg=dict(type='Published', checkpoint='x.pth'))
    with pytest.raises(RuntimeError, match='no weights yet'):
        teacher(torch.zeros(1, 3, 1, 28, 28))
