"""Packets of a video stream: which are shown, when, and where decoding may start."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .coded_packets import (
    INTRA_CODECS,
    IS_HIDDEN,
    NAL_CODECS,
    STARTS_EXACTLY,
    mpeg4_is_empty,
    mpeg4_is_packed,
    mpeg4_time_bits,
    nal_length_size,
    stated_orientation,
    vp8_size,
)
from .orientation import Orientation

NO_TIME = np.iinfo(np.int64).min


@dataclass(frozen=True)
class PacketTable:
    """Packets in the order of the file, which is that of decoding.

    Attributes:
        pts, dts: int64 (P,), in units of the stream's clock; ``NO_TIME`` where there is none.
        durations, sizes: int64 (P,); 0 where unknown.
        shown: bool (P,), frames that are meant to be seen.
        starts: bool (P,), packets from which decoding is exact.
        keys: bool (P,), packets that the container calls key frames.
        sizes_vary: whether the picture size changes, as far as packets say.
        order: int64 (F,), packets of the shown frames in order of presentation.
        is_seekable: whether ``pts`` prove which frame is which.
        is_packed: whether some packets hold several pictures.
        orientation: turn that the stream itself asks for, if any.
        is_damaged: whether the container says that bytes of a packet are missing.
        last_byte: of the file up to which packets reach, 0 when unknown.
    """

    pts: np.ndarray
    dts: np.ndarray
    durations: np.ndarray
    sizes: np.ndarray
    shown: np.ndarray
    starts: np.ndarray
    keys: np.ndarray
    sizes_vary: bool
    order: np.ndarray
    is_seekable: bool
    is_packed: bool
    orientation: Orientation | None
    is_damaged: bool
    last_byte: int

    def __len__(self) -> int:
        return len(self.pts)

    @property
    def has_leading(self) -> bool:
        """Whether packets after a key packet are shown before it."""
        return _has_leading(self.pts, self.keys)

    @property
    def num_discarded(self) -> int:
        """Packets that are decoded and not shown."""
        return int((~self.shown).sum())

    @property
    def num_decodable(self) -> int:
        """Shown frames from the first key packet on, without those that refer to what is before."""
        places = np.flatnonzero(self.keys)
        if len(places) == 0:
            return 0
        first = places[0]
        return int((self.shown[first:] & (self.pts[first:] >= self.pts[first])).sum())

    def start_of(self, packet: int) -> int:
        """The packet to decode from for the frame of ``packet``, 0 if no later one is exact."""
        earlier = np.flatnonzero(self.starts[: packet + 1])
        # Frames that are shown before a key frame may need what lies before it.
        fitting = earlier[self.pts[earlier] <= self.pts[packet]]
        return int(fitting[-1]) if len(fitting) else 0

    def find(self, pts: int | None, size: int) -> int | None:
        """Number of the only packet of that time and size, or None."""
        if pts is None:
            return None
        found = np.flatnonzero((self.pts == pts) & (self.sizes == size))
        return int(found[0]) if len(found) == 1 else None


def read_packets(packets: Iterable[Any], codec: str, extradata: bytes | None) -> PacketTable:
    """Table of what a container gives, without decoding anything.

    Args:
        packets: PyAV's packets of one stream; empty ones are left out.
        codec: FFmpeg's name of the codec.
        extradata: set-up of the codec from the container.
    """
    starts_exactly, is_hidden = STARTS_EXACTLY.get(codec), IS_HIDDEN.get(codec)
    length_size = nal_length_size(extradata, codec) if codec in NAL_CODECS else 0
    last_byte = 0
    rows, sizes, time_bits, is_packed, orientation = [], set(), None, False, None
    for packet in packets:
        if not packet.size:
            continue
        key = packet.is_keyframe
        start = key and (starts_exactly is None or starts_exactly(memoryview(packet), length_size))
        hidden = is_hidden is not None and is_hidden(memoryview(packet))
        if codec == 'vp8' and key:
            sizes.add(vp8_size(memoryview(packet)))
        if codec == 'mpeg4':
            data = bytes(packet)
            if time_bits is None:
                time_bits = mpeg4_time_bits((extradata or b'') + data)
            hidden = mpeg4_is_empty(data, time_bits)
            is_packed = is_packed or mpeg4_is_packed(data)
        if codec in NAL_CODECS and not rows:
            orientation = stated_orientation(memoryview(packet), codec, length_size)
        pts, dts = packet.pts, packet.dts
        last_byte = max(last_byte, (packet.pos or 0) + packet.size)
        rows.append(
            (
                NO_TIME if pts is None else pts,
                NO_TIME if dts is None else dts,
                packet.duration or 0,
                packet.size,
                not packet.is_discard,
                not hidden,
                start,
                key,
                packet.is_corrupt,
            )
        )
    table = np.array(rows, np.int64).reshape(-1, 9)
    pts, dts, durations, packet_sizes = table[:, :4].T
    kept, visible, starts, keys, corrupt = table[:, 4:].T.astype(bool)
    # Where pictures are packed, an empty packet stands for one that came with the packet before.
    shown = kept & (visible | is_packed)
    if keys.all() and starts_exactly is None and codec not in INTRA_CODECS:
        # Where every packet is called a key packet, nobody has looked.
        starts[1:] = False
    order = np.flatnonzero(shown)
    # A clock that starts again begins another part of the video: parts keep their order.
    order = order[np.lexsort((pts[order], clock_parts(pts, keys)[order]))]
    return PacketTable(
        pts,
        dts,
        durations,
        packet_sizes,
        shown,
        starts,
        keys,
        len(sizes - {None}) > 1,
        order,
        _is_seekable(pts, shown, keys) and not is_packed,
        is_packed,
        orientation,
        bool(corrupt.any()),
        last_byte,
    )


def clock_parts(pts: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """int64 (P,): how often the clock has stepped back from one key packet to the next so far."""
    parts = np.zeros(len(pts), np.int64)
    places = np.flatnonzero(keys & (pts != NO_TIME))
    parts[places[1:]] = np.diff(pts[places]) < 0
    return np.cumsum(parts)


def _is_seekable(pts: np.ndarray, shown: np.ndarray, keys: np.ndarray) -> bool:
    """Whether each shown frame has a time of its own on one clock that starts only once."""
    if len(pts) == 0 or not keys[0] or (pts == NO_TIME).any():
        return False
    times = pts[shown]
    if (np.diff(np.sort(times)) == 0).any():
        return False
    # What follows a key packet is never shown before the key packet ahead of it: else the clock
    # has started again.
    places = np.flatnonzero(keys)
    floor = np.repeat(
        np.concatenate([pts[places[:1]], pts[places[:-1]]]), _lengths(places, len(pts))
    )
    behind = shown & (pts < floor)
    behind[: places[1] if len(places) > 1 else len(pts)] = False
    return not behind.any()


def _has_leading(pts: np.ndarray, keys: np.ndarray) -> bool:
    places = np.flatnonzero(keys)
    if len(places) == 0:
        return False
    own = np.repeat(pts[places], _lengths(places, len(pts)))
    return bool((pts[places[0] :] < own).any())


def _lengths(places: np.ndarray, count: int) -> np.ndarray:
    """Packets from each key packet to the next."""
    return np.diff(np.append(places, count))
