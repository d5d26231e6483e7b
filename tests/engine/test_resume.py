"""A run that was interrupted ends bitwise like one that was not."""

import os
import signal
import subprocess
import sys

import pytest
import torch
from mmengine.hooks import Hook

from internvideo.checkpoint.training_state.checkpoint_files import CheckpointError
from tests.engine.small_run import assert_equal_states, build, final_state, small_config
from tests.paths import ROOT
from tests.processes import free_port

ENVIRONMENT = dict(os.environ, OMP_NUM_THREADS='1', OMP_WAIT_POLICY='PASSIVE')


class Crash(Hook):
    """Raises where a machine might die."""

    def __init__(self, iteration=-1, in_validation=False):
        self.iteration, self.in_validation = iteration, in_validation

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.iter == self.iteration:
            raise InterruptedError

    def before_val_epoch(self, runner):
        if self.in_validation:
            raise InterruptedError


def config_of(work_dir, **changes):
    config = small_config(work_dir, log_level='ERROR', **changes)
    config.default_hooks.checkpoint.interval_iters = 1
    return config


@pytest.fixture(scope='module')
def uninterrupted(tmp_path_factory):
    work_dir = tmp_path_factory.mktemp('whole')
    build(config_of(work_dir)).train()
    return final_state(work_dir)


def crash_and_resume(work_dir, crash, **changes):
    runner = build(config_of(work_dir, **changes))
    runner.register_hook(crash)
    with pytest.raises(InterruptedError):
        runner.train()
    resumed = build(config_of(work_dir, resume='auto', **changes))
    resumed.train()
    return resumed


@pytest.mark.parametrize('iteration', range(1, 12))
def test_crash_at_any_iteration(tmp_path, uninterrupted, iteration):
    crash_and_resume(tmp_path, Crash(iteration))
    assert_equal_states(final_state(tmp_path), uninterrupted)


def test_a_failed_run_gives_its_signals_back(tmp_path):
    before = {signum: signal.getsignal(signum) for signum in (signal.SIGTERM, signal.SIGUSR1)}
    runner = build(config_of(tmp_path))
    runner.register_hook(Crash(1))
    with pytest.raises(InterruptedError):
        runner.train()
    # A caller that goes on, or forks, would otherwise shrug signals off for ever.
    assert {signum: signal.getsignal(signum) for signum in before} == before


def test_crash_in_validation_validates_again(tmp_path, uninterrupted):
    crash_and_resume(tmp_path, Crash(in_validation=True))
    assert_equal_states(final_state(tmp_path), uninterrupted)
    assert list(tmp_path.glob('best_*.pth'))


def test_accumulation_saves_at_whole_steps(tmp_path):
    changes = {'optim_wrapper.accumulative_counts': 2, 'train_cfg.max_epochs': 1}
    resumed = crash_and_resume(tmp_path / 'a', Crash(4), **changes)
    assert resumed.horizon.steps == 3
    build(config_of(tmp_path / 'b', **changes)).train()
    assert_equal_states(final_state(tmp_path / 'a', 1), final_state(tmp_path / 'b', 1))
    saved = {path.name for path in (tmp_path / 'b').glob('epoch_0_iter_*.pth')}
    assert saved == {'epoch_0_iter_2.pth', 'epoch_0_iter_4.pth'}


def test_torn_newest_checkpoint_is_passed_by(tmp_path, uninterrupted):
    build(config_of(tmp_path)).train()
    for name in ('epoch_2.pth', 'epoch_1_iter_12.pth', 'epoch_1_iter_11.pth'):
        path = tmp_path / name
        if path.exists():
            path.write_bytes(path.read_bytes()[:-100])
    resumed = build(config_of(tmp_path, resume='auto'))
    resumed.train()
    assert resumed.resume_path.name == 'epoch_1_iter_10.pth'
    assert_equal_states(final_state(tmp_path), uninterrupted)


def test_nothing_to_resume_starts_afresh(tmp_path, uninterrupted):
    runner = build(config_of(tmp_path, resume='auto'))
    runner.train()
    assert runner.resume_path is None
    assert_equal_states(final_state(tmp_path), uninterrupted)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'model.depth': 3}, 'does not fit this model; .*missing: backbone.blocks.2.weight'),
        ({'optim_wrapper.paramwise_cfg.layer_decay_rate': 1.0}, 'optimiser state'),
    ],
)
def test_checkpoint_of_another_run(tmp_path, change, message):
    build(config_of(tmp_path, **{'train_cfg.max_epochs': 1})).train()
    runner = build(config_of(tmp_path, resume='auto', **change))
    with pytest.raises(CheckpointError, match=message):
        runner.train()


def test_weights_alone_cannot_be_resumed(tmp_path):
    torch.save(dict(state_dict={}), tmp_path / 'weights.pth')
    runner = build(config_of(tmp_path, resume=str(tmp_path / 'weights.pth')))
    with pytest.raises(CheckpointError, match=r'weights.pth: it has no meta, optimizer'):
        runner.train()


def test_longer_horizon_changes_the_schedule(tmp_path):
    build(config_of(tmp_path, **{'train_cfg.max_epochs': 2})).train()
    longer = build(config_of(tmp_path, resume='auto', **{'train_cfg.max_epochs': 4}))
    longer.train()
    fresh = build(config_of(tmp_path / 'fresh', **{'train_cfg.max_epochs': 4}))
    fresh.train()
    rates = [group['lr'] for group in longer.optim_wrapper.param_groups]
    assert rates == [group['lr'] for group in fresh.optim_wrapper.param_groups]


def train_small(*arguments, processes=1, module='tests.engine.train_small'):
    command = [sys.executable, '-m', module]
    if processes > 1:
        launch = f'-m torch.distributed.run --nproc_per_node {processes}'
        launch += f' --master_port {free_port()}'
        command = [sys.executable, *launch.split(), '-m', module]
        arguments = (*arguments, '--launcher', 'pytorch')
    return subprocess.run(
        [*command, *map(str, arguments)],
        cwd=ROOT,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.parametrize('processes', [1, 2])
def test_killed_process_resumes_exactly(tmp_path, processes):
    whole, killed = tmp_path / 'whole', tmp_path / 'killed'
    assert train_small(whole, '--workers', 2, processes=processes).returncode == 0
    kill_at = 5 if processes == 2 else 8
    done = train_small(killed, '--workers', 2, '--kill-at', kill_at, processes=processes)
    assert done.returncode != 0
    assert not (killed / 'epoch_2.pth').exists()
    done = train_small(killed, '--workers', 2, processes=processes)
    assert done.returncode == 0, done.stderr
    assert 'resumed from' in done.stdout + done.stderr
    assert_equal_states(final_state(killed), final_state(whole))


@pytest.mark.slow
@pytest.mark.parametrize('name', ['SIGTERM', 'SIGUSR1'])
def test_signal_saves_and_leaves(tmp_path, uninterrupted, name):
    done = train_small(tmp_path, '--workers', 2, '--kill-at', 5, '--signal', name)
    assert done.returncode == 128 + getattr(signal, name)
    assert 'go on with --resume auto' in done.stdout + done.stderr
    assert (tmp_path / 'epoch_0_iter_5.pth').exists()
    assert train_small(tmp_path).returncode == 0
    assert_equal_states(final_state(tmp_path), uninterrupted)
