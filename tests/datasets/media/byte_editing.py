"""Bytes of media files changed in place: boxes, headers, damage, and what lies around."""

import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

from .packet_editing import read_packets


def boxes(data: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Name, start and end of each mp4 box between two bytes."""
    while start < end:
        size, name = struct.unpack_from('>I4s', data, start)
        yield name, start, start + size
        start += size


def find_box(data: bytes, *names: str) -> tuple[int, int]:
    """Start and end of the first mp4 box of a path such as ``'moov', 'trak', 'tkhd'``."""
    start, end = -8, len(data)
    for name in names:
        inside = boxes(data, start + 8, end)
        start, end = next((s, e) for found, s, e in inside if found == name.encode())
    return start, end


def set_matrix(path: Path, matrix: Sequence[float]) -> None:
    """Write the display matrix ``a, b, c, d`` of the first track of an mp4 file."""
    data = bytearray(path.read_bytes())
    start, _ = find_box(data, 'moov', 'trak', 'tkhd')
    a, b, c, d = (round(value * 65536) for value in matrix)
    struct.pack_into('>9i', data, start + 48, a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)


def set_edits(path: Path, edits: Sequence[tuple[float, float | None]]) -> None:
    """Replace the edit list of the first track of an mp4 file whose ``moov`` box comes last.

    Args:
        path: the file; its movie clock ticks in milliseconds, as PyAV writes it.
        edits: seconds that each edit lasts, and second of the track at which it begins; None for
            an empty edit.
    """
    data = path.read_bytes()
    header, _ = find_box(data, 'moov', 'trak', 'mdia', 'mdhd')
    (scale,) = struct.unpack_from('>I', data, header + 20)
    rows = b''.join(
        struct.pack('>Iii', round(1000 * long), -1 if at is None else round(scale * at), 1 << 16)
        for long, at in edits
    )
    table = struct.pack('>I4sII', 16 + len(rows), b'elst', 0, len(edits)) + rows
    box = struct.pack('>I4s', 8 + len(table), b'edts') + table
    track = find_box(data, 'moov', 'trak')
    old = [(s, e) for name, s, e in boxes(data, track[0] + 8, track[1]) if name == b'edts']
    start, end = old[0] if old else (find_box(data, 'moov', 'trak', 'mdia')[0],) * 2
    changed = bytearray(data[:start] + box + data[end:])
    for place in (find_box(data, 'moov')[0], track[0]):
        (size,) = struct.unpack_from('>I', data, place)
        struct.pack_into('>I', changed, place, size + len(box) - (end - start))
    path.write_bytes(changed)


def patch(path: Path, mark: bytes, offset: int, value: bytes) -> None:
    """Overwrite bytes at an offset from the first place of ``mark``."""
    data = bytearray(path.read_bytes())
    start = data.index(mark) + offset
    data[start : start + len(value)] = value
    path.write_bytes(data)


def set_mp4_duration(path: Path, value: float) -> None:
    patch(path, b'mvhd', 20, struct.pack('>I', round(value * 1000)))
    patch(path, b'mdhd', 20, struct.pack('>I', round(value * 12800)))


def set_matroska_duration(path: Path, value: float) -> None:
    patch(path, b'\x44\x89\x88', 3, struct.pack('>d', value * 1000))


def set_flv_duration(path: Path, value: float) -> None:
    patch(path, b'duration\x00', 9, struct.pack('>d', value))


def set_avi_count(path: Path, count: int) -> None:
    """Number of frames that both headers of an AVI file state."""
    value = count.to_bytes(4, 'little')
    patch(path, b'avih', 8 + 16, value)
    patch(path, b'vids', 32, value)


def repeat_fields(path: Path) -> None:
    """Ask for the first field of every other picture once more, as 24 a second on 30 are shown."""
    data = bytearray(path.read_bytes())
    place = number = 0
    while (place := data.find(bytes.fromhex('000001b5'), place)) >= 0:
        if data[place + 4] >> 4 == 8:
            data[place + 7] |= 0x02 * (number % 2)
            number += 1
        place += 4
    path.write_bytes(data)


def cut(path: Path, share: float) -> None:
    """Keep the first share of a file's bytes."""
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])


def cut_after_header(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: find_box(data, 'mdat')[0]])


def put_around(path: Path, before: bytes = b'', after: bytes = b'') -> None:
    """Put bytes that are no part of it before or after a file."""
    path.write_bytes(before + path.read_bytes() + after)


def add_parity(path: Path) -> None:
    """Packets of 204 bytes, as satellite receivers with error correction record."""
    data = path.read_bytes()
    packets = [data[start : start + 188] for start in range(0, len(data), 188)]
    path.write_bytes(b''.join(packet + bytes(16) for packet in packets))


def drop_packets(path: Path, count: int) -> None:
    """Begin a transport stream after so many pictures, tables kept."""
    places = [packet.pos for packet in read_packets(path)]
    data = path.read_bytes()
    tables = data[: places[0]]
    path.write_bytes(tables + data[places[count] :])


def begin_at_second_keyframe(path: Path) -> None:
    """Begin a transport stream with the pictures that lead its second keyframe."""
    keys = [number for number, packet in enumerate(read_packets(path)) if packet.is_keyframe]
    drop_packets(path, keys[1])


def spoil(path: Path, places: Sequence[int]) -> None:
    """Overwrite the data of some packets by what no decoder takes for a picture."""
    data = bytearray(path.read_bytes())
    packets = read_packets(path)
    for place in places:
        content = bytes(packets[place])
        start = data.index(content)
        data[start : start + len(content)] = b'\xff' * len(content)
    path.write_bytes(data)
