"""Killed by SIGKILL anywhere, a run of the real pipeline ends bitwise like one left alone."""

import os
import shutil
import signal
import subprocess
import time
from collections import Counter

import pytest

from tests.engine.crash_lab import CLIPS, EPOCHS, GLOBAL_BATCH, STEPS, Run, make_lab
from tests.engine.toys import assert_equal_states, final_state

pytestmark = pytest.mark.slow

LAYOUTS = {
    'one process': (1, ()),
    'DDP': (2, ('+strategy.type=DDP',)),
}


class Lab:
    """Starts runs of one config and keeps one undisturbed run of each layout to compare with."""

    def __init__(self, folder):
        self.config, self.folder = make_lab(folder), folder
        self.whole = {}

    def start(self, name, layout='one process', *options, fault=None):
        processes, strategy = LAYOUTS[layout]
        work_dir = self.folder / name.replace(' ', '_')
        return Run(
            self.config, work_dir, *strategy, *options, processes=processes, fault=fault
        )

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
def lab(tmp_path_factory):
    before = os.environ.get('INTERNVIDEO2_DATA_PATH')
    yield Lab(tmp_path_factory.mktemp('lab'))
    os.environ.pop('INTERNVIDEO2_DATA_PATH')
    if before is not None:
        os.environ['INTERNVIDEO2_DATA_PATH'] = before


@pytest.mark.parametrize('layout', LAYOUTS)
def test_killed_after_every_step(lab, layout):
    """Each start gets one step further, as on a cluster that preempts all the time."""
    for step in range(1, STEPS + 1):
        victim = 0 if layout == 'one process' else step % 2
        run = lab.start(f'steps {layout}', layout, fault=f'{victim} {step} step 0')
        assert -signal.SIGKILL in run.wait(), run.output
    run = lab.start(f'steps {layout}', layout)
    assert set(run.wait()) == {0}, run.output
    assert f'epoch {EPOCHS - 1}, batch {STEPS // EPOCHS - 1}' in run.output
    lab.assert_same_end(run, layout)
