"""The command line of tools/train.py and tools/test.py, on tests/engine/small_run.py."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmengine import load as load_pickle
from mmengine.config import Config

from internvideo.cli import test as TEST
from internvideo.cli import train as TRAIN
from tests.engine.small_run import small_config
from tests.paths import ROOT
from tests.processes import free_port

ENVIRONMENT = dict(os.environ, OMP_NUM_THREADS='1', OMP_WAIT_POLICY='PASSIVE', PYTHONPATH=str(ROOT))
THREADS_AT_EXIT = """
import atexit, os, pathlib

def show():
    tasks = pathlib.Path('/proc/self/task').iterdir()
    names = sorted((task / 'comm').read_text().strip() for task in tasks)
    # One write: two processes share this pipe.
    os.write(1, f'threads at exit: {" ".join(names)}\\n'.encode())

if 'RANK' in os.environ:
    atexit.register(show)
"""


def call(tool, *arguments):
    return tool.command([str(argument) for argument in arguments])


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = small_config('unused', log_level='ERROR')
    config.pop('work_dir')
    config.custom_imports = dict(imports=['tests.engine.small_run'])
    path = tmp_path / 'small_run.py'
    config.dump(path)
    return path


def test_train_then_test(config, capsys):
    assert call(TRAIN, config, '--cfg-options', 'train_cfg.max_epochs=1') == 0
    best = next(Path('work_dirs/small_run').glob('best_*.pth'))
    for checkpoint in ('work_dirs/small_run/epoch_1.pth', best):
        assert call(TEST, config, checkpoint, '--out', 'predictions.pkl') == 0
    assert Path('predictions.pkl').stat().st_size > 0
    scalars = (
        next(Path('work_dirs/small_run').glob('*/vis_data/scalars.json')).read_text().splitlines()
    )
    assert {'lr', 'loss', 'time', 'data_time'} <= set(json.loads(scalars[0]))


def test_console_is_short_and_the_log_file_complete(config, capsys):
    options = ['train_cfg.max_epochs=1', 'log_level=INFO']
    assert call(TRAIN, config, '--cfg-options', *options) == 0
    console = capsys.readouterr().out
    facts = ['work_dirs/small_run, log in', 'M parameters', '1 process(es)']
    facts += ['training: 24 samples', 'validation: ', 'eta: ', 'acc/top1: ']
    assert [fact for fact in facts if fact not in console] == []
    dumps = ['System environment', 'Config:', 'Hooks will be executed']
    assert not any(dump in console for dump in dumps)
    log = next(Path('work_dirs/small_run').glob('*/*.log')).read_text()
    assert all(text in log for text in [*facts, *dumps])


def test_average_is_tested_and_training_weights_are_resumed(config):
    call(TRAIN, config, '--work-dir', 'run', '--cfg-options', 'train_cfg.max_epochs=1')
    saved = torch.load('run/epoch_1.pth', weights_only=True)
    best = torch.load(next(Path('run').glob('best_*.pth')), weights_only=True)
    assert not torch.equal(
        saved['state_dict']['head.weight'], saved['train_state_dict']['head.weight']
    )
    assert torch.equal(saved['state_dict']['head.weight'], best['state_dict']['head.weight'])


def test_resume_of_a_path_and_of_nothing(config):
    assert call(TRAIN, config, '--resume', '--cfg-options', 'train_cfg.max_epochs=1') == 0
    assert call(TRAIN, config, '--resume', 'work_dirs/small_run/epoch_1.pth') == 0
    assert Path('work_dirs/small_run/epoch_2.pth').exists()


def test_amp_on_this_device(config, monkeypatch):
    from tests.engine.small_run import VectorEncoder

    seen = []
    forward = VectorEncoder.forward
    monkeypatch.setattr(
        VectorEncoder,
        'forward',
        lambda self, x: seen.append(torch.is_autocast_enabled('cpu')) or forward(self, x),
    )
    assert call(TRAIN, config, '--amp', '--cfg-options', 'train_cfg.max_epochs=1') == 0
    assert all(seen)


def test_compile_by_one_line(config):
    options = ['train_cfg.max_epochs=1', '+compile.backend=eager']
    assert call(TRAIN, config, '--cfg-options', *options) == 0


WRONG = [
    (['nowhere.py'], 2, 'config file nowhere.py does not exist'),
    (['{}', '--cfg-options', 'train_cfg.max_epoch=1'], 2, 'did you mean train_cfg.max_epochs'),
    (['{}', '--cfg-options', 'lr=1'], 2, 'did you mean optim_wrapper.optimizer.lr?'),
    (['{}', '--cfg-options', 'train_cfg.max_epochs=two'], 2, 'has a number here (2)'),
    (['{}', '--cfg-options', 'model.type=VideoRecognizer'], 1, 'missing 2 required'),
    (['{}', '--cfg-options', 'train_cfg'], 2, "'train_cfg' is not of the form KEY=VALUE"),
    (['{}', '--launcher', 'pytorch'], 1, '--launcher pytorch needs the variable RANK'),
    (['{}', '--cfg-options', 'model.type=VectorRecogniser'], 1, 'did you mean VectorRecognizer'),
    (['{}', '--cfg-options', '+model.width=3'], 1, "unexpected keyword argument 'width'"),
    (['{}', '--resume', 'gone.pth'], 1, 'checkpoint gone.pth does not exist'),
    (['{}', '--cfg-options', '+load_from=gone.pth'], 1, 'gone.pth'),
    (['{}', '--cfg-options', '+strategy.type=Dpp'], 1, "'Dpp' is not a registered strategy"),
    (['{}', '--cfg-options', 'train_dataloader.batch_size=100'], 1, 'has 0 batches'),
    (['{}', '--cfg-options', 'default_hooks.checkpoint.save_best=f1'], 1, "save_best='f1' is not"),
    (['{}', '--cfg-options', '+train_dataloader.dataset.bad_row=5'], 1, '/clips/5.mp4'),
]


@pytest.mark.parametrize(('arguments', 'code', 'message'), WRONG)
def test_users_errors_are_one_line(config, capsys, monkeypatch, arguments, code, message):
    monkeypatch.delenv('RANK', raising=False)
    arguments = [str(config) if text == '{}' else text for text in arguments]
    assert call(TRAIN, *arguments) == code
    error = capsys.readouterr().err
    assert message in error
    assert 'Traceback' not in error


def test_debug_shows_the_traceback(config, capsys):
    assert call(TRAIN, config, '--debug', '--resume', 'gone.pth') == 1
    assert 'Traceback' in capsys.readouterr().err


def test_an_evaluation_tests_the_model_that_its_config_names(config, capsys):
    assert call(TEST, config) == 2
    assert 'give a CHECKPOINT' in capsys.readouterr().err
    content = Config.fromfile(config)
    for key in ('train_dataloader', 'train_cfg', 'optim_wrapper', 'param_scheduler'):
        content[key] = None
    content.custom_hooks = []
    content.model.init_cfg = dict(type='Constant', layer='Linear', val=0, bias=0)
    content.dump(config)
    assert call(TEST, config, '--out', 'scores.pkl') == 0
    scores = [sample['pred_score'] for sample in load_pickle('scores.pkl')]
    assert len(scores) == 7 and not torch.stack(scores).any()


def test_checkpoint_of_another_architecture(config, capsys):
    call(TRAIN, config, '--cfg-options', 'train_cfg.max_epochs=1')
    code = call(TEST, config, 'work_dirs/small_run/epoch_1.pth', '--cfg-options', '+model.depth=3')
    assert code == 1
    assert 'missing in the checkpoint: backbone.blocks' in capsys.readouterr().err
    assert call(TEST, config, 'gone.pth') == 2


def python(*arguments):
    return subprocess.run(
        [sys.executable, *arguments], env=ENVIRONMENT, cwd=ROOT, capture_output=True, text=True
    )


def test_help_imports_nothing_heavy():
    done = python('-X', 'importtime', 'tools/train.py', '--help')
    assert done.returncode == 0
    assert '--cfg-options' in done.stdout
    imported = {line.rpartition('|')[2].strip() for line in done.stderr.splitlines()}
    assert not imported & {'torch', 'mmengine', 'numpy'}


def test_recognition_path_imports_no_foreign_framework():
    code = (
        'import sys; from internvideo.registry import *;'
        'RUNNERS.get("Runner"); MODELS.get("VideoRecognizer"); DATASETS.get("VideoDataset");'
        'HOOKS.get("EMAHook"); METRICS.get("AccuracyMetric"); VISUALIZERS.get("Visualizer");'
        'STRATEGIES.get("DDP"); OPTIM_WRAPPERS.get("AmpOptimWrapper");'
        'print(sorted({"transformers", "deepspeed", "ray", "gradio"} & set(sys.modules)))'
    )
    done = python('-c', code)
    assert done.stdout.strip() == '[]', done.stderr


@pytest.mark.parametrize('script', ['dist_train', 'dist_test', 'slurm_train', 'slurm_test'])
def test_scripts_say_how_they_are_used(script):
    done = subprocess.run([ROOT / 'tools' / f'{script}.sh'], capture_output=True, text=True)
    assert done.returncode == 2
    assert 'usage' in done.stderr


@pytest.mark.parametrize(('gpus_per_node', 'placed'), [('0', False), ('2', True)])
def test_slurm_script_places_tasks(tmp_path, gpus_per_node, placed):
    srun = tmp_path / 'srun'
    srun.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    srun.chmod(0o755)
    environ = dict(
        ENVIRONMENT,
        PATH=f'{tmp_path}:{os.environ["PATH"]}',
        GPUS='4',
        GPUS_PER_NODE=gpus_per_node,
        SRUN_ARGS='--nodes=2 --exclusive',
    )
    command = [ROOT / 'tools/slurm_train.sh', 'video', 'job', 'config.py', '--amp']
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=True)
    words = done.stdout.split('\n')
    assert {'--partition=video', '--ntasks=4', '--nodes=2', '--exclusive', '--amp'} <= set(words)
    assert ('--gres=gpu:2' in words) is placed


@pytest.mark.slow
def test_dist_script_trains_two_processes(config, tmp_path):
    command = [ROOT / 'tools/dist_train.sh', config, '2', '--work-dir', tmp_path / 'two']
    command += ['--cfg-options', 'train_cfg.max_epochs=1', 'log_level=INFO']
    (tmp_path / 'sitecustomize.py').write_text(THREADS_AT_EXIT)
    path = f'{ROOT}:{tmp_path}'
    environ = ENVIRONMENT | dict(PYTHON=sys.executable, PORT=str(free_port()), PYTHONPATH=path)
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert 'strategy DDP: 2 process(es)' in done.stdout + done.stderr
    # A thread of gloo that outlives the interpreter now and then aborts the process.
    threads = [line for line in done.stdout.splitlines() if 'threads at exit:' in line]
    assert len(threads) == 2 and not any('gloo' in line for line in threads)
    assert torch.load(tmp_path / 'two/epoch_1.pth', weights_only=True)['meta']['world_size'] == 2
