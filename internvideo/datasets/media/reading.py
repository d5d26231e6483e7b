"""Frames of a file by number, as the decoder process reads them."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from .decoder_process import allocate
from .errors import MediaError, named_errors
from .file_cache import FileCache, file_key
from .frame_decoding import (
    FrameClock,
    FrameCount,
    OrderedDecoder,
    Picture,
    SeekingDecoder,
    StreamDecoder,
    last_length,
    times_of,
)
from .frame_times import TIME_ROUNDING
from .library_readers import LIBRARY_READERS
from .limits import MediaLimits
from .media_facts import MediaProbe
from .probe import probe_file

KEPT_BYTES = 96 << 20
"""Decoded frames that are kept after counting, so that short videos are decoded once."""
BLOCK_FRAMES, BLOCK_BYTES, BLOCK_SECONDS = 32, 48 << 20, 2.0
"""A stream gives so many frames, or bytes of them, or what so many seconds made, at a time."""

_probes = FileCache()


class Frames(NamedTuple):
    """Result of a request.

    Attributes:
        images: uint8 (N, H, W, 3).
        repeated: index whose frame is damaged -> index of the frame in its place.
        backend: what decoded them.
    """

    images: np.ndarray
    repeated: dict[int, int]
    backend: str = 'pyav'


class _Latest:
    """The reader of the latest file, since requests for one file follow each other."""

    key: Any = None
    reader: Any = None


def _probe(path: str, limits: MediaLimits) -> MediaProbe:
    key = (file_key(path), limits)
    found = _probes.get(key)
    if found is None:
        found = probe_file(path, limits)
        _probes.put(key, found)
    # One file may have several names, and one of them may be gone.
    return found if found.path == path else replace(found, path=path)


def probe_here(path: str, limits: MediaLimits) -> MediaProbe:
    """Probe of a file."""
    return _probe(path, limits)


def _latest(path: str, kind: str, make: Callable[[], Any]) -> Any:
    key = (path, file_key(path), kind)
    if _Latest.key != key:
        # Closed first: a decoder may hold hundreds of megabytes.
        _Latest.key = _Latest.reader = None
        _Latest.reader = make()
        _Latest.key = key
    return _Latest.reader


class _CountedVideo:
    """Frames of a video that only decoding tells apart."""

    def __init__(self, probe: MediaProbe) -> None:
        self.probe, self.kept = probe, []
        decoder, pts = OrderedDecoder(probe), []
        bytes_of_frame = probe.video.width * probe.video.height * 2
        for frame in decoder:
            pts.append(frame.pts)
            if self.kept is not None:
                self.kept.append(frame)
                if len(self.kept) * bytes_of_frame > KEPT_BYTES:
                    self.kept = None
        self.count = FrameCount(times_of(probe, pts), tuple(pts), decoder.errors)

    def frames(self, indices: Sequence[int]) -> Iterator[tuple[int, Any]]:
        """(index, frame) of each index."""
        wanted = set(indices)
        if self.kept is not None:
            yield from ((index, self.kept[index]) for index in sorted(wanted))
            return
        for index, frame in enumerate(OrderedDecoder(self.probe)):
            if index in wanted:
                yield index, frame
                wanted.discard(index)
            if not wanted:
                return


def count_frames(path: str, limits: MediaLimits) -> FrameCount:
    """Count the frames of a file by decoding all of it.

    Raises:
        MediaError: more than a tenth of it cannot be decoded.
    """
    probe = _probe(path, limits)
    with _careful(path):
        return _latest(path, 'counted', lambda: _CountedVideo(probe)).count


def read_frames(path: str, backend: str, indices: Sequence[int], limits: MediaLimits) -> Frames:
    """Frames by number, upright.

    Args:
        path: the file.
        backend: ``'pyav'``, ``'decord'`` or ``'torchcodec'``.
        indices: numbers from 0, in any order, repeated or not.
        limits: of sizes.

    Raises:
        MediaError: they cannot be decoded, have several sizes, or are over a limit.
    """
    probe = _probe(path, limits)
    with _careful(path):
        if backend in LIBRARY_READERS:
            limits.check_clip(path, len(indices), *probe.video.size)
            # Libraries give up at a damaged packet, where a tenth of a video may be missing.
            with suppress(MediaError):
                return Frames(_through_library(probe, backend, indices), {}, backend)
        if not probe.video.is_counted:
            counted = _latest(path, 'counted', lambda: _CountedVideo(probe))
            return Frames(_collect(probe, counted.frames(indices), indices, limits), {})
        decoder = _latest(path, 'seeking', lambda: SeekingDecoder(probe))
        found: dict[int, int] = {}
        images = _collect(probe, decoder.frames(indices), indices, limits, found)
        missing = sorted(set(indices) - set(found))
        return _repaired(probe, indices, missing, limits) if missing else Frames(images, {})


@contextmanager
def _careful(path: str) -> Iterator[None]:
    """Name the file in errors, and forget a reader that failed: nobody knows where it stands."""
    try:
        with named_errors(path):
            yield
    except BaseException:
        _Latest.key = _Latest.reader = None
        raise


def _through_library(probe: MediaProbe, backend: str, indices: Sequence[int]) -> np.ndarray:
    reader = _latest(probe.path, backend, lambda: LIBRARY_READERS[backend](probe.path, probe.video))
    if len(reader) != probe.video.num_frames:
        raise MediaError(
            probe.path,
            f'{backend} finds {len(reader)} of {probe.video.num_frames} frames',
        )
    # Sorted and distinct: decoders are fast forwards.
    distinct, places = np.unique(indices, return_inverse=True)
    return reader.get_batch(distinct.tolist())[places]


def _collect(
    probe: MediaProbe,
    frames: Iterator[tuple[int, Any]],
    indices: Sequence[int],
    limits: MediaLimits,
    found: dict[int, int] | None = None,
) -> np.ndarray:
    """uint8 (N, H, W, 3) of decoded frames at the places where ``indices`` asks for them."""
    picture = Picture(probe.video.orientation)
    places: dict[int, list[int]] = {}
    for place, index in enumerate(indices):
        places.setdefault(index, []).append(place)
    images, first = np.empty((0,), np.uint8), None
    for index, frame in frames:
        size = picture.size(frame)
        if first is None:
            first = (index, size)
            limits.check_size(probe.path, *size)
            limits.check_clip(probe.path, len(indices), *size)
            images = allocate((len(indices), size[1], size[0], 3))
        if size != first[1]:
            raise MediaError(
                probe.path,
                f'the picture changes its size: {first[1][0]}x{first[1][1]} in frame {first[0]}, '
                f'{size[0]}x{size[1]} in frame {index}',
            )
        image = picture.image(frame)
        for place in places[index]:
            images[place] = image
        if found is not None:
            found[index] = index
    return images


def _repaired(
    probe: MediaProbe, indices: Sequence[int], missing: list[int], limits: MediaLimits
) -> Frames:
    """Frames of a file with damaged packets, the one before in the place of a lost one.

    Raises:
        MediaError: more than a tenth of the file is lost.
    """
    order, pts = probe.video.packets.order, probe.video.packets.pts
    whole = _latest(probe.path, 'counted', lambda: _CountedVideo(probe))
    number = {time: place for place, time in enumerate(whole.count.pts)}
    decodable = np.array([int(pts[packet]) in number for packet in order])
    if not decodable.any():
        raise MediaError(probe.path, f'frame {missing[0]} cannot be decoded')
    shown = {index: _nearest(decodable, index) for index in set(indices)}
    of_whole = [number[int(pts[order[shown[index]]])] for index in indices]
    images = _collect(probe, whole.frames(of_whole), of_whole, limits)
    return Frames(images, {index: other for index, other in shown.items() if index != other})


def _nearest(decodable: np.ndarray, index: int) -> int:
    """The last frame up to ``index`` that can be decoded, else the first one after it."""
    before = np.flatnonzero(decodable[: index + 1])
    return int(before[-1] if len(before) else np.flatnonzero(decodable)[0])


# --- streams ---


class FrameBlock(NamedTuple):
    """Consecutive frames of a stream.

    Attributes:
        images: uint8 (N, H, W, 3).
        starts, ends: float64 (N,), seconds from the file's start between which each is shown.
        decoded: frames decoded so far, those that were not taken included.
        counts: int (N,), how often each is taken in a row.
        until: second up to which the video was decoded, frames that were not taken included.
    """

    images: np.ndarray
    starts: np.ndarray
    ends: np.ndarray
    decoded: int
    counts: np.ndarray
    until: float


def stream_blocks(path: str, fps: float | None, limits: MediaLimits) -> Iterator[FrameBlock]:
    """Frames of a video in order, all or those on display at 0, 1 / fps, 2 / fps, ... after the
    first.

    Raises:
        MediaError: the file cannot be read, or more than a tenth of it is lost.
    """
    with named_errors(path):
        yield from _stream_blocks(path, fps, limits)


def _stream_blocks(path: str, fps: float | None, limits: MediaLimits) -> Iterator[FrameBlock]:
    probe = _probe(path, limits)
    picture = Picture(probe.video.orientation)
    decoder = StreamDecoder(probe)
    held: list[tuple[Any, float, float, int]] = []
    size, began, total, until = probe.video.size, time.monotonic(), 0, 0.0
    for taken in at_rate(_timed(probe, decoder), fps):
        own = size if taken is None else picture.size(taken[0])
        limits.check_size(path, *own)
        is_late = time.monotonic() - began > BLOCK_SECONDS
        # Also with nothing to give: the caller sees that the decoder goes on.
        if is_late or (held and (own != size or len(held) >= BLOCK_FRAMES or _is_full(held, own))):
            yield _block(picture, held, size, decoder.decoded, until)
            held, began = [], time.monotonic()
        size = own
        if taken is None:
            continue
        until = taken[2]
        if taken[3]:
            held.append(taken)
            total += taken[3]
            limits.check_count(path, total)
    yield _block(picture, held, size, decoder.decoded, until)


def _is_full(held: list, size: tuple[int, int]) -> bool:
    return (len(held) + 1) * size[0] * size[1] * 3 > BLOCK_BYTES


def _block(
    picture: Picture, held: list, size: tuple[int, int], decoded: int, until: float
) -> FrameBlock:
    images = allocate((len(held), size[1], size[0], 3))
    for place, (frame, *_) in enumerate(held):
        images[place] = picture.image(frame)
    starts, ends, counts = ([each[column] for each in held] for column in (1, 2, 3))
    times = np.array(starts), np.array(ends)
    return FrameBlock(images, *times, decoded, np.array(counts, np.int64), until)


Timed = tuple[Any, float, float]


def _timed(probe: MediaProbe, decoder: StreamDecoder) -> Iterator[Timed | None]:
    """(frame, start, end) in seconds from the file's start, as far as the next frame tells."""
    clock, previous = FrameClock(probe), None
    for frame in decoder:
        if frame is None:
            yield None
            continue
        start = clock.seconds(frame.pts)
        if previous is not None:
            yield *previous, start
        previous = (frame, start)
    if previous is not None:
        yield *previous, previous[1] + last_length(probe.video)


def at_rate(
    frames: Iterator[Timed | None], fps: float | None
) -> Iterator[tuple[Any, float, float, int] | None]:
    """Yield each frame with how often it is taken, which is 0 for most, and each None."""
    if fps is None:
        yield from (frame and (*frame, 1) for frame in frames)
        return
    first, count = None, 0
    for taken in frames:
        if taken is None:
            yield None
            continue
        (frame, start, end), own = taken, 0
        first = start if first is None else first
        # Frame `count` is due at first + count / fps: taken while it is due before the next one.
        while count / fps < end - first - TIME_ROUNDING or count + own == 0:
            own, count = own + 1, count + 1
        yield frame, start, end, own
