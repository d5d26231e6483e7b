"""Runs over mixtures of media end bitwise alike, interrupted or not."""

import json

import pytest

from internvideo.engine.hooks.loader_watch_hook import awaited
from tests.datasets.media_world import world_table
from tests.engine.small_run import assert_equal_states, build, final_state
from tests.engine.test_resume import Crash, train_small
from tests.engine.train_mixture import COUNTS, STEPS, config_of


@pytest.fixture(scope='module')
def table(tmp_path_factory):
    return world_table(tmp_path_factory.mktemp('world'), **COUNTS)


@pytest.fixture(scope='module')
def uninterrupted(tmp_path_factory, table):
    work_dir = tmp_path_factory.mktemp('whole')
    runner = build(config_of(work_dir, table))
    runner.train()
    assert runner.iter == 2 * STEPS
    return final_state(work_dir)


@pytest.mark.parametrize('iteration', [1, 6, STEPS - 1, STEPS, STEPS + 4])
def test_crash_at_any_iteration(tmp_path, table, uninterrupted, iteration):
    runner = build(config_of(tmp_path, table))
    runner.register_hook(Crash(iteration))
    with pytest.raises(InterruptedError):
        runner.train()
    build(config_of(tmp_path, table, resume='auto')).train()
    assert_equal_states(final_state(tmp_path), uninterrupted)


def interrupted(work_dir, table, iteration=7):
    runner = build(config_of(work_dir, table))
    runner.register_hook(Crash(iteration))
    with pytest.raises(InterruptedError):
        runner.train()
    return runner


def test_other_batches_go_on_as_far_and_say_so(tmp_path, table):
    interrupted(tmp_path, table)
    sizes = {'train_dataloader.batch_sampler.batch_size': 1}
    resumed = build(config_of(tmp_path, table, resume='auto', log_level='WARNING', **sizes))
    warnings = []
    resumed.logger.warning = warnings.append
    resumed.train()
    assert resumed.iter == 2 * (11 + 6 + 5)
    (text,) = [text for text in warnings if 'another order' in text]
    assert 'goes on after 11 of 22 batches, as far as after 7 of 13' in text
    assert final_state(tmp_path)['meta']['iter'] == 44


def test_a_checkpoint_inside_an_epoch_of_samples_is_refused(tmp_path, table):
    loop = interrupted(tmp_path, table).train_loop
    with pytest.raises(ValueError, match='another kind of loader'):
        loop.restore(dict(epoch=0, samples_into_epoch=4, validation_pending=False))
    loop.restore(dict(epoch=1, samples_into_epoch=0, validation_pending=False))
    assert (loop.epoch, loop.batches_done) == (1, 0)


def test_the_awaited_batch_is_named(tmp_path, table):
    runner = interrupted(tmp_path, table)
    loop, sampler = runner.train_loop, runner.train_dataloader.batch_sampler
    loop.batches_done = 6
    rows = sampler.peek(6)
    assert rows == [row for _, row in list(sampler)[6]]
    paths = [runner.train_dataloader.dataset.get_data_info(row)['path'] for row in rows]
    assert all(path in awaited(runner) for path in paths)


@pytest.mark.slow
@pytest.mark.parametrize('processes', [1, 2])
def test_killed_processes_resume_exactly(tmp_path, table, processes):
    (tmp_path / 'table.json').write_text(json.dumps(table))
    run = dict(processes=processes, module='tests.engine.train_mixture')
    whole, killed = tmp_path / 'whole', tmp_path / 'killed'
    arguments = (tmp_path / 'table.json', '--workers', 2)
    done = train_small(whole, *arguments, **run)
    assert done.returncode == 0, done.stderr
    assert train_small(killed, *arguments, '--kill-at', 5, **run).returncode != 0
    assert not (killed / 'epoch_2.pth').exists()
    done = train_small(killed, *arguments, **run)
    assert done.returncode == 0, done.stderr
    assert 'resumed from' in done.stdout + done.stderr
    assert_equal_states(final_state(killed), final_state(whole))
