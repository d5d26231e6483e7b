"""Facts of Matroska and WebM files that PyAV does not give: how tracks are turned, what is broken.

Source: the Matroska specification (RFC 9559), sections 5.1.4.1.28 and 4.
"""

import struct
from collections.abc import Iterator
from pathlib import Path

from .orientation import UPRIGHT, Orientation

SEGMENT, TRACKS, ENTRY, TYPE = 0x18538067, 0x1654AE6B, 0xAE, 0x83
STREAMS = (1, 2, 17, 33)
"""Types of tracks of which FFmpeg makes streams: video, audio, subtitles, metadata."""
VIDEO, PROJECTION, KIND, YAW, PITCH, ROLL = 0xE0, 0x7670, 0x7671, 0x7673, 0x7674, 0x7675
CLUSTER = 0x1F43B675
ELEMENT_BYTES = 12
GROUP, BLOCKS, NUMBER = 0xA0, (0xA3, 0xA1), 0xD7
KNOWN = frozenset(
    [
        *(0x1A45DFA3, SEGMENT, 0x114D9B74, 0x1549A966, TRACKS, 0x1254C367, 0x1941A469, 0x1043A770),
        *(0x1C53BB6B, CLUSTER, 0xE7, 0x5854, 0xA7, 0xAB, *BLOCKS, GROUP, 0xAF, 0xEC, 0xBF),
        *(0x9B, 0xFA, 0xFB, 0xFD, 0xA4, 0x75A1, 0x75A2, 0x8E),
    ]
)
"""Elements of a file, of the segment, of clusters and of block groups."""
HEAD_BYTES = 1 << 20
"""Tracks are described near the beginning, ahead of all media."""

Element = tuple[int, int, int]


def track_orientations(path: str | Path) -> dict[int, Orientation]:
    """Orientation of each stream that states one, by its index."""
    with Path(path).open('rb') as file:
        data = file.read(HEAD_BYTES)
    entries = _inside(data, (0, len(data)), SEGMENT, TRACKS, ENTRY)
    streams = [entry for entry in entries if _whole_number(data, entry, TYPE) in STREAMS]
    projections = [_inside(data, entry, VIDEO, PROJECTION) for entry in streams]
    return {index: _turned(data, each[0]) for index, each in enumerate(projections) if each}


def _whole_number(data: bytes, span: tuple[int, int], name: int) -> int:
    found = _inside(data, span, name)
    return int.from_bytes(data[slice(*found[0])], 'big') if found else 0


def _turned(data: bytes, projection: tuple[int, int]) -> Orientation:
    """Orientation of a flat picture: roll turns against the clock, a yaw of 180 mirrors."""
    if _whole_number(data, projection, KIND):
        return UPRIGHT  # a sphere: which side is up depends on where one looks
    yaw, pitch, roll = (_angle(data, projection, name) for name in (YAW, PITCH, ROLL))
    if pitch or abs(yaw) not in (0, 180) or roll % 90:
        return Orientation(odd=True)
    return Orientation(mirrored=bool(yaw), quarter_turns=int(roll // 90) % 4)


def _angle(data: bytes, span: tuple[int, int], name: int) -> float:
    found = _inside(data, span, name)
    content = data[slice(*found[0])] if found else b''
    form = {4: '>f', 8: '>d'}.get(len(content))
    return struct.unpack(form, content)[0] if form else 0.0


def _inside(data: bytes, span: tuple[int, int], *names: int) -> list[tuple[int, int]]:
    """Spans of the contents of all elements that a path of names leads to."""
    spans = [span]
    for name in names:
        spans = [
            (start, end)
            for outer in spans
            for found, start, end in _elements(data, *outer)
            if found == name
        ]
    return spans


def _elements(data: bytes, start: int, end: int) -> Iterator[Element]:
    """Name, start and end of the content of each element, up to the first cluster."""
    while start < end:
        length = 9 - data[start].bit_length()
        name = int.from_bytes(data[start : start + length], 'big')
        start += length
        if name == CLUSTER or length > 4 or start >= end:
            return
        length = 9 - data[start].bit_length()
        size = int.from_bytes(data[start : start + length], 'big') & ((1 << 7 * length) - 1)
        is_unknown = size == (1 << 7 * length) - 1
        start += length
        stop = end if is_unknown else min(start + size, end)
        yield name, start, stop
        start = stop


def is_intact(path: str | Path) -> bool:
    """Whether elements follow each other without a gap, and every block belongs to a track."""
    size = Path(path).stat().st_size
    with Path(path).open('rb') as file:
        data = file.read(HEAD_BYTES)
        entries = _inside(data, (0, len(data)), SEGMENT, TRACKS, ENTRY)
        tracks = {_whole_number(data, entry, NUMBER) for entry in entries}
        start = 0
        while start < size:
            file.seek(start)
            head = file.read(ELEMENT_BYTES)
            element = _element(head)
            if element is None:
                return False
            name, length, content = element
            # Numbers of up to 126 tracks take one byte, whose first bit is set.
            if name in BLOCKS and length < len(head) and head[length] - 128 not in tracks:
                return False
            # Into the segment, its clusters and groups, past everything else.
            start += length if name in (SEGMENT, CLUSTER, GROUP) else length + content
    return True


def _element(data: bytes) -> tuple[int, int, int] | None:
    """Name, bytes of the header and of the content of an element, or None if it is none."""
    name_length = 9 - data[0].bit_length()
    if name_length > 4 or len(data) <= name_length:
        return None
    name = int.from_bytes(data[:name_length], 'big')
    length = 9 - data[name_length].bit_length()
    if length > 8 or name not in KNOWN:
        return None
    size = int.from_bytes(data[name_length : name_length + length], 'big')
    return name, name_length + length, size & ((1 << 7 * length) - 1)
