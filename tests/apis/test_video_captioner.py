"""Captions of files by a tiny model: what is read, what cannot be, and bad input."""

import json

import pytest
from mmengine.config import Config

from internvideo.apis import VideoCaptioner
from internvideo.cli.caption import command
from tests.apis.tiny_retrieval import write_videos
from tests.paths import CONFIGS

TINY = CONFIGS / 'internvideo1/multimodal/tiny_synthetic.py'


@pytest.fixture(scope='module')
def videos(tmp_path_factory):
    folder = tmp_path_factory.mktemp('videos')
    write_videos(folder, 3)
    (folder / 'broken.mp4').write_bytes(b'not a video')
    return folder


def make(config=TINY, **fields):
    return VideoCaptioner(config, None, 'cpu', random_weights=True, workers=0, **fields)


def test_every_readable_video_gets_one_caption_whatever_the_batch(videos):
    found = {c.path: c for c in make(batch_size=2, max_length=5)(videos)}
    assert len(found) == 4
    alone = {c.path: c for c in make(batch_size=1, max_length=5)(videos)}
    assert found == alone
    (broken,) = (c for c in found.values() if c.caption is None)
    assert broken.path.endswith('broken.mp4') and broken.error


def test_command_prints_a_line_for_each_and_fails_for_the_broken(videos, capsys):
    arguments = [str(TINY), str(videos), '--random-weights', '--workers', '0', '--max-length', '4']
    with pytest.raises(SystemExit, match='1'):
        command([*arguments, '--device', 'cpu', '--json'])
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(lines) == 4 and {line['error'] is None for line in lines} == {True, False}


def test_a_model_without_decoder_is_refused():
    config = Config.fromfile(TINY)
    config.model.caption_decoder = None
    with pytest.raises(ValueError, match='no caption_decoder'):
        make(config)


def test_too_long_captions_are_refused(videos):
    with pytest.raises(ValueError, match='max_length=99 is more than context_length=32'):
        list(make(max_length=99)(videos))
