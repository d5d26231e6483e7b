"""Decoding in a process of its own: results, deadlines, sudden ends, and nothing left behind."""

import os
import resource
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from torch.utils.data import DataLoader, Dataset

from internvideo.datasets.media import decoder_process
from internvideo.datasets.media.decoder_process import iterate_guarded, run_guarded
from internvideo.datasets.media.errors import MediaError
from tests.paths import ROOT

from .fake_decoding import NAME

PATIENCE, SHORT = 60.0, 0.5
PARENT = f"""
import sys, time
from internvideo.datasets.media.decoder_process import run_guarded
print(run_guarded('{NAME}:process', 'a.mp4', deadline=60.0), flush=True)
if sys.argv[1] == 'busy':
    run_guarded('{NAME}:sleep', 'a.mp4', deadline=600.0)
time.sleep(600)
"""


def guarded(function: str, path: str = '7.mp4', *args, deadline: float | None = PATIENCE):
    return run_guarded(f'{NAME}:{function}', path, *args, deadline=deadline)


@pytest.mark.parametrize('shape', [(0,), (3,), (8, 90, 160, 3)])
@pytest.mark.parametrize('deadline', [None, PATIENCE])
def test_arrays_of_all_sizes_come_back(shape, deadline) -> None:
    found = guarded('level', '7.mp4', shape, deadline=deadline)
    np.testing.assert_array_equal(found, np.full(shape, 7, np.uint8))


def test_without_a_deadline_nothing_is_started() -> None:
    assert guarded('process', deadline=None) == os.getpid()
    assert guarded('process') != os.getpid()


def test_one_process_serves_call_after_call() -> None:
    assert guarded('process') == guarded('process')


@pytest.mark.parametrize('function', ['spin', 'sleep'])
def test_a_deadline_ends_what_does_not_come_back(function) -> None:
    before = guarded('process')
    with pytest.raises(MediaError, match=r'^long/7\.mp4: decoding took longer than 0\.5 s'):
        guarded(function, 'long/7.mp4', deadline=SHORT)
    assert guarded('process') != before


@pytest.mark.parametrize('ending', [signal.SIGSEGV, signal.SIGABRT, signal.SIGKILL])
def test_a_decoder_that_ends_its_process_costs_one_call(ending) -> None:
    with pytest.raises(MediaError, match=rf'^7\.mp4: the decoder ended .*{ending.name}'):
        guarded('end_itself', '7.mp4', int(ending))
    assert guarded('level', '8.mp4', (1,)).tolist() == [8]


def test_a_decoder_that_leaves_is_named() -> None:
    with pytest.raises(MediaError, match=r'^7\.mp4: .* status 3'):
        guarded('leave')


def test_errors_keep_their_kind() -> None:
    with pytest.raises(IndexError, match=r'7\.mp4: no such frame'):
        guarded('fail')
    with pytest.raises(AttributeError, match='nowhere'):
        guarded('nowhere')


def test_items_come_one_by_one() -> None:
    items = iterate_guarded(f'{NAME}:levels', 'a.mp4', 5, deadline=PATIENCE)
    assert [item.tolist() for item in items] == [[number] * 4 for number in range(5)]


def test_items_that_nobody_wants_are_not_made() -> None:
    before = guarded('process')
    items = iterate_guarded(f'{NAME}:levels', 'a.mp4', 10**9, deadline=PATIENCE)
    assert [next(items)[0], next(items)[0]] == [0, 1]
    items.close()
    assert guarded('process') == before


def test_an_end_between_items_is_named() -> None:
    items = iterate_guarded(f'{NAME}:levels', 'a.mp4', 5, 2, deadline=PATIENCE)
    seen = []
    with pytest.raises(MediaError, match=r'^a\.mp4: the decoder ended'):
        seen += [int(item[0]) for item in items]
    assert guarded('level', '3.mp4', (1,)).tolist() == [3]


def outcome(path: str) -> int | str:
    """Level of a file, or the reason why there is none."""
    try:
        return guarded('read', path, deadline=2.0)
    except MediaError as error:
        return str(error)


PATHS = ['0.mp4', 'end.mp4', '2.mp4', 'spin.mp4', '4.mp4', '5.mp4']


def check_outcomes(found: list) -> None:
    assert [found[i] for i in (0, 2, 4, 5)] == [0, 2, 4, 5]
    assert found[1].startswith('end.mp4: the decoder ended its process')
    assert found[3].startswith('spin.mp4: decoding took longer than 2 s')


def test_threads_do_not_disturb_each_other() -> None:
    with ThreadPoolExecutor(3) as pool:
        check_outcomes(list(pool.map(outcome, PATHS)))


class Files(Dataset):
    """Outcomes of PATHS."""

    def __len__(self) -> int:
        return len(PATHS)

    def __getitem__(self, index: int) -> int | str:
        return outcome(PATHS[index])


@pytest.mark.parametrize('start', ['fork', pytest.param('spawn', marks=pytest.mark.slow)])
def test_loader_workers_live_on(start) -> None:
    # One in the parent first: a forked worker must not share it.
    assert outcome('9.mp4') == 9
    loader = DataLoader(
        Files(), None, num_workers=2, multiprocessing_context=start, persistent_workers=False
    )
    check_outcomes(list(loader))
    assert outcome('9.mp4') == 9


@pytest.mark.skipif(not Path('/proc/self/stat').exists(), reason='asks the system about processes')
@pytest.mark.parametrize('state', ['idle', 'busy'])
@pytest.mark.parametrize('ending', [signal.SIGKILL, signal.SIGTERM])
def test_nothing_is_left_of_a_parent_that_was_killed(state, ending) -> None:
    parent = subprocess.Popen(
        [sys.executable, '-c', PARENT, state],
        stdout=subprocess.PIPE,
        text=True,
        env=dict(os.environ, PYTHONPATH=str(ROOT)),
    )
    child = int(parent.stdout.readline())
    assert is_running(child)
    parent.send_signal(ending)
    parent.wait()
    for _ in range(100):
        if not is_running(child):
            return
        time.sleep(0.1)
    os.kill(child, signal.SIGKILL)
    pytest.fail('the decoder process outlived its parent')


def is_running(process: int) -> bool:
    """Tell whether a process is there, and no mere entry of one that has ended."""
    try:
        status = Path(f'/proc/{process}/stat').read_text()
    except FileNotFoundError:
        return False
    return status.rpartition(')')[2].split()[0] != 'Z'


def test_memory_is_shared_without_nameless_files_too(monkeypatch) -> None:
    monkeypatch.delattr(os, 'memfd_create', raising=False)
    descriptor = decoder_process._shared_file(1 << 17)
    try:
        assert os.fstat(descriptor).st_size == 1 << 17
    finally:
        os.close(descriptor)


@pytest.mark.skipif(
    not Path('/proc/self/fd').is_dir(), reason='counts open files as Linux has them'
)
def test_memory_that_is_not_sent_is_given_back() -> None:
    before = guarded('open_descriptors')
    assert all((guarded('waste') == 5).all() for _ in range(5))
    assert guarded('open_descriptors') == before


def test_results_that_are_kept_do_not_use_up_the_files_of_a_process() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(160, before[1]), before[1]))
    try:
        kept = [guarded('level', '7.mp4', (1 << 17,)) for _ in range(200)]
        assert all(array[0] == 7 and array.flags.writeable for array in kept)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
