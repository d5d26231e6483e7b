"""Pretraining, distillation and probing through the command line, on generated mp4 files."""

import subprocess
import sys

import pytest
import torch
from mmengine.config import Config

from internvideo.checkpoint.loading import load_pretrained
from internvideo.datasets.synthetic import make_world
from internvideo.registry import MODELS
from tests.processes import free_port
from tests.tools.test_cli import ENVIRONMENT, ROOT, TRAIN, call

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


POOLER = 'backbone.clip_projector.'


@pytest.mark.parametrize(
    ('task', 'trained'),
    [('linear_probe', ('head.',)), ('attentive_probe', ('head.', POOLER))],
)
def test_probing_trains_the_head_and_leaves_the_encoder(folder, task, trained):
    student = MODELS.build(Config.fromfile(CONFIGS / 'pretrain/tiny_synthetic.py').model)
    before = student.state_dict()
    torch.save(dict(state_dict=before), folder / 'tiny_pretrained.pth')
    assert train(folder, task, 'val_dataloader.num_workers=0') == 0
    state = torch.load(folder / task / 'epoch_1.pth', weights_only=True)['state_dict']
    common = [name for name in state if name in before]
    assert sum(name.startswith(POOLER) for name in common) > 10
    changed = [name for name in common if not torch.equal(state[name], before[name])]
    assert all(name.startswith(trained) for name in changed)
    assert bool(changed) == (task == 'attentive_probe')


def train_on_two(folder, epochs, *arguments):
    launch = f'-m torch.distributed.run --nproc_per_node 2 --master_port {free_port()}'
    config = CONFIGS / 'pretrain/tiny_synthetic.py'
    paths = dict(INTERNVIDEO2_DATA_PATH=f'{folder}/data', INTERNVIDEO2_MODEL_PATH=str(folder))
    options = [*SHORT, f'train_cfg.max_epochs={epochs}']
    command = [sys.executable, *launch.split(), ROOT / 'tools/train.py', config]
    command += ['--launcher', 'pytorch', '--work-dir', folder / 'two', *arguments]
    return subprocess.run(
        [*map(str, command), '--cfg-options', *options],
        env=ENVIRONMENT | paths,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


@pytest.mark.slow
def test_two_processes_pretrain_save_and_resume(folder):
    done = train_on_two(folder, 1)
    assert done.returncode == 0, done.stderr[-3000:]
    done = train_on_two(folder, 2, '--resume')
    assert done.returncode == 0, done.stderr[-3000:]
    states = [
        torch.load(folder / 'two' / f'epoch_{epoch}.pth', weights_only=True)['state_dict']
        for epoch in (1, 2)
    ]
    parts = [{name.split('.')[0] for name in state} for state in states]
    assert parts == [{'backbone', 'neck', 'teacher_digest'}] * 2
    assert torch.equal(*(state['teacher_digest'] for state in states))
    assert not torch.equal(*(state['neck.clip_decoder.0.head.weight'] for state in states))
