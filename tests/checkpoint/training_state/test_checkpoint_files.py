import errno
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from internvideo.checkpoint.training_state.checkpoint_files import (
    CheckpointError,
    as_plain,
    checkpoint_name,
    read_checkpoint,
    read_training_state,
    resume_candidates,
    write_checkpoint,
    write_pointer,
)
from internvideo.fileio.atomic import remove_temporary_files

STATE = dict(meta={}, optimizer={}, random_states=[], state_dict=dict(w=torch.arange(4.0)))


def test_plain_data_survives_a_safe_load(tmp_path):
    value = dict(a=np.float32(1.5), b=(np.arange(3), {Path('x')}), c=[None, True, 'text'])
    torch.save(as_plain(value), tmp_path / 'x.pth')
    loaded = torch.load(tmp_path / 'x.pth', weights_only=True)
    assert loaded['a'] == 1.5
    assert loaded['b'][0].tolist() == [0, 1, 2]
    assert loaded['b'][1] == ('x',)
    assert loaded['c'] == [None, True, 'text']


@pytest.mark.parametrize('failing', ['fsync', 'replace'])
def test_full_disk_leaves_the_old_file(tmp_path, monkeypatch, failing):
    path = tmp_path / 'epoch_1.pth'
    write_checkpoint(STATE, path)
    before = path.read_bytes()

    def full(*_):
        raise OSError(errno.ENOSPC, 'No space left on device')

    monkeypatch.setattr(*((os, 'fsync') if failing == 'fsync' else (Path, 'replace')), full)
    with pytest.raises(CheckpointError, match=r'epoch_1.pth: .*No space left'):
        write_checkpoint(dict(STATE, more=1), path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ['epoch_1.pth']


def test_leftovers_of_a_killed_writer_go(tmp_path):
    (tmp_path / '.writing-epoch_2.pth').write_bytes(b'half')
    remove_temporary_files(tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('damage', ['cut', 'flip', 'text', 'gone'])
def test_damaged_checkpoint_is_named(tmp_path, damage):
    path = tmp_path / 'epoch_3.pth'
    write_checkpoint(STATE, path)
    whole = path.read_bytes()
    at = whole.index(torch.arange(4.0).numpy().tobytes())
    flipped = whole[:at] + b'\x01' + whole[at + 1 :]
    contents = dict(cut=whole[: len(whole) // 2], flip=flipped, text=b'hello')
    path.unlink() if damage == 'gone' else path.write_bytes(contents[damage])
    with pytest.raises(CheckpointError, match=r'epoch_3\.pth'):
        read_training_state(path)


def test_checkpoint_with_code_is_refused(tmp_path):
    torch.save(dict(state_dict=print), tmp_path / 'evil.pth')
    with pytest.raises(CheckpointError, match=r'evil\.pth'):
        read_checkpoint(tmp_path / 'evil.pth')


def touch(directory, name, time):
    (directory / name).write_bytes(b'')
    os.utime(directory / name, (time, time))
    return directory / name


def test_resume_order(tmp_path):
    """The pointer, then earlier ones; newer than the pointer first; another run's never."""
    pointed = touch(tmp_path, checkpoint_name(2), 100)
    touch(tmp_path, checkpoint_name(1), 90)
    touch(tmp_path, checkpoint_name(1, 15), 95)
    touch(tmp_path, checkpoint_name(2, 25), 110)
    touch(tmp_path, checkpoint_name(9), 50)
    touch(tmp_path, 'best_top1_epoch_1.pth', 90)
    write_pointer(tmp_path, Path('/moved/since') / pointed.name)
    names = [path.name for path in resume_candidates(tmp_path)]
    assert names == ['epoch_2_iter_25.pth', 'epoch_2.pth', 'epoch_1_iter_15.pth', 'epoch_1.pth']
