"""Sizes that containers state of themselves: a file that is smaller was cut off."""

import struct
from pathlib import Path
from typing import BinaryIO

EBML, SEGMENT = b'\x1a\x45\xdf\xa3', b'\x18\x53\x80\x67'
UNKNOWN_RIFF = 0xFFFFFFFF
ASF_FILE = bytes.fromhex('a1dcab8c47a9cf118ee400c00c205365')
"""Name of the object that tells of the whole file."""
ASF_SIZE, ASF_FLAGS, ASF_LIVE = 40, 88, 1
MAX_BOXES = 1_000_000


def stated_size(path: str | Path, container: str) -> int | None:
    """Bytes that a file should have at least, None where the container does not say.

    Args:
        path: the file.
        container: FFmpeg's name of its format.
    """
    readers = dict(mov=_mp4, avi=_riff, wav=_riff, matroska=_matroska, asf=_asf)
    read = readers.get(container.split(',')[0])
    if read is None:
        return None
    with Path(path).open('rb') as file:
        try:
            return read(file)
        except (struct.error, IndexError):
            return None


def _mp4(file: BinaryIO) -> int | None:
    """End of the last box."""
    end = file.seek(0, 2)
    start = 0
    for _ in range(MAX_BOXES):
        file.seek(start)
        header = file.read(16)
        # Rests of a few bytes are padding; a box that says 0 goes to the end, wherever it is.
        if len(header) < 8:
            return start
        size, name = struct.unpack_from('>I4s', header)
        if not name.isascii():
            return start
        if size == 1:
            size = struct.unpack_from('>Q', header, 8)[0]
        if size < 8:
            return end if size == 0 else start
        start += size
        if start >= end:
            return start
    return None


def _riff(file: BinaryIO) -> int | None:
    """End of the first RIFF chunk, of which long AVI files have more."""
    name, size = struct.unpack('<4sI', file.read(8))
    # What was streamed says 0 or the largest number, since its length was not known.
    return None if name != b'RIFF' or size in (0, UNKNOWN_RIFF) else size + 8


def _matroska(file: BinaryIO) -> int | None:
    """End of the segment."""
    head = file.read(4096)
    position = 0
    for expected in (EBML, SEGMENT):
        if head[position : position + 4] != expected:
            return None
        size, length = _ebml_number(head, position + 4)
        position += 4 + length
        if expected == EBML:
            position += size or 0
    return None if size is None else position + size


def _asf(file: BinaryIO) -> int | None:
    """Size in the file properties, which live streams do not know."""
    head = file.read(1 << 16)
    start = head.find(ASF_FILE)
    if start < 0 or struct.unpack_from('<I', head, start + ASF_FLAGS)[0] & ASF_LIVE:
        return None
    return struct.unpack_from('<Q', head, start + ASF_SIZE)[0] or None


def _ebml_number(data: bytes, start: int) -> tuple[int | None, int]:
    """A size, None for the "unknown" of what was streamed, and how many bytes it takes."""
    length = 9 - data[start].bit_length()
    value = int.from_bytes(data[start : start + length], 'big') & ((1 << 7 * length) - 1)
    return (None if value == (1 << 7 * length) - 1 else value), length
