import errno
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from internvideo.fileio.atomic import (
    PendingFile,
    atomic_path,
    atomic_write,
    is_temporary,
    remove_temporary_files,
)
from internvideo.fileio.json_files import append_json_line, write_json

KILLED = """
import os, signal, sys
from internvideo.fileio.atomic import atomic_write

def half(file):
    file.write(b'half')
    file.flush()
    os.kill(os.getpid(), signal.SIGKILL)

atomic_write(sys.argv[1], half)
"""


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize('content', ['Ä\n', 'Ä\n'.encode(), lambda file: file.write(b'\xc3\x84\n')])
def test_text_bytes_and_streams_end_up_whole(tmp_path, content):
    target = tmp_path / 'new' / 'x.txt'
    atomic_write(target, content)
    assert target.read_text('utf-8') == 'Ä\n' and names(target.parent) == ['x.txt']


@pytest.mark.parametrize('failing', ['content', 'fsync', 'replace'])
def test_an_error_leaves_what_stood_there(tmp_path, monkeypatch, failing):
    def full(*_):
        raise OSError(errno.ENOSPC, 'No space left on device')

    target = tmp_path / 'x.txt'
    target.write_text('old')
    if failing != 'content':
        monkeypatch.setattr(os if failing == 'fsync' else Path, failing, full)
    with pytest.raises(OSError, match='No space left'):
        atomic_write(target, full if failing == 'content' else 'new')
    assert target.read_text() == 'old' and names(tmp_path) == ['x.txt']


def test_a_killed_writer_leaves_what_stood_there_and_its_leftover_can_be_told(tmp_path):
    target = tmp_path / 'x.txt'
    target.write_text('old')
    done = subprocess.run([sys.executable, '-c', KILLED, target], check=False)
    assert done.returncode == -9 and target.read_text() == 'old'
    (leftover,) = (path for path in tmp_path.iterdir() if path != target)
    assert is_temporary(leftover) and not is_temporary(target)
    remove_temporary_files(tmp_path)
    assert names(tmp_path) == ['x.txt']


def test_two_writers_of_one_target_never_mix(tmp_path):
    first, second = PendingFile(tmp_path / 'x'), PendingFile(tmp_path / 'x')
    first.path.write_text('first')
    second.path.write_text('second')
    first.commit()
    assert (tmp_path / 'x').read_text() == 'first'
    second.commit()
    assert (tmp_path / 'x').read_text() == 'second' and names(tmp_path) == ['x']


def test_a_single_writer_overwrites_what_a_killed_one_left(tmp_path):
    with pytest.raises(RuntimeError), atomic_path(tmp_path / 'x', single_writer=True) as path:
        path.mkdir()
        raise RuntimeError
    for _ in range(2):
        pending = PendingFile(tmp_path / 'x', single_writer=True)
        pending.path.mkdir(exist_ok=True)  # as a killed writer leaves it
        (pending.path / 'old').touch()
    with atomic_path(tmp_path / 'x', single_writer=True) as path:
        path.mkdir()
        (path / 'new').touch()
    assert names(tmp_path) == ['x'] and names(tmp_path / 'x') == ['new']


@pytest.mark.parametrize('umask', [0o022, 0o077])
def test_permissions_follow_the_umask(tmp_path, umask):
    before = os.umask(umask)
    try:
        atomic_write(tmp_path / 'x', 'text')
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / 'x').stat().st_mode) == 0o666 & ~umask


def test_links_stay_and_pipes_are_written_to(tmp_path):
    (tmp_path / 'real').write_text('old')
    (tmp_path / 'link').symlink_to('real')
    atomic_write(tmp_path / 'link', 'new')
    assert (tmp_path / 'link').is_symlink() and (tmp_path / 'real').read_text() == 'new'
    command = 'from internvideo.fileio.json_files import write_json; write_json("/dev/stdout", [1])'
    done = subprocess.run([sys.executable, '-c', command], capture_output=True, check=True)
    assert done.stdout == b'[\n  1\n]\n'


def test_json_is_written_whole_and_appended_by_lines(tmp_path):
    write_json(tmp_path / 'x.json', {'a': 'Ä'}, indent=None, ensure_ascii=False)
    assert (tmp_path / 'x.json').read_text('utf-8') == '{"a": "Ä"}\n'
    for number in range(2):
        append_json_line(tmp_path / 'new' / 'x.jsonl', dict(number=number))
    assert (tmp_path / 'new' / 'x.jsonl').read_text() == '{"number": 0}\n{"number": 1}\n'
