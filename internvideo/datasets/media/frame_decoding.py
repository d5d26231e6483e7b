"""Frames of a video through PyAV: those asked for by seeking, or all of them in order."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .errors import MediaError
from .frame_times import SteadyClock, seconds_of
from .libraries import import_av, open_container
from .media_facts import MediaProbe, VideoFacts
from .orientation import Orientation, from_side_data
from .packet_table import NO_TIME
from .probe import BARE, COMPLETE_SHARE

# In these codecs no frame refers to one that is marked as unreferenced, so that these need not be
# decoded unless asked for; in HEVC a frame of a higher sub-layer may.
SKIPPING_CODECS = frozenset({'h264', 'mpeg1video', 'mpeg2video', 'mpeg4'})
MAX_READ_ERRORS = 64
"""Errors of a container in a row after which it is taken to have ended."""
FIELD_SHARE = 0.45
"""Decoded frames by packets at least: a frame of two fields may take two packets."""


class Picture:
    """Turns decoded frames into upright RGB arrays."""

    def __init__(self, orientation: Orientation) -> None:
        from av.video.reformatter import VideoReformatter

        self._orientation = orientation
        # One for all frames: it keeps the tables of the conversion.
        self._reformatter = VideoReformatter()

    def orientation(self, frame: Any) -> Orientation:
        """Turn that a frame states itself, else that of the container."""
        data = frame.side_data.get('DISPLAYMATRIX')
        return self._orientation if data is None else from_side_data(bytes(data))

    def size(self, frame: Any) -> tuple[int, int]:
        """(width, height) on display."""
        return self.orientation(frame).size(frame.width, frame.height)

    def image(self, frame: Any) -> np.ndarray:
        """uint8 (H, W, 3), valid until the next frame is converted."""
        converted = self._reformatter.reformat(frame, format='rgb24')
        plane = converted.planes[0]
        lines = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
        image = lines[: frame.height, : frame.width * 3].reshape(frame.height, frame.width, 3)
        return self.orientation(frame).upright(image)


def open_stream(path: str, index: int, threads: int = 1) -> tuple[Any, Any]:
    """(container, stream) ready for decoding.

    Raises:
        MediaError: the file cannot be opened.
    """
    container = open_container(path)
    stream = container.streams[index]
    # One thread unless a single video is read in order: loader workers are the parallelism.
    stream.thread_count = threads
    stream.thread_type = 'SLICE' if threads == 1 else 'AUTO'
    return container, stream


def show_damaged(context: Any) -> None:
    """Let a decoder give frames that refer to damaged ones, as players do, in place of none.

    Before the first good frame it would make frames of a video that begins in the middle.
    """
    context.flags |= import_av().codec.context.Flags.output_corrupt


class SeekingDecoder:
    """Decodes chosen frames from the nearest packet that is known to be enough.

    Which frame is which is proven by its time, which no other frame of the file has.

    Args:
        probe: of a file whose ``video.is_counted``.
    """

    def __init__(self, probe: MediaProbe) -> None:
        self.probe, self.table = probe, probe.video.packets
        self._av = import_av()
        self._container, self._stream = open_stream(probe.path, probe.video.index)
        self._skips = probe.video.codec in SKIPPING_CODECS
        # Number of the packet that comes next; None: not known any more.
        self._next: int | None = 0
        self._packets = self._demux()

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    def frames(self, indices: Iterable[int]) -> Iterator[tuple[int, Any]]:
        """(index, frame) of each index whose frame can be decoded, in no certain order."""
        groups: dict[int, dict[int, tuple[int, int]]] = {}
        for index in sorted(set(indices)):
            packet = int(self.table.order[index])
            group = groups.setdefault(self.table.start_of(packet), {})
            group[int(self.table.pts[packet])] = (index, packet)
        for start, group in sorted(groups.items()):
            if self._go_to(start):
                yield from self._decode_group(start, group)

    def _decode_group(
        self, start: int, group: dict[int, tuple[int, int]]
    ) -> Iterator[tuple[int, Any]]:
        context, last = self._stream.codec_context, max(packet for _, packet in group.values())
        if self.table.starts[start]:
            show_damaged(context)
        missing = dict(group)
        for number, packet in self._from(start):
            if self._skips:
                context.skip_frame = 'DEFAULT' if packet.pts in missing else 'NONREF'
            frames = self._decode(packet)
            if number >= last:
                # Nothing behind it is needed: the decoder gives what it still holds.
                frames += self._decode(None)
            for frame in frames:
                if frame.pts in missing:
                    yield missing.pop(frame.pts)[0], frame
            if not missing or number >= last:
                break
        context.flush_buffers()

    def _decode(self, packet: Any) -> list[Any]:
        # Of a packet that the end of the file cuts, a decoder would make up the rest.
        if packet is not None and packet.is_corrupt:
            return []
        try:
            return list(self._stream.codec_context.decode(packet))
        # A damaged packet costs its frame; the caller sees that it is missing.
        except self._av.FFmpegError:
            return []

    def _from(self, start: int) -> Iterator[tuple[int, Any]]:
        """(number, packet) from packet ``start`` on."""
        for packet in self._packets:
            number = self._next
            self._next += 1
            if number >= start:
                yield number, packet

    def _go_to(self, start: int) -> bool:
        """Place the file at or before packet ``start``, and say whether that was possible."""
        if (
            self._next is not None
            and self._next <= start
            and not self.table.starts[self._next : start].any()
        ):
            return True
        before = np.flatnonzero(self.table.starts[: start + 1])[-2:]
        for place in before[::-1]:
            for time in (self.table.pts[place], self.table.dts[place]):
                if self._seek(int(time), start):
                    return True
        return self._reopen()

    def _seek(self, time: int, start: int) -> bool:
        """Seek, and see by the packet that comes where that led to."""
        try:
            self._container.seek(time, stream=self._stream)
            packets = self._demux()
            first = next(packets, None)
        except (self._av.FFmpegError, OverflowError, ValueError):
            return False
        found = None if first is None else self.table.find(first.pts, first.size)
        if found is None or found > start or not self.table.starts[found]:
            return False
        self._next, self._packets = found, _chain(first, packets)
        return True

    def _reopen(self) -> bool:
        self.close()
        self._container, self._stream = open_stream(self.probe.path, self.probe.video.index)
        self._next, self._packets = 0, self._demux()
        return True

    def _demux(self) -> Iterator[Any]:
        """Packets that hold something, up to the first error of the container."""
        try:
            for packet in self._container.demux(self._stream):
                if packet.size:
                    yield packet
        except (self._av.FFmpegError, IndexError):
            return


def _chain(first: Any, rest: Iterator[Any]) -> Iterator[Any]:
    yield first
    yield from rest


class OrderedDecoder:
    """Decodes all frames of a video in order and passes over damaged packets.

    Args:
        probe: of the file.
        threads: of the decoder.

    Attributes:
        packets, errors: packets read, and those that could not be decoded, so far.
    """

    def __init__(self, probe: MediaProbe, threads: int = 1) -> None:
        self.probe = probe
        self._av = import_av()
        self._container, self._stream = open_stream(probe.path, probe.video.index, threads)
        self.packets = self.errors = self.decoded = 0

    def __iter__(self) -> Iterator[Any]:
        with self._container:
            latest = None
            for packet in self._read():
                self.packets += bool(packet.size) and not packet.is_discard
                for frame in self._decode(packet):
                    self.decoded += 1
                    if self.decoded == 1:
                        show_damaged(self._stream.codec_context)
                    if latest is not None:
                        yield latest
                    latest = frame
            # Of a last picture that the end of the file cuts, a decoder makes up the rest.
            if latest is not None and latest.is_corrupt:
                self.decoded -= 1
            elif latest is not None:
                yield latest
        self._check_complete()

    def _read(self) -> Iterator[Any]:
        """Packets, going on behind what the container cannot read."""
        for _ in range(MAX_READ_ERRORS):
            try:
                yield from self._container.demux(self._stream)
                return
            # PyAV raises IndexError where a stream begins that the header did not list.
            except (self._av.FFmpegError, IndexError):
                self.errors += 1

    def _decode(self, packet: Any) -> list[Any]:
        try:
            return packet.decode()
        except self._av.EOFError:
            return []
        except self._av.FFmpegError:
            # Packets ahead of the first key frame have nothing to refer to: they are no damage.
            self.errors += self.decoded > 0
            return []

    def _check_complete(self) -> None:
        path = self.probe.path
        if self.decoded == 0:
            raise MediaError(path, 'no frame of the video stream can be decoded')
        video = self.probe.video
        packets = video.packets
        announced = len(packets.order) if video.is_counted else packets.num_decodable
        # Two fields of a frame may come as two packets.
        has_fields = video.is_interlaced and not video.is_counted
        share = FIELD_SHARE if has_fields else COMPLETE_SHARE
        if self.decoded < share * announced or self.errors > (1 - COMPLETE_SHARE) * self.packets:
            raise MediaError(
                path,
                f'only {self.decoded} frames of {self.packets} packets could be decoded, '
                f'{self.errors} packets are damaged',
            )


class StreamDecoder:
    """Frames of a video in order by all cores, with those that :class:`OrderedDecoder` gives.

    Iterating yields None in the place of a frame that was given before.

    Attributes:
        decoded: frames decoded so far.
    """

    def __init__(self, probe: MediaProbe) -> None:
        self._probe, self.decoded = probe, 0

    def __iter__(self) -> Iterator[Any]:
        fast = OrderedDecoder(self._probe, threads=0)
        try:
            for frame in fast:
                # Several threads lose more than the damaged frame: one thread begins again.
                if fast.errors:
                    break
                self.decoded += 1
                yield frame
        except MediaError:
            if not fast.errors:
                raise
        if fast.errors:
            given = self.decoded
            for number, frame in enumerate(OrderedDecoder(self._probe)):
                self.decoded += number >= given
                yield frame if number >= given else None


@dataclass(frozen=True)
class FrameCount:
    """Frames that decoding a whole video shows.

    Attributes:
        times: float64 (F,), seconds from the file's start.
        pts: times of the clock, None where a frame has none.
        errors: packets that could not be decoded.
    """

    times: np.ndarray
    pts: tuple[int | None, ...]
    errors: int


def times_of(probe: MediaProbe, pts: Sequence[int | None]) -> np.ndarray:
    """Seconds from the file's start of all frames in order."""
    clock = FrameClock(probe)
    return np.array([clock.seconds(each) for each in pts])


class FrameClock:
    """Seconds of the decoded frames of a file, which come in order."""

    def __init__(self, probe: MediaProbe) -> None:
        video = probe.video
        self._unit, self._start = video.time_unit, probe.start
        self._clock = SteadyClock(1 / video.fps if video.fps else 0.0, probe.container)
        self._is_bare = probe.container in BARE
        self._slots = iter(_slots(probe))

    def seconds(self, pts: int | None) -> float:
        """Seconds of the next frame from the file's start."""
        pts = None if self._is_bare else next(self._slots, pts)
        return self._clock.seconds(
            None if pts is None else seconds_of(pts, self._unit) - self._start
        )


def last_length(video: VideoFacts) -> float:
    """Seconds that the last frame is shown."""
    packets = video.packets
    duration = packets.durations[packets.order[-1:]].sum() * video.time_unit
    return float(duration) if duration > 0 else (1 / video.fps if video.fps else 0.0)


def _slots(probe: MediaProbe) -> list[int]:
    """Times of frames that follow each other as their packets do, whatever is shown first.

    Of such frames FFmpeg makes times up.
    """
    packets = probe.video.packets
    if probe.container == 'avi':
        times = packets.dts[packets.shown]
    elif packets.is_packed:
        times = packets.pts[packets.shown]
    elif probe.container in ('asf', 'mxf'):
        times = packets.pts[packets.shown]
        if (np.diff(packets.pts) >= 0).all() and not (packets.dts == NO_TIME).any():
            # Times that only grow in the order of decoding are those of decoding.
            times = packets.dts[packets.shown] + packets.pts.min() - packets.dts.min()
    else:
        return []
    return np.sort(times[times != NO_TIME]).tolist()
