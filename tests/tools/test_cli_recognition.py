"""The whole pipeline through the command line: generated mp4 files, a tiny InternVideo2."""

import json
from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.hooks import Hook

from internvideo.apis import get_model
from internvideo.checkpoint.files import write_state_dict
from internvideo.datasets.synthetic import make_world
from internvideo.structures.frame_sampling import FrameSampling
from tests.engine.small_run import assert_equal_states, build, final_state
from tests.tools.test_cli import ROOT, TEST, TRAIN, call

CONFIG = ROOT / 'configs/internvideo2/tiny_synthetic.py'
SHORT = [
    'train_dataloader.batch_size=4',
    'train_cfg.max_epochs=1',
    'param_scheduler.warmup_epochs=0',
    'train_dataloader.num_workers=0',
    'val_dataloader.num_workers=0',
    'test_dataloader.num_workers=0',
    'log_level=ERROR',
]


@pytest.fixture
def world(tmp_path, monkeypatch):
    monkeypatch.setenv('INTERNVIDEO2_DATA_PATH', str(tmp_path / 'data'))
    root = tmp_path / 'data/synthetic'
    sizes = dict(num_train=16, num_val=5, num_test=5)
    make_world(root, size=40, num_frames=12, workers=0, **sizes)
    return root / 'recognition'


def test_train_with_a_broken_clip_then_test(world, tmp_path):
    broken = [next(world.glob(f'videos/{part}/*.mp4')) for part in ('train', 'test')]
    for clip in broken:
        clip.write_bytes(clip.read_bytes()[:300])
    run = tmp_path / 'run'
    options = [*SHORT, '+train_dataloader.dataset.max_bad_share=0.5']
    assert call(TRAIN, CONFIG, '--work-dir', run, '--amp', '--cfg-options', *options) == 0
    bad = [json.loads(line) for line in (run / 'bad_samples.jsonl').read_text().splitlines()]
    assert {line['path'] for line in bad} == {str(broken[0])}
    out = tmp_path / 'predictions.json'
    arguments = ['--work-dir', run, '--out', out, '--cfg-options', *SHORT]
    assert call(TEST, CONFIG, run / 'epoch_1.pth', *arguments) == 0
    predictions = json.loads(out.read_text())
    assert len(predictions) == 5
    assert [p['path'] for p in predictions if p['unreadable']] == [str(broken[1])]


def scores(checkpoint, folder, *options):
    out = folder / 'scores.json'
    arguments = [checkpoint, '--work-dir', folder, '--out', out, '--cfg-options', *SHORT[:-1]]
    assert call(TEST, CONFIG, *arguments, *options) == 0
    return [row['pred_score'] for row in json.loads(out.read_text())]


def test_a_checkpoint_is_tested_with_the_frames_it_was_trained_with(world, tmp_path, capfd):
    record = FrameSampling.of_config(Config.fromfile(CONFIG))
    state = get_model(CONFIG).state_dict()
    path = write_state_dict(state, tmp_path / 'a.pth', frame_sampling=record.to_dict())
    expected = scores(path, tmp_path)
    assert 'another choice of frames' not in capfd.readouterr().out
    sampling = 'test_dataloader.dataset.sampling'
    frames = [f'{sampling}.num_frames=16']
    assert scores(path, tmp_path, *frames, '--frame-sampling', 'checkpoint') == expected
    warning = "sampling.num_frames 8 (config: 16); the checkpoint's is used"
    assert warning in capfd.readouterr().out
    # What the command line asks for itself is meant.
    assert scores(path, tmp_path, f'{sampling}.type=SegmentSample') != expected
    assert "the config's is used" in capfd.readouterr().out


class Crash(Hook):
    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.iter == 2:
            raise InterruptedError


def recipe(work_dir, **changes):
    """The tiny config with all that draws at random switched on, and two workers."""
    config = Config.fromfile(CONFIG)
    config.merge_from_dict(
        {
            'work_dir': str(work_dir),
            'log_level': 'ERROR',
            'train_cfg.max_epochs': 1,
            'train_dataloader.batch_size': 4,
            'param_scheduler.warmup_epochs': 0,
            'model.backbone.drop_path_rate': 0.3,
            'model.data_preprocessor.batch_augments': [
                dict(type='RandomErasing', prob=0.5, mode='pixel'),
                dict(type='MixupCutmix', num_classes=8),
            ],
            'default_hooks.checkpoint.interval_iters': 1,
            'custom_hooks': [dict(type='EMAHook', decay=0.9)],
            **changes,
        }
    )
    policy = dict(type='RandAugment', policy='rand-m7-n4-mstd0.5-inc1')
    config.train_dataloader.dataset.pipeline.insert(0, policy)
    return config


@pytest.mark.slow
def test_interrupted_recipe_ends_like_a_whole_one(world, tmp_path):
    whole, crashed = Path(tmp_path / 'whole'), Path(tmp_path / 'crashed')
    build(recipe(whole)).train()
    runner = build(recipe(crashed))
    runner.register_hook(Crash())
    with pytest.raises(InterruptedError):
        runner.train()
    build(recipe(crashed, resume='auto')).train()
    assert_equal_states(final_state(crashed, 1), final_state(whole, 1))
