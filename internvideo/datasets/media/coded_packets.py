"""Facts in the first bytes of coded packets: where decoding may start, what is never shown.

Sources: H.264 (ITU-T H.264, 7.3.1 and D.1.8), HEVC (ITU-T H.265, 7.3.1.2), VP8 (RFC 6386, 9.1),
VP9 (bitstream specification 6.2 and annex B).
"""

from collections.abc import Callable, Iterator

H264_SLICE_IDR, H264_SEI, RECOVERY_POINT = 5, 6, 6
HEVC_RANDOM_ACCESS = range(16, 22)
VP8_KEY_BYTES = 10

Nal = tuple[int, memoryview]


def nal_length_size(extradata: bytes | None, codec: str) -> int:
    """Bytes of the length before each NAL unit, 0 where start codes stand instead."""
    if not extradata or extradata[0] != 1:
        return 0
    place = 4 if codec == 'h264' else 21
    return (extradata[place] & 3) + 1 if len(extradata) > place else 0


def nal_units(data: memoryview, length_size: int) -> Iterator[memoryview]:
    """NAL units of a packet."""
    if not length_size:
        yield from _after_start_codes(data)
        return
    position = 0
    while position + length_size < len(data):
        size = int.from_bytes(data[position : position + length_size], 'big')
        position += length_size
        if size == 0 or position + size > len(data):
            return
        yield data[position : position + size]
        position += size


def _after_start_codes(data: memoryview) -> Iterator[memoryview]:
    content = bytes(data)
    start = content.find(b'\0\0\1')
    while start >= 0:
        following = content.find(b'\0\0\1', start + 3)
        yield data[start + 3 : following if following >= 0 else len(data)]
        start = following


def h264_starts_exactly(data: memoryview, length_size: int) -> bool:
    """Whether what follows this packet can be decoded exactly without what is before.

    True of an IDR picture, and of a recovery point at once (open GOP); not of the beginning of a
    periodic intra refresh, nor of an I picture that says nothing.
    """
    for unit in nal_units(data, length_size):
        kind = unit[0] & 31
        if kind == H264_SLICE_IDR:
            return True
        if kind == H264_SEI and _recovery_frames(bytes(unit[1:])) == 0:
            return True
        if kind == 1:
            return False
    return False


def _recovery_frames(sei: bytes) -> int | None:
    """``recovery_frame_cnt`` of a supplemental message, if it has one."""
    content = sei.replace(b'\0\0\3', b'\0\0')
    position = 0
    while position + 2 < len(content):
        kind, position = _sei_number(content, position)
        size, position = _sei_number(content, position)
        if kind == RECOVERY_POINT:
            return _exp_golomb(content[position : position + size])
        position += size
    return None


def _sei_number(content: bytes, position: int) -> tuple[int, int]:
    value = 0
    while position < len(content) and content[position] == 255:
        value, position = value + 255, position + 1
    return value + (content[position] if position < len(content) else 0), position + 1


def _exp_golomb(data: bytes) -> int | None:
    bits = ''.join(f'{byte:08b}' for byte in data[:8])
    zeros = len(bits) - len(bits.lstrip('0'))
    number = bits[zeros : 2 * zeros + 1]
    return int(number, 2) - 1 if number else None


def hevc_starts_exactly(data: memoryview, length_size: int) -> bool:
    """Whether the packet holds a picture of random access (IDR, CRA, BLA)."""
    kinds = (unit[0] >> 1 & 63 for unit in nal_units(data, length_size))
    return next((kind for kind in kinds if kind < 32), -1) in HEVC_RANDOM_ACCESS


STARTS_EXACTLY: dict[str, Callable[[memoryview, int], bool]] = dict(
    h264=h264_starts_exactly, hevc=hevc_starts_exactly
)
"""Codecs whose key packets need a look; of the others the container's word is taken."""


def vp8_is_hidden(data: memoryview) -> bool:
    """Whether the frame only serves as a reference."""
    return not data[0] >> 4 & 1


def vp9_is_hidden(data: memoryview) -> bool:
    """Whether the packet is one frame that only serves as a reference."""
    first, is_superframe = data[0], data[-1] & 0xE0 == 0xC0
    if is_superframe or first & 0x30 == 0x30:
        return False
    shows_existing, shows_itself = first >> 3 & 1, first >> 1 & 1
    return not (shows_existing or shows_itself)


IS_HIDDEN: dict[str, Callable[[memoryview], bool]] = dict(vp8=vp8_is_hidden, vp9=vp9_is_hidden)


def vp8_size(data: memoryview) -> tuple[int, int] | None:
    """(width, height) that a VP8 key frame states."""
    if len(data) < VP8_KEY_BYTES or data[0] & 1:
        return None
    width, height = (int.from_bytes(data[i : i + 2], 'little') & 0x3FFF for i in (6, 8))
    return width, height
