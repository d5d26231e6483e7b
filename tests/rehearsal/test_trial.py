"""Shrunken copies of leaves run for real; what is wrong with one comes out."""

import pytest
from mmengine.config import Config

from internvideo.rehearsal.examples import MediaCache
from internvideo.rehearsal.processes import ProcessFailure, run_apart
from internvideo.rehearsal.shrink import SIZES, shrink
from internvideo.rehearsal.trial_run import STEPS, try_run
from tests.paths import CONFIGS

FAMILY = CONFIGS / 'internvideo2'
HANDFUL = ('6B_k400_f16', 'S14_ssv2', 'linear_probe/1B_hmdb51_f16', 'pretrain/1B')
MAX_SECONDS, MAX_BYTES = 40, 2e9


@pytest.fixture(scope='module')
def cache(tmp_path_factory):
    return MediaCache(tmp_path_factory.mktemp('media'))


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.parametrize('leaf', HANDFUL)
def test_shrunken_copy_trains_validates_saves_and_resumes(leaf, cache):
    report = try_run(Config.fromfile(FAMILY / f'{leaf}.py'), cache, f'trial-{leaf}')
    assert report.passed, report.details or report.reason
    assert report.steps == 2 * STEPS
    assert report.peak_bytes <= MAX_BYTES
    assert report.seconds <= MAX_SECONDS


@pytest.mark.slow
def test_fault_that_only_running_shows_is_reported(cache):
    config = Config.fromfile(FAMILY / 'S14_k400.py')
    config.default_hooks.checkpoint.interval = 0
    config.default_hooks.checkpoint.save_best = 'acc/nothing'
    report = try_run(config, cache, 'trial-fault')
    assert not report.passed
    assert report.stage == 'train'
    assert 'acc/nothing' in report.reason


def test_a_dead_process_is_an_error_and_not_a_hang():
    with pytest.raises(ProcessFailure, match='exit code 3'):
        run_apart(_die, 3, limit=60)
    with pytest.raises(ProcessFailure, match=r"^ValueError: .*'three' \(test_trial.py:\d+\)$"):
        run_apart(_number, 'three', limit=60)
    with pytest.raises(ProcessFailure, match='not done'):
        run_apart(_sleep, 60, limit=1)


def _number(text):
    return int(text)


def _die(code):
    import os

    os._exit(code)


def _sleep(seconds):
    import time

    time.sleep(seconds)


def test_shrinking_keeps_structure(cache, tmp_path):
    config = Config.fromfile(FAMILY / '6B_mit_r336.py')
    small = shrink(config, tmp_path, cache, 'small')
    assert small['model']['backbone']['img_size'] == SIZES.side(336) == 84
    assert small['model']['backbone']['num_frames'] == config.model.backbone.num_frames
    assert small['model']['head']['num_classes'] == config.model.head.num_classes
    types = [step['type'] for step in small['train_dataloader']['dataset']['pipeline']]
    assert types == [step['type'] for step in config.train_dataloader.dataset.pipeline]
    assert (
        config.train_dataloader.dataset.ann_file != small['train_dataloader']['dataset']['ann_file']
    )
