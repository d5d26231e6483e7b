import pytest
import torch
from mmengine.config import Config

from internvideo.apis import ActionRecognizer, VideoTextRetriever, feature_spec
from internvideo.checkpoint.files import read_state_dict, write_state_dict
from internvideo.hub.frame_choice import follow_checkpoint
from internvideo.structures.frame_sampling import FrameSampling
from tests.apis.tiny import write_checkpoint, write_config
from tests.apis.tiny_retrieval import tiny_retrieval


@pytest.fixture(scope='module')
def config(tmp_path_factory):
    return write_config(tmp_path_factory.mktemp('tiny'))


@pytest.fixture(scope='module')
def weights(config):
    return read_state_dict(write_checkpoint(config, config.parent / 'weights.pth'))


def trained(weights, path, config, **changes):
    """A checkpoint that says it was trained by ``config`` with some fields changed."""
    own = Config.fromfile(config)
    for split in ('val', 'test'):
        own.merge_from_dict({f'{split}_dataloader.dataset.{k}': v for k, v in changes.items()})
    return write_state_dict(weights, path, frame_sampling=FrameSampling.of_config(own).to_dict())


SHIFTED = {'sampling.type': 'SegmentSample', 'pipeline.0.short_side': 32}


def test_the_recognizer_takes_those_of_the_checkpoint(config, weights, tmp_path, warnings_logged):
    path = trained(weights, tmp_path / 'a.pth', config, **SHIFTED)
    recognizer = ActionRecognizer(config, path, device='cpu')
    (warning,) = warnings_logged
    assert 'sampling.type SegmentSample (config: UniformSample)' in warning
    assert 'Resize.short_side 32 (config: 28)' in warning
    assert "the checkpoint's is used" in warning
    assert type(recognizer.videos.sample).__name__ == 'SegmentSample'
    assert recognizer.videos.sample.num_views == 2  # the protocol stays the config's
    assert recognizer.videos.pipeline[0].short_side == 32
    assert type(recognizer.videos.pipeline[1]).__name__ == 'UniformCrops'
    assert recognizer.windows.sample.mode == 'val'


def test_the_config_counts_where_that_is_asked_for(config, weights, tmp_path, warnings_logged):
    path = trained(weights, tmp_path / 'a.pth', config, **SHIFTED)
    recognizer = ActionRecognizer(config, path, device='cpu', frame_sampling='config')
    assert type(recognizer.videos.sample).__name__ == 'UniformSample'
    assert len(warnings_logged) == 1 and "the config's is used" in warnings_logged[0]
    with pytest.raises(ValueError, match='frame_sampling must be one of checkpoint, config'):
        ActionRecognizer(config, path, device='cpu', frame_sampling='mine')


def test_nothing_is_said_where_both_agree_or_the_file_does_not_say(
    config, weights, tmp_path, warnings_logged
):
    foreign = write_state_dict(weights, tmp_path / 'foreign.safetensors', container='model')
    for path in (trained(weights, tmp_path / 'same.pth', config), foreign, None):
        own = Config.fromfile(config)
        follow_checkpoint(own, path)
        assert own.to_dict() == Config.fromfile(config).to_dict()
    assert not warnings_logged


def test_a_model_made_for_other_frames_takes_those_of_the_config(
    config, weights, tmp_path, warnings_logged
):
    path = trained(weights, tmp_path / 'a.pth', config, **{'sampling.num_frames': 6})
    recognizer = ActionRecognizer(config, path, device='cpu')
    assert recognizer.videos.sample.num_frames == 4
    assert "the config's is used, since the model takes 4 frames" in warnings_logged[0]
    warnings_logged.clear()
    path = trained(weights, tmp_path / 'b.pth', config, **{'pipeline.1.size': 14})
    follow_checkpoint(Config.fromfile(config), path, encoder=recognizer.model.video_encoder)
    assert 'since the model takes frames of 28x28' in warnings_logged[0]


def test_no_field_of_the_rule_of_the_config_is_left(config, weights, tmp_path):
    path = trained(weights, tmp_path / 'a.pth', config)
    own = Config.fromfile(config)
    dense = dict(type='DenseSample', num_frames=4, stride=2, mode='test', num_views=2)
    own.test_dataloader.dataset.sampling = dense
    follow_checkpoint(own, path)
    expected = Config.fromfile(config).test_dataloader.dataset.sampling
    assert own.test_dataloader.dataset.sampling == expected


def test_features_take_only_the_geometry(config, weights, tmp_path, warnings_logged):
    path = trained(weights, tmp_path / 'a.safetensors', config, **SHIFTED)
    spec = feature_spec(config, path)
    assert spec.settings['transforms'][0] == dict(type='Resize', short_side=32)
    assert 'sampling.type' not in warnings_logged[0]


def test_the_retriever_takes_those_of_the_checkpoint(tmp_path, warnings_logged):
    config, weights = tiny_retrieval(tmp_path)
    own = Config.fromfile(config)
    own.merge_from_dict({'test_dataloader.dataset.sampling.mode': 'start'})
    state, record = read_state_dict(weights), FrameSampling.of_config(own)
    path = write_state_dict(state, tmp_path / 'a.pth', frame_sampling=record.to_dict())
    settings = VideoTextRetriever(config, path, 'cpu', workers=0).settings
    assert settings['sampling'] == dict(type='IntervalSample', num_frames=2, mode='start')
    assert 'sampling.mode start (config: middle)' in warnings_logged[0]


def test_a_config_without_data_takes_all_of_it(config, weights, tmp_path):
    path = trained(weights, tmp_path / 'a.pth', config, **SHIFTED)
    bare = Config.fromfile(config)
    bare.val_dataloader = bare.test_dataloader = None
    recognizer = ActionRecognizer(bare, path, device='cpu')
    assert type(recognizer.videos.sample).__name__ == 'SegmentSample'


def test_a_record_that_would_run_code_is_refused_by_name(config, weights, tmp_path):
    path = tmp_path / 'evil.pth'
    record = dict(sampling=dict(type='os.system'), pipeline=[dict(type='PackInputs')])
    torch.save(dict(state_dict=weights, meta=dict(frame_sampling=record)), path)
    with pytest.raises(ValueError, match=r"evil\.pth: frame_sampling names 'os\.system'"):
        ActionRecognizer(config, path, device='cpu')
    ActionRecognizer(config, path, device='cpu', frame_sampling='config')
