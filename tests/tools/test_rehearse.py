"""The rehearsal as its users type it."""

import json
import subprocess
import sys

import pytest

from internvideo.cli.rehearse import build_parser, config_paths
from tests.paths import ROOT

LEAF = 'configs/internvideo2/S14_k400.py'


def rehearse(*arguments):
    command = [sys.executable, 'tools/rehearse.py', *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=500)


@pytest.mark.slow
def test_sound_config_passes_and_prints_its_facts(tmp_path):
    done = rehearse(LEAF, '--json', tmp_path / 'report.json')
    assert done.returncode == 0, done.stdout + done.stderr
    assert 'missing: train_dataloader.dataset.ann_file' in done.stdout
    assert 'deepspeed_zero1*' in done.stdout  # as published
    report = json.loads((tmp_path / 'report.json').read_text())[0]
    assert report['facts']['total'] == 23_352_976
    assert report['trial']['stage'] == 'done'


@pytest.mark.slow
def test_faults_and_strictness_decide_the_exit_code(tmp_path):
    broken = tmp_path / 'broken.py'
    broken.write_text(f'_base_ = {str(ROOT / LEAF)!r}\nmodel = dict(head=dict(num_classes=7))\n')
    done = rehearse(broken, '--no-trial', '--no-facts')
    assert done.returncode == 1
    assert '400 classes, the head (model.head.num_classes) has 7' in done.stdout
    assert rehearse(LEAF, '--no-trial', '--no-facts', '--strict').returncode == 1


@pytest.mark.slow
def test_sweep_prints_a_row_for_every_leaf():
    folder = 'configs/internvideo2/distill'
    done = rehearse('--all', folder, '--no-trial')
    assert done.returncode == 0, done.stdout + done.stderr
    for leaf in (ROOT / folder).glob('*.py'):
        assert f'{leaf.relative_to(ROOT)} ' in done.stdout
    assert ' 0 failed' in done.stdout


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ((), 'name a CONFIG'),
        (('gone.py',), 'gone.py does not exist'),
        (('internvideo2/S14_k40',), 'did you mean internvideo2/S14_k400'),
        (('--all', 'docs'), 'no config below docs'),
        ((LEAF, '--gpu', 'H999'), "GPU 'H999' is not known"),
        ((LEAF, '--mfu', '2'), '--mfu 2.0'),
    ],
)
def test_bad_arguments_are_one_line(arguments, message):
    done = rehearse(*arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert 'Traceback' not in done.stderr


def test_names_stand_for_configs():
    name = 'internvideo2/tiny_synthetic'
    (path,) = config_paths(build_parser().parse_args([name]))
    assert path.samefile(ROOT / 'configs' / f'{name}.py')


def test_paths_can_be_left_out_of_a_sweep():
    parse = build_parser().parse_args
    folder = 'configs/internvideo2/clip'
    every = {path.stem for path in config_paths(parse(['--all', folder]))}
    kept = {p.stem for p in config_paths(parse(['--all', folder, '--exclude', '*/[16]B*']))}
    assert every - kept == {'1B', '6B'}
