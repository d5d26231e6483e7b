"""Pretraining and distillation through the command line: generated mp4 files, tiny teachers."""

import pytest
import torch
from mmengine.config import Config

from internvideo.checkpoint.loading import load_pretrained
from internvideo.datasets.synthetic import make_world
from internvideo.registry import MODELS
from tests.tools.test_cli import ROOT, TRAIN, call

CONFIGS = ROOT / 'configs/internvideo2'
SHORT = [
    'train_dataloader.batch_size=4',
    'train_dataloader.num_workers=0',
    'train_cfg.max_epochs=1',
    'default_hooks.checkpoint.interval=1',
    'log_level=ERROR',
]


def write_teacher(folder, config, name):
    model = MODELS.build(Config.fromfile(CONFIGS / config).model)
    torch.save(dict(state_dict=model.state_dict()), folder / name)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv('INTERNVIDEO2_DATA_PATH', str(tmp_path / 'data'))
    monkeypatch.setenv('INTERNVIDEO2_MODEL_PATH', str(tmp_path))
    sizes = dict(num_train=16, num_val=2, num_test=2)
    make_world(tmp_path / 'data/synthetic', size=40, num_frames=12, workers=0, **sizes)
    write_teacher(tmp_path, 'tiny_synthetic.py', 'tiny_teacher.pth')
    write_teacher(tmp_path, 'pretrain/tiny_synthetic_mae_teacher.py', 'tiny_mae_teacher.pth')
    return tmp_path


def train(folder, task, *options, resume=()):
    arguments = ['--work-dir', folder / task, *resume, '--cfg-options', *SHORT, *options]
    return call(TRAIN, CONFIGS / task / 'tiny_synthetic.py', *arguments)


@pytest.mark.parametrize('task', ['pretrain', 'distill'])
def test_what_is_learned_starts_a_classifier(folder, task):
    assert train(folder, task) == 0
    state = torch.load(folder / task / 'epoch_1.pth', weights_only=True)['state_dict']
    assert {name.split('.')[0] for name in state} == {'backbone', 'neck', 'teacher_digest'}
    config = Config.fromfile(CONFIGS / task / 'tiny_synthetic_finetune.py')
    report = load_pretrained(MODELS.build(config.model), folder / task / 'epoch_1.pth')
    assert all(name.startswith('head.') for name in report.new)


def test_resuming_goes_on_with_the_same_teachers_and_refuses_others(folder, capsys):
    assert train(folder, 'distill') == 0
    longer = ['train_cfg.max_epochs=2']
    assert train(folder, 'distill', *longer, resume=['--resume']) == 0
    write_teacher(folder, 'tiny_synthetic.py', 'tiny_teacher.pth')
    assert train(folder, 'distill', 'train_cfg.max_epochs=3', resume=['--resume']) == 1
    assert 'other teacher weights' in capsys.readouterr().err


def test_a_missing_teacher_is_named(folder, capsys):
    (folder / 'tiny_mae_teacher.pth').unlink()
    assert train(folder, 'pretrain') == 1
    assert 'tiny_mae_teacher.pth does not exist' in capsys.readouterr().err
