from pathlib import Path

import pytest

from internvideo.fileio.subtitles import Cue, write_subtitles

CUES = [Cue(0, 1.5, 'a <b> & c\n\nd'), Cue(3661.0625, 3661.0625, 'x --> y')]


def test_subrip(tmp_path: Path) -> None:
    write_subtitles(tmp_path / 'x.srt', CUES)
    assert (tmp_path / 'x.srt').read_text() == (
        '1\n00:00:00,000 --> 00:00:01,500\na <b> & c\nd\n\n'
        '2\n01:01:01,062 --> 01:01:01,063\nx -> y\n'
    )


def test_webvtt(tmp_path: Path) -> None:
    write_subtitles(tmp_path / 'x.vtt', CUES[:1])
    assert (tmp_path / 'x.vtt').read_text() == (
        'WEBVTT\n\n1\n00:00:00.000 --> 00:00:01.500\na &lt;b> &amp; c\nd\n'
    )


def test_other_suffixes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r'x\.txt: subtitles end in'):
        write_subtitles(tmp_path / 'x.txt', CUES)
