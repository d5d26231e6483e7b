"""Facts of mp4 and QuickTime files that PyAV does not give: display matrices, pauses of edits."""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from .orientation import UPRIGHT, Orientation, from_matrix

TRACK_PATH = (b'moov', b'trak', b'tkhd')
EDITS_PATH = (b'moov', b'trak', b'edts', b'elst')
EMPTY_EDIT = {0: b'\xff' * 4, 1: b'\xff' * 8}
HEADER = 8
MAX_EDIT_BYTES = 1 << 16
MAX_BOXES = 10_000
"""Boxes that are looked at: more are no video that anyone made."""


def track_orientations(path: str | Path) -> dict[int, Orientation]:
    """Orientation of each track by its number, without those that cannot be read."""
    with Path(path).open('rb') as file:
        size = file.seek(0, 2)
        found = [_track(file, start) for start, _ in _boxes(file, 0, size, TRACK_PATH)]
    return dict(filter(None, found))


def has_pause(path: str | Path) -> bool:
    """Whether an edit list shows nothing for a while between two parts of a track."""
    with Path(path).open('rb') as file:
        size = file.seek(0, 2)
        spans = list(_boxes(file, 0, size, EDITS_PATH))
        return any(_has_pause(file, start, stop) for start, stop in spans)


def _has_pause(file: BinaryIO, start: int, stop: int) -> bool:
    file.seek(start)
    data = file.read(min(stop - start, MAX_EDIT_BYTES))
    # A row: how long, from where (-1 for nothing), how fast; version 1 has wider fields.
    wide = data[:1] == b'\1'
    length, field = (20, 8) if wide else (12, 4)
    rows = [data[i : i + length] for i in range(8, len(data) - length + 1, length)]
    empty = [row[field : 2 * field] == EMPTY_EDIT[wide] for row in rows]
    return any(empty[empty.index(False) : -1]) if False in empty else False


def _boxes(
    file: BinaryIO, start: int, end: int, path: tuple[bytes, ...]
) -> Iterator[tuple[int, int]]:
    """(start, end) of the contents of all boxes that a path of names leads to."""
    for _ in range(MAX_BOXES):
        if start + HEADER > end:
            return
        file.seek(start)
        size, name = struct.unpack('>I4s', file.read(HEADER))
        content = start + HEADER
        if size == 1:
            size = int.from_bytes(file.read(8), 'big')
            content += 8
        # 0 stands for "to the end of the file".
        stop = end if size == 0 else start + size
        if stop <= start or stop > end:
            return
        if name == path[0]:
            if len(path) == 1:
                yield content, stop
            else:
                yield from _boxes(file, content, stop, path[1:])
        start = stop


def _track(file: BinaryIO, start: int) -> tuple[int, Orientation] | None:
    """Number and orientation of a track header."""
    file.seek(start)
    data = file.read(100)
    if len(data) < 92:
        return None
    # Version 1 has three fields of eight bytes in the place of four.
    wide = 12 if data[0] == 1 else 0
    number = struct.unpack_from('>I', data, 20 if wide else 12)[0]
    matrix = struct.unpack_from('>9i', data, 40 + wide)
    return number, UPRIGHT if not any(matrix) else from_matrix(matrix)
