"""Windows of a video, of so many frames or seconds, with the seconds that they span."""

import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

from .video_stream import FrameStream, sliding_windows

TIME_ROUNDING = 1e-3
"""Seconds by which containers round time stamps."""

Item = TypeVar('Item')


class Seconds(float):
    """A length in seconds, where a plain number counts frames."""


Length = int | Seconds


class ShownFrame(NamedTuple):
    """A frame and the seconds, from the file's start, between which it is on display."""

    image: Any
    start: float
    end: float


class TimedWindow(NamedTuple):
    """Consecutive frames of a stream.

    Attributes:
        images: the frames; in windows of so many frames the last is repeated to fill it.
        first, last: positions of the first and last frame in the stream.
        start, end: seconds of the file that it spans.
        padded: how many at the end repeat the last one.
        times: second at which each of ``images`` appears.
    """

    images: list[Any]
    first: int
    last: int
    start: float
    end: float
    padded: int = 0
    times: Sequence[float] = ()

    @property
    def positions(self) -> list[int]:
        """Position of each of ``images`` in the stream."""
        return [min(self.first + number, self.last) for number in range(len(self.times))]


def window_length(value: int | str | Seconds) -> Length:
    """Frames (``16``, ``'16'``) or seconds (``'2s'``, ``'0.5s'``) of a window or stride.

    Raises:
        ValueError: neither, or not positive.
    """
    text = str(value) if isinstance(value, int | str) else f'{float(value)}s'
    match = re.fullmatch(r'(\d+)|(\d*\.?\d+) ?s', text.strip())
    length = Seconds(match[2]) if match and match[2] else int(match[1]) if match else 0
    if not length > 0:
        raise ValueError(f'{value!r} is no length: give frames as 16, or seconds as 2s')
    return length


def window_settings(
    window: int | str | Seconds, stride: int | str | Seconds | None = None, fps: float | None = None
) -> tuple[Length, Length]:
    """Window and stride of one kind: in frames if ``fps`` is known or both are, else in seconds.

    Without ``stride`` it is half a window.

    Raises:
        ValueError: frames and seconds side by side without ``fps``.
    """
    window = window_length(window)
    if stride is None:
        half = window / 2
        stride = Seconds(half) if isinstance(window, Seconds) else max(1, int(half))
    stride = window_length(stride)
    if fps is not None:
        return _in_frames(window, fps), _in_frames(stride, fps)
    if isinstance(window, Seconds) != isinstance(stride, Seconds):
        raise ValueError(
            'window and stride: give both in frames (16) or both in seconds (2s), or set fps'
        )
    return window, stride


def _in_frames(length: Length, fps: float) -> int:
    return max(1, round(length * fps)) if isinstance(length, Seconds) else length


def timed_windows(
    frames: Iterable[tuple[Any, float, float]], window: Length, stride: Length
) -> Iterator[TimedWindow]:
    """Yield windows of ``(image, start, end)`` at 0, stride, 2 stride, ... until all is covered.

    Holds no more than one window.  In seconds, window k spans ``k * stride`` to
    ``k * stride + window`` and holds the frames on display then.  One in which no frame begins
    would show the same picture again and is left out: so there are never more windows than the
    frames account for, whatever the clock does.
    """
    ordered = _forwards(frames)
    if isinstance(window, Seconds):
        yield from _windows_of_seconds(ordered, window, stride)
        return
    for part in sliding_windows(ordered, window, stride):
        real = part.items[: len(part.items) - part.padded]
        yield TimedWindow(
            [frame.image for frame in part.items],
            part.first,
            part.first + len(real) - 1,
            real[0].start,
            real[-1].end,
            part.padded,
            [frame.start for frame in part.items],
        )


def _forwards(frames: Iterable[tuple[Any, float, float]]) -> Iterator[ShownFrame]:
    """The frames on a clock that never goes back."""
    latest = 0.0
    for image, start, end in frames:
        start = max(start, latest)
        latest = start
        yield ShownFrame(image, start, max(start, end))


def _windows_of_seconds(
    frames: Iterable[ShownFrame], window: float, stride: float
) -> Iterator[TimedWindow]:
    held: deque[tuple[int, ShownFrame]] = deque()
    number, covered = 0, -1
    for position, frame in enumerate(frames):
        while held and frame.start >= number * stride + window - TIME_ROUNDING:
            if held[-1][1].start < number * stride - TIME_ROUNDING:
                # Nothing begins in this window: on to the first that this frame is in.
                number = max(number + 1, _first_window(frame.start, window, stride))
            else:
                yield _window_of(held, number * stride, window)
                covered = held[-1][0]
                number += 1
            _drop_gone(held, number * stride)
        if not held:
            number = max(number, _first_window(frame.start, window, stride))
        held.append((position, frame))
        _drop_gone(held, number * stride)
    if not held or held[-1][0] == covered:
        return
    last, begin = held[-1][1], number * stride
    # With a stride longer than the window, the last frames may be gone before a window begins.
    if last.start >= begin - TIME_ROUNDING or last.end > begin + TIME_ROUNDING:
        yield _window_of(held, begin, window)


def _first_window(second: float, window: float, stride: float) -> int:
    """Number of the first window that ends after a second."""
    return max(0, int((second + TIME_ROUNDING - window) // stride) + 1)


def _drop_gone(held: deque[tuple[int, ShownFrame]], second: float) -> None:
    """Drop the frames that another has replaced by that second."""
    while len(held) > 1 and held[1][1].start <= second + TIME_ROUNDING:
        held.popleft()


def _window_of(held: deque[tuple[int, ShownFrame]], begin: float, window: float) -> TimedWindow:
    frames = [frame for _, frame in held]
    start, end = max(begin, frames[0].start), min(begin + window, frames[-1].end)
    images = [frame.image for frame in frames]
    times = [frame.start for frame in frames]
    return TimedWindow(images, held[0][0], held[-1][0], start, max(start, end), 0, times)


def in_batches(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Yield lists of ``size`` items, the last with what remains."""
    batch: list[Item] = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def timed_frames(stream: FrameStream) -> Iterator[ShownFrame]:
    """Frames of a stream with their seconds: at its rate if it has one, else those of the file."""
    frames = map(ShownFrame._make, stream.timed())
    yield from frames if stream.fps is None else _at_times_of_rate(frames, stream)


def _at_times_of_rate(frames: Iterable[ShownFrame], stream: FrameStream) -> Iterator[ShownFrame]:
    """Frames taken every 1 / fps seconds, with the seconds for which they stand."""
    first, held = None, None
    for count, frame in enumerate(frames):
        if held is not None:
            yield held
        first = frame.start if first is None else first
        start = first + count / stream.fps
        held = frame._replace(start=start, end=start + 1 / stream.fps)
    if held is not None:
        # The last one ends with the video.
        yield held._replace(end=max(held.start, min(held.end, stream.until)))
