"""Subtitle files: SubRip (``.srt``) and WebVTT (``.vtt``)."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from .atomic import atomic_write

SUBTITLE_SUFFIXES = ('.srt', '.vtt')


class Cue(NamedTuple):
    """A text and the seconds between which it is shown."""

    start: float
    end: float
    text: str


def write_subtitles(path: str | os.PathLike, cues: Iterable[Cue]) -> None:
    """Write cues in the format that the suffix names.

    Raises:
        ValueError: the suffix is neither ``.srt`` nor ``.vtt``.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in SUBTITLE_SUFFIXES:
        raise ValueError(f'{path}: subtitles end in {" or ".join(SUBTITLE_SUFFIXES)}')
    blocks = [_block(number, cue, suffix) for number, cue in enumerate(cues, start=1)]
    head = ['WEBVTT'] if suffix == '.vtt' else []
    atomic_write(path, '\n\n'.join([*head, *blocks]) + '\n')


def _block(number: int, cue: Cue, suffix: str) -> str:
    # A blank line would end the cue, and an arrow begin another.
    lines = [line for line in cue.text.replace('-->', '->').splitlines() if line.strip()]
    if suffix == '.vtt':
        lines = [line.replace('&', '&amp;').replace('<', '&lt;') for line in lines]
    mark = ',' if suffix == '.srt' else '.'
    start = round(1000 * cue.start)
    # Players leave out what is shown for no time.
    end = max(round(1000 * cue.end), start + 1)
    return '\n'.join([str(number), f'{_clock(start, mark)} --> {_clock(end, mark)}', *lines])


def _clock(milliseconds: int, mark: str) -> str:
    seconds, rest = divmod(milliseconds, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f'{hours:02}:{minutes:02}:{seconds:02}{mark}{rest:03}'
