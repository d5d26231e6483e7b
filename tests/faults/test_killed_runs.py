"""Killed by SIGKILL anywhere, a run of the real pipeline ends bitwise like one left alone."""

import os
import re
import shutil
import signal
import subprocess
import time
from collections import Counter

import pytest

from tests.engine.small_run import assert_equal_states, final_state
from tests.faults.injection import CLIPS, EPOCHS, GLOBAL_BATCH, STEPS, Run, prepare_recipe

pytestmark = pytest.mark.slow

LAYOUTS = {
    'one process': (1, ()),
    'DDP': (2, ('+strategy.type=DDP',)),
    'ZeRO-1': (2, ('+strategy.type=DeepSpeed', '+strategy.stage=1')),
    'FSDP': (2, ('+strategy.type=FSDP',)),
}


class RecipeRuns:
    """Starts runs of one config and keeps one undisturbed run of each layout to compare with."""

    def __init__(self, folder):
        self.config, self.folder = prepare_recipe(folder), folder
        self.whole = {}

    def start(self, name, layout='one process', *options, fault=None):
        processes, strategy = LAYOUTS[layout]
        work_dir = self.folder / name.replace(' ', '_')
        return Run(self.config, work_dir, *strategy, *options, processes=processes, fault=fault)

    def undisturbed(self, layout='one process'):
        if layout not in self.whole:
            run = self.start(f'whole {layout}', layout)
            assert set(run.wait()) == {0}, run.output
            self.whole[layout] = run
        return self.whole[layout]

    def assert_same_end(self, run, layout='one process'):
        whole = self.undisturbed(layout).log.parent
        assert_equal_states(final_state(run.log.parent, EPOCHS), final_state(whole, EPOCHS))


@pytest.fixture(scope='module')
def recipe(tmp_path_factory):
    before = os.environ.get('INTERNVIDEO2_DATA_PATH')
    yield RecipeRuns(tmp_path_factory.mktemp('recipe'))
    os.environ.pop('INTERNVIDEO2_DATA_PATH')
    if before is not None:
        os.environ['INTERNVIDEO2_DATA_PATH'] = before


@pytest.mark.parametrize('layout', LAYOUTS)
def test_killed_after_every_step(recipe, layout):
    """Each start gets one step further, as on a cluster that preempts all the time."""
    for step in range(1, STEPS + 1):
        victim = 0 if layout == 'one process' else step % 2
        run = recipe.start(f'steps {layout}', layout, fault=f'{victim} {step} step 0')
        assert -signal.SIGKILL in run.wait(), run.output
    run = recipe.start(f'steps {layout}', layout)
    assert set(run.wait()) == {0}, run.output
    # The save of the step before may still have been under way.
    assert re.search(rf'resumed from .*: epoch {EPOCHS - 1}, batch [23] of 4', run.output)
    recipe.assert_same_end(run, layout)


# A save opens, renames, opens the pointer's new version, renames, removes the fourth-newest file.
CHANGES = {1: 'before opening', 2: 'before the name', 3: 'no pointer', 4: 'torn pointer', 5: 'old'}


@pytest.mark.parametrize('number', CHANGES, ids=CHANGES.values())
def test_killed_between_the_steps_of_a_save(recipe, number):
    run = recipe.start(f'change {number}', fault=f'0 4 change {number}')
    assert run.wait() == [-signal.SIGKILL], run.output
    resumed = recipe.start(f'change {number}')
    assert resumed.wait() == [0], resumed.output
    assert f'resumed from {run.log.parent}' in resumed.output
    assert not list(run.log.parent.glob('.writing-*'))
    recipe.assert_same_end(resumed)


@pytest.mark.parametrize(
    ('layout', 'share'),
    [('one process', 0.05), ('one process', 0.97), *((layout, 0.5) for layout in LAYOUTS)],
)
def test_killed_inside_a_write(recipe, layout, share):
    """The kernel kills the process at a byte of the file, whichever thread writes it."""
    size = (recipe.undisturbed(layout).log.parent / f'epoch_{EPOCHS}.pth').stat().st_size
    name = f'byte {share} {layout}'
    run = recipe.start(name, layout, fault=f'0 3 byte {int(share * size)}')
    assert -signal.SIGXFSZ in run.wait(), run.output
    partial = list(run.log.parent.glob('.writing-*'))
    assert [file.stat().st_size for file in partial] == [int(share * size)]
    resumed = recipe.start(name, layout)
    assert set(resumed.wait()) == {0}, resumed.output
    assert 'epoch_0_iter_2.pth: epoch 0, batch 2' in resumed.output
    recipe.assert_same_end(resumed, layout)


def test_write_that_fails_ends_the_run_and_keeps_the_last_checkpoint(recipe):
    run = recipe.start('limit', fault='0 3 limit 100000')
    assert run.wait() == [1]
    assert 'error: cannot write checkpoint' in run.output
    assert 'earlier checkpoints are untouched' in run.output
    resumed = recipe.start('limit')
    assert resumed.wait() == [0], resumed.output
    recipe.assert_same_end(resumed)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of its own that holds three checkpoints."""
    command = ['mount', '-t', 'tmpfs', '-o', 'size=4m', 'tmpfs', str(tmp_path)]
    if shutil.which('mount') is None or subprocess.run(command, capture_output=True).returncode:
        pytest.skip('mounting a small file system needs root')
    yield tmp_path
    subprocess.run(['umount', '-l', str(tmp_path)], check=True)


def test_full_disk(recipe, small_disk):
    run = Run(recipe.config, small_disk / 'run', 'default_hooks.checkpoint.max_keep_ckpts=-1')
    assert run.wait() == [1]
    assert 'error: cannot write checkpoint' in run.output
    assert 'Traceback' not in run.output
    run.log.unlink()  # makes room
    for file in sorted(small_disk.glob('run/epoch_0_iter_*.pth'))[:-1]:
        file.unlink()
    resumed = Run(recipe.config, small_disk / 'run', 'default_hooks.checkpoint.max_keep_ckpts=1')
    assert resumed.wait() == [0], resumed.output
    assert 'resumed from' in resumed.output
    recipe.assert_same_end(resumed)


def test_resuming_opens_only_what_is_left(recipe):
    """Mid-epoch, and past a torn newest checkpoint: no sample that was seen is opened again."""
    run = recipe.start('position', fault='0 4 step 0')
    run.wait()
    *_, before, newest = sorted(run.log.parent.glob('epoch_0_iter_*.pth'))
    newest.write_bytes(newest.read_bytes()[:-1000])
    done = int(before.stem[-1])
    resumed = recipe.start('position')
    assert resumed.wait() == [0], resumed.output
    assert 'passed by: cannot read checkpoint' in resumed.output
    assert f'{before.name}: epoch 0, batch {done} of 4' in resumed.output
    whole, opened = recipe.undisturbed().rows, resumed.rows
    assert len(whole) == EPOCHS * CLIPS
    assert len(opened) == EPOCHS * CLIPS - done * GLOBAL_BATCH
    per_epoch = Counter(range(CLIPS))
    assert Counter(whole[:CLIPS]) == Counter(whole[CLIPS:]) == per_epoch
    assert sum((per_epoch + per_epoch - Counter(opened)).values()) == done * GLOBAL_BATCH
    assert Counter(opened[-CLIPS:]) == per_epoch
    recipe.assert_same_end(resumed)


@pytest.mark.alone
@pytest.mark.parametrize(
    ('layout', 'name'),
    [('one process', 'SIGTERM'), *((layout, 'SIGUSR1') for layout in LAYOUTS)],
)
def test_signal_to_everyone_saves_within_ten_seconds(recipe, layout, name):
    """As srun and torchrun deliver it: to every process of the job, loader workers included."""
    run = recipe.start(f'{name} {layout}', layout)
    run.wait_for('Epoch(train) [1][2/4]')
    start = time.monotonic()
    for process in run.processes:
        os.killpg(process.pid, getattr(signal, name))
    codes = run.wait()
    assert time.monotonic() - start < 10
    assert set(codes) == {128 + getattr(signal, name)}, run.output
    assert 'go on with --resume auto' in run.output
    resumed = recipe.start(f'{name} {layout}', layout)
    assert set(resumed.wait()) == {0}, resumed.output
    recipe.assert_same_end(resumed, layout)


def test_processes_draw_differently(recipe):
    """Weights start alike; what is drawn on the device differs from rank to rank."""
    states = final_state(recipe.undisturbed('DDP').log.parent, EPOCHS)['random_states']
    assert len(states) == 2
    assert states[0]['python'] != states[1]['python']
    assert not states[0]['torch'].equal(states[1]['torch'])
    assert not states[0]['numpy'][1].equal(states[1]['numpy'][1])
