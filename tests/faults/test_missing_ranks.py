"""Processes that are killed or hang are named by the others."""

import os
import re
import signal

import pytest

from tests.faults.injection import Run, prepare_recipe

pytestmark = [pytest.mark.slow, pytest.mark.alone]
BEATS = '+default_hooks.heartbeat.interval=0.5'


@pytest.fixture(scope='module')
def recipe(tmp_path_factory):
    patch = pytest.MonkeyPatch()
    patch.setenv('INTERNVIDEO2_DATA_PATH', '')
    yield prepare_recipe(tmp_path_factory.mktemp('recipe'))
    patch.undo()


def test_killed_rank_is_named(recipe, tmp_path):
    run = Run(recipe, tmp_path / 'run', BEATS, processes=2, fault='1 2 step 0')
    assert run.wait() == [1, -signal.SIGKILL]
    assert 'did not arrive: rank 1 (' in run.output
    assert f'process {run.processes[1].pid}, silent for' in run.output


@pytest.mark.parametrize('timeout', [4, 600], ids=['error', 'report'])
def test_hanging_rank_is_named(recipe, tmp_path, timeout):
    """Before the time-out a report tells who is behind; the time-out's error tells it again."""
    options = [BEATS, 'default_hooks.heartbeat.patience=2', f'env_cfg.dist_cfg.timeout={timeout}']
    run = Run(recipe, tmp_path / 'run', *options, processes=2, fault='1 3 delay 100')
    named = r'did not arrive: rank 1 \(between steps in step 3 at .*injection.py:'
    run.wait_for('no step for 2 s: rank 0 is computing in step 3; did not arrive: rank 1 (')
    if timeout < 100:
        assert run.wait(grace=1)[0] == 1
        assert re.search(f'error: rank 0 is computing in step 3; {named}', run.output)
    else:
        os.kill(run.processes[1].pid, signal.SIGUSR1)
        assert run.wait() == [128 + signal.SIGUSR1] * 2, run.output
