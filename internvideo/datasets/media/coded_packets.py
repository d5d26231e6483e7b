"""Facts in the first bytes of coded packets: where decoding may start, what is never shown.

Sources: H.264 (ITU-T H.264, 7.3.1, D.1.8 and D.1.27), HEVC (ITU-T H.265, 7.3.1.2 and D.2.17), VP8
(RFC 6386, 9.1), VP9 (bitstream specification 6.2 and annex B), MPEG-2 (ITU-T H.262, 6.2.3),
MPEG-4 (ISO/IEC 14496-2, 6.2), H.263 (ITU-T H.263, 5.1).
"""

from collections.abc import Callable, Iterator

from .orientation import Orientation

NAL_CODECS = ('h264', 'hevc')
H264_SLICE_IDR, H264_SEI, RECOVERY_POINT, DISPLAY_ORIENTATION = 5, 6, 6, 47
HEVC_SEI = 39
HEVC_RANDOM_ACCESS = range(16, 22)
H264_HIGH_PROFILES = frozenset((44, 83, 86, 100, 110, 118, 122, 128, 134, 135, 138, 139, 244))
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
    content = _sei_message(sei, RECOVERY_POINT)
    return None if content is None else _exp_golomb(content)


def _sei_message(sei: bytes, wanted: int) -> bytes | None:
    """Content of the first message of a kind."""
    content = sei.replace(b'\0\0\3', b'\0\0')
    position = 0
    while position + 2 < len(content):
        kind, position = _sei_number(content, position)
        size, position = _sei_number(content, position)
        if kind == wanted:
            return content[position : position + size]
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


def h264_has_fields(extradata: bytes | None) -> bool:
    """Whether frames may be coded as two fields, by the parameter set in the extradata of mp4."""
    if not extradata or extradata[0] != 1 or len(extradata) < 12:
        return False
    size = int.from_bytes(extradata[6:8], 'big')
    bits = _Bits(extradata[9 : 8 + size].replace(b'\0\0\3', b'\0\0'))
    try:
        return _has_fields(bits)
    except IndexError:
        return False


class _Bits:
    """Bits of a header from the first to the last, and its exponential Golomb numbers."""

    def __init__(self, data: bytes) -> None:
        self._bits, self._place = ''.join(f'{byte:08b}' for byte in data), 0

    def take(self, count: int = 1) -> int:
        self._place += count
        if self._place > len(self._bits):
            raise IndexError('the header ends')
        return int(self._bits[self._place - count : self._place], 2)

    def number(self) -> int:
        zeros = 0
        while not self.take():
            zeros += 1
        return (1 << zeros) - 1 + (self.take(zeros) if zeros else 0)


def _has_fields(bits: _Bits) -> bool:
    """Read a sequence parameter set up to ``frame_mbs_only_flag``."""
    profile = bits.take(8)
    bits.take(16), bits.number()
    if profile in H264_HIGH_PROFILES:
        chroma = bits.number()
        if chroma == 3:
            bits.take()
        bits.number(), bits.number(), bits.take()
        if bits.take():
            for place in range(12 if chroma == 3 else 8):
                _skip_scaling_list(bits, 16 if place < 6 else 64)
    bits.number()
    order = bits.number()
    if order == 0:
        bits.number()
    elif order == 1:
        bits.take(), bits.number(), bits.number()
        for _ in range(bits.number()):
            bits.number()
    bits.number(), bits.take(), bits.number(), bits.number()
    return not bits.take()


def _skip_scaling_list(bits: _Bits, size: int) -> None:
    if not bits.take():
        return
    last = following = 8
    for _ in range(size):
        if following:
            code = bits.number()
            following = (last + (code + 1 >> 1) * (1 if code % 2 else -1)) % 256
        last = following or last


def hevc_starts_exactly(data: memoryview, length_size: int) -> bool:
    """Whether the packet holds a picture of random access (IDR, CRA, BLA)."""
    kinds = (unit[0] >> 1 & 63 for unit in nal_units(data, length_size))
    return next((kind for kind in kinds if kind < 32), -1) in HEVC_RANDOM_ACCESS


def stated_orientation(data: memoryview, codec: str, length_size: int) -> Orientation | None:
    """Turn that an H.264 or HEVC stream asks for by a message, if it does."""
    for unit in nal_units(data, length_size):
        is_message = unit[0] & 31 == H264_SEI if codec == 'h264' else unit[0] >> 1 & 63 == HEVC_SEI
        header = 1 if codec == 'h264' else 2
        content = _sei_message(bytes(unit[header:]), DISPLAY_ORIENTATION) if is_message else None
        if content is not None and len(content) > 2:
            return _orientation_of(int.from_bytes(content[:3], 'big'))
    return None


def _orientation_of(bits: int) -> Orientation | None:
    """Orientation of the first 24 bits of a message: cancel, flips, then turn against the clock."""
    cancelled, across, down = bits >> 23, bits >> 22 & 1, bits >> 21 & 1
    turns, rest = divmod(bits >> 5 & 0xFFFF, 1 << 14)
    if cancelled:
        return None
    if rest:
        return Orientation(odd=True)
    # Upside down is mirrored and turned by a half.
    return Orientation(mirrored=across != down, quarter_turns=(turns + 2 * down) % 4)


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


def vp8_starts_exactly(data: memoryview, length_size: int) -> bool:
    """Whether the packet is a key frame."""
    return not data[0] & 1


def vp9_starts_exactly(data: memoryview, length_size: int) -> bool:
    """Whether the packet begins with a key frame."""
    profile_is_3 = data[0] & 0x30 == 0x30
    # Two marker bits, two of the profile, one reserved in profile 3, "shows existing", type.
    bits = data[0] >> (1 if profile_is_3 else 2)
    return not bits & 2 and not bits & 1


def mpeg_starts_exactly(data: memoryview, length_size: int) -> bool:
    """Whether the first picture of an MPEG-1 or MPEG-2 packet is an I picture."""
    content = bytes(data)
    start = content.find(b'\0\0\1\0')
    return 0 <= start < len(content) - 5 and content[start + 5] >> 3 & 7 == 1


def mpeg4_starts_exactly(data: memoryview, length_size: int) -> bool:
    """Whether the first picture of an MPEG-4 packet is an I picture."""
    content = bytes(data)
    start = content.find(MPEG4_PICTURE)
    return 0 <= start < len(content) - 4 and content[start + 4] >> 6 == 0


def h263_starts_exactly(data: memoryview, length_size: int) -> bool:
    """Whether an H.263 picture of the basic header is intra coded."""
    # Start code 22 bits, time 8, then 8 of the type, of which the last three are the size.
    size, is_inter = data[4] >> 2 & 7, data[4] >> 1 & 1
    return size != 7 and not is_inter


STARTS_EXACTLY: dict[str, Callable[[memoryview, int], bool]] = dict(
    h264=h264_starts_exactly,
    hevc=hevc_starts_exactly,
    vp8=vp8_starts_exactly,
    vp9=vp9_starts_exactly,
    mpeg1video=mpeg_starts_exactly,
    mpeg2video=mpeg_starts_exactly,
    mpeg4=mpeg4_starts_exactly,
    h263=h263_starts_exactly,
)
"""Codecs whose key packets are looked at; of the others the container's word is taken."""
INTRA_CODECS = frozenset(
    [
        *('mjpeg', 'prores', 'dnxhd', 'ffv1', 'huffyuv', 'ffvhuff', 'utvideo', 'rawvideo', 'png'),
        *('jpeg2000', 'cfhd', 'dvvideo', 'magicyuv'),
    ]
)
"""Codecs in which every packet may well be a key packet."""


MPEG4_PICTURE = b'\0\0\1\xb6'
MPEG4_LAYERS = range(0x20, 0x30)


def mpeg4_time_bits(setup: bytes) -> int:
    """Bits of the time in the header of an MPEG-4 picture, 0 when the set-up does not say."""
    starts = (setup.find(b'\0\0\1' + bytes([code])) for code in MPEG4_LAYERS)
    start = next((place for place in starts if place >= 0), None)
    if start is None:
        return 0
    take = _bit_reader(setup[start + 4 : start + 40])
    take(9)  # random access, type of object
    if take(1):
        take(7)  # version and priority
    if take(4) == 15:
        take(16)  # extended pixel shape
    if take(1):
        take(3)  # chroma, low delay
        if take(1):
            take(79)  # buffering
    take(3)  # shape, marker
    return max((take(16) - 1).bit_length(), 1)


def mpeg4_is_empty(data: bytes, time_bits: int) -> bool:
    """Whether a packet holds one picture that is "not coded": players show the one before."""
    start = data.find(MPEG4_PICTURE)
    if start < 0 or not time_bits:
        return False
    take = _bit_reader(data[start + 4 : start + 24])
    take(2)  # type
    while take(1):
        pass  # whole seconds
    take(2 + time_bits)  # the time between two markers
    return take(1) == 0


def mpeg4_is_packed(data: bytes) -> bool:
    """Whether a packet holds several pictures."""
    return data.count(MPEG4_PICTURE) > 1


def _bit_reader(data: bytes) -> Callable[[int], int]:
    """Function that takes so many bits from the beginning, 0 behind the end."""
    bits, place = ''.join(f'{byte:08b}' for byte in data), 0

    def take(count: int) -> int:
        nonlocal place
        place += count
        return int(bits[place - count : place] or '0', 2)

    return take


IS_HIDDEN: dict[str, Callable[[memoryview], bool]] = dict(vp8=vp8_is_hidden, vp9=vp9_is_hidden)


def vp8_size(data: memoryview) -> tuple[int, int] | None:
    """(width, height) that a VP8 key frame states."""
    if len(data) < VP8_KEY_BYTES or data[0] & 1:
        return None
    width, height = (int.from_bytes(data[i : i + 2], 'little') & 0x3FFF for i in (6, 8))
    return width, height
