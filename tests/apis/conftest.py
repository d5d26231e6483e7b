"""Shared by the tests of the apis: a tiny model with weights, and a folder of videos."""

from pathlib import Path

import pytest

from tests.apis.tiny import moving_frames, write_checkpoint, write_config, write_video


@pytest.fixture(scope='session')
def tiny(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Config and checkpoint of a tiny recognizer."""
    folder = tmp_path_factory.mktemp('tiny')
    config = write_config(folder)
    return config, write_checkpoint(config, folder / 'tiny.pth')


@pytest.fixture(scope='session')
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three videos, 30 frames at 10 fps each, and one that is none."""
    folder = tmp_path_factory.mktemp('videos')
    for index in range(3):
        write_video(folder / 'sub' / f'{index}.mp4', moving_frames(30, seed=index))
    (folder / 'sub' / 'broken.mp4').write_bytes(b'not a video')
    return folder
