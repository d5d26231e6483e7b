"""Files of two classifiers fill a model that coordinates them; what joins them is new."""

import pytest
import torch

from internvideo.checkpoint.adapters.uniformerv2 import UniFormerV2Adapter
from internvideo.checkpoint.adapters.videomae import VideoMAEFinetuneAdapter
from internvideo.checkpoint.files import write_state_dict
from internvideo.checkpoint.loading import build_adapter, load_pretrained
from internvideo.checkpoint.report import CheckpointMismatchError
from internvideo.registry import MODELS
from tests.models.tasks.recognition.test_cross_model_recognizer import (
    MASKED,
    MULTIMODAL,
    build,
    clips,
    head,
)


def write(folder, name, backbone, width, adapter):
    torch.manual_seed(len(name))
    model = MODELS.build(dict(type='VideoRecognizer', backbone=backbone, head=head(width)))
    path = folder / f'{name}.pth'
    write_state_dict(adapter.to_published(model.state_dict()), path)
    return path, model.eval()


@pytest.fixture
def files(tmp_path):
    """Published files of both classifiers, each with its model."""
    return (
        write(tmp_path, 'masked', MASKED, 24, VideoMAEFinetuneAdapter()),
        write(tmp_path, 'multimodal', MULTIMODAL, 16, UniFormerV2Adapter()),
    )


def load(model, files):
    masked, multimodal = (path for path, _ in files)
    return load_pretrained(model, masked, 'internvideo_coordinated', multimodal=multimodal)


def test_both_files_give_the_ensemble_of_their_classifiers(files):
    model, video = build(), clips()
    report = load(model, files)
    joining = {'cross_attention', 'last_cross_attention', 'balance'}
    assert {name.split('.')[0] for name in report.new} == joining
    scores = [files[0][1](video).softmax(-1), files[1][1](video[:, :, ::2]).softmax(-1)]
    torch.testing.assert_close(model.eval()(video).softmax(-1), sum(scores) / 2)


def test_a_file_of_another_width_is_named(files):
    wide = dict(MULTIMODAL, arch=dict(MULTIMODAL['arch'], embed_dim=32))
    model = build(multimodal_encoder=wide, multimodal_head=head(32))
    with pytest.raises(CheckpointMismatchError, match='embed_dim=16, depth=2, the model has'):
        load(model, files)


def test_the_second_file_is_asked_for():
    with pytest.raises(ValueError, match='needs its option multimodal'):
        build_adapter('internvideo_coordinated').to_ours({}, build())
