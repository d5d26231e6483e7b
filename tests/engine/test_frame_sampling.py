"""Checkpoints of a run say how its frames were chosen."""

import copy

from internvideo.checkpoint.files import read_frame_sampling
from internvideo.registry import DATASETS
from internvideo.structures.frame_sampling import FrameSampling
from tests.engine.small_run import VectorClips, build, small_config

FRAMES = dict(
    sampling=dict(type='UniformSample', num_frames=8, mode='val'),
    pipeline=[dict(type='Resize', size=(32, 32)), dict(type='PackInputs')],
)


@DATASETS.register_module(force=True)
class FramedVectors(VectorClips):
    """Vectors whose config speaks of frames."""

    def __init__(self, sampling, pipeline, **fields):
        super().__init__(**fields)


def framed(work_dir, epochs, **changes):
    config = small_config(work_dir, log_level='WARNING', **changes)
    config.train_cfg.max_epochs = epochs
    dataset = copy.deepcopy(dict(FRAMES, type='FramedVectors'))
    config.val_dataloader.dataset.update(dataset)
    return config


def test_every_checkpoint_says_it_and_a_resumed_run_keeps_it(tmp_path, capfd):
    build(framed(tmp_path, 1)).train()
    build(framed(tmp_path, 2, resume='auto')).train()
    record = FrameSampling.of_dataset(FRAMES)
    found = sorted(tmp_path.glob('*.pth'))
    assert len(found) >= 3  # the best one too
    assert [read_frame_sampling(path) for path in found] == [record] * len(found)
    assert 'another choice of frames' not in capfd.readouterr().out


def test_a_run_resumed_with_other_frames_says_so(tmp_path, capfd):
    build(framed(tmp_path, 1)).train()
    config = framed(tmp_path, 2, resume='auto')
    config.val_dataloader.dataset.sampling.num_frames = 16
    build(config).train()
    assert 'another choice of frames than the config has (sampling.num_frames)' in (
        capfd.readouterr().out
    )
    assert read_frame_sampling(tmp_path / 'epoch_2.pth').num_frames == 16


def test_a_run_whose_data_have_no_frames_says_nothing(tmp_path):
    config = small_config(tmp_path, log_level='ERROR')
    config.train_cfg.max_epochs = 1
    build(config).train()
    assert read_frame_sampling(tmp_path / 'epoch_1.pth') is None
