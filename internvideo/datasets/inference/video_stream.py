"""Long videos frame by frame: decoding at a chosen rate and sliding windows, memory constant."""

import os
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from internvideo.datasets.bad_samples import MediaError

MIN_DECODED_SHARE = 0.9
"""Decoding less of the frames that a container announces counts as a broken file: edit lists and
wrong counts explain a few missing frames, not more."""

TIME_ROUNDING = 1e-3
"""Seconds by which containers round time stamps."""


class FrameStream:
    """The frames of a video file in order, decoded one at a time.

    Iterating yields uint8 (H, W, 3) RGB at native size.  Each pass decodes from the start.

    Args:
        path: video file.
        fps: frames per second to yield: at time k / fps the frame on display then; None yields
            every frame.

    Attributes:
        source_fps: average rate of the file, 0.0 when unknown.
        decoded, yielded: frames decoded, and frames yielded, so far in the current pass.

    Raises:
        MediaError: when iterating, if the file cannot be read, stops early or holds no frame.
        ValueError: ``fps`` is not positive.
    """

    def __init__(self, path: str | os.PathLike, fps: float | None = None) -> None:
        if fps is not None and not fps > 0:
            raise ValueError(f'fps must be positive, got {fps}')
        self.path, self.fps = os.fspath(path), fps
        self.source_fps, self.decoded, self.yielded = 0.0, 0, 0

    @property
    def rate(self) -> float:
        """Frames yielded per second of video, 0.0 when unknown."""
        return self.fps or self.source_fps

    def __iter__(self) -> Iterator[np.ndarray]:
        frames = self._decode()
        chosen = frames if self.fps is None else at_rate(frames, self.fps)
        self.yielded = 0
        for frame, _, _ in chosen:
            self.yielded += 1
            yield frame.to_ndarray(format='rgb24')

    def _decode(self) -> 'Iterator[TimedFrame]':
        import av

        self.decoded = 0
        try:
            with av.open(self.path) as container:
                if not container.streams.video:
                    raise MediaError(self.path, 'no video stream')
                stream = container.streams.video[0]
                # One process reads one video in order here, so that threads help, unlike in loader
                # workers.
                stream.thread_type = 'AUTO'
                self.source_fps = float(stream.average_rate or 0)
                yield from self._timed(container.decode(stream))
                self._check_complete(stream.frames)
        except (av.FFmpegError, OSError) as error:
            missing = isinstance(error, FileNotFoundError)
            reason = 'file not found' if missing else error.strerror or str(error)
            raise MediaError(self.path, reason) from None

    def _timed(self, frames: Iterable[Any]) -> 'Iterator[TimedFrame]':
        length = 1 / self.source_fps if self.source_fps else 0.0
        for frame in frames:
            # Raw streams carry no times: frames are counted at the average rate.
            start = self.decoded * length if frame.time is None else frame.time
            yield TimedFrame(frame, start, length)
            self.decoded += 1

    def _check_complete(self, announced: int) -> None:
        if self.decoded == 0:
            raise MediaError(self.path, 'no frame in the video stream')
        if self.decoded < MIN_DECODED_SHARE * announced:
            raise MediaError(
                self.path, f'only {self.decoded} of {announced} frames could be decoded'
            )


class TimedFrame(NamedTuple):
    """A decoded frame, when it appears and for how long if nothing follows (seconds)."""

    frame: Any
    start: float
    length: float


def at_rate(frames: Iterable[TimedFrame], fps: float) -> Iterator[TimedFrame]:
    """Yield the frame on display at 0, 1/fps, 2/fps, ... after the first."""
    shown, first, count = None, 0.0, 0
    for frame in frames:
        if shown is None:
            first = frame.start
        else:
            while count / fps < frame.start - first - TIME_ROUNDING:
                yield shown
                count += 1
        shown = frame
    while shown is not None and (
        count == 0 or count / fps < shown.start + shown.length - first - TIME_ROUNDING
    ):
        yield shown
        count += 1


class Window(NamedTuple):
    """Consecutive items of a stream.

    Attributes:
        first: position of the first item in the stream.
        items: as many as the window is long.
        padded: how many at the end repeat the last one.
    """

    first: int
    items: list[Any]
    padded: int


def sliding_windows(items: Iterable[Any], window: int, stride: int) -> Iterator[Window]:
    """Yield windows at 0, stride, 2 stride, ..., the last filled by repetition.

    Holds at most ``window`` items.  A stream shorter than the window gives one window.

    Raises:
        ValueError: ``window`` or ``stride`` below 1.
    """
    if window < 1 or stride < 1:
        raise ValueError(f'window and stride must be at least 1, got {window} and {stride}')
    held: list[Any] = []
    first = covered = position = 0
    for position, item in enumerate(items, start=1):
        # With a stride longer than the window, items between two windows are passed over.
        if position > first:
            held.append(item)
        if len(held) == window:
            yield Window(first, list(held), 0)
            covered = position
            first += stride
            held = held[stride:]
    if held and position > covered:
        padded = window - len(held)
        yield Window(first, held + held[-1:] * padded, padded)


def spread(window: int, num_frames: int) -> list[int]:
    """``num_frames`` positions in a window: the middle of each of as many equal stretches.

    Raises:
        ValueError: the window is shorter than ``num_frames``.
    """
    if window < num_frames:
        raise ValueError(
            f'a window of {window} frames is shorter than the {num_frames} frames that the '
            'encoder takes; enlarge the window or set the encoder to fewer frames '
            '(its num_frames)'
        )
    return [int((i + 0.5) * window / num_frames) for i in range(num_frames)]
