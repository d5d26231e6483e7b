"""Long videos frame by frame: decoding at a chosen rate and sliding windows, memory constant."""

import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from internvideo.datasets.media.decoder_process import iterate_guarded
from internvideo.datasets.media.errors import MediaError
from internvideo.datasets.media.limits import MediaLimits, media_limits
from internvideo.datasets.media.readers import probe_media

BLOCKS = 'internvideo.datasets.media.reading:stream_blocks'


class StreamFrame(NamedTuple):
    """A frame of a stream.

    Attributes:
        image: uint8 (H, W, 3) RGB, upright.
        start, end: seconds from the file's start between which it is on display.
    """

    image: np.ndarray
    start: float
    end: float


class FrameStream:
    """The frames of a video file in order, a few of them decoded at a time.

    Iterating yields uint8 (H, W, 3) RGB at native size, upright.  Each pass decodes from the start.

    Args:
        path: video file.
        fps: frames per second to yield: at time k / fps after the first frame the one on display
            then; None yields every frame.
        limits: sizes and times above which the file is refused, fields of :class:`MediaLimits`.

    Attributes:
        source_fps: average rate of the file, 0.0 when unknown.
        sample_aspect: width of a pixel by its height, known once iteration has begun.
        decoded, yielded: frames decoded, and frames yielded, so far in the current pass.
        until: second of the file up to which it was decoded, at last the end of the video.

    Raises:
        MediaError: when iterating, if the file cannot be read, more than a tenth of it is lost or
            it holds no frame.
        ValueError: ``fps`` is not positive.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        fps: float | None = None,
        limits: MediaLimits | Mapping[str, Any] | None = None,
    ) -> None:
        if fps is not None and not fps > 0:
            raise ValueError(f'fps must be positive, got {fps}')
        self.path, self.fps, self.limits = os.fspath(path), fps, media_limits(limits)
        self.source_fps, self.decoded, self.yielded = 0.0, 0, 0
        self.sample_aspect, self.until = 1.0, 0.0

    @property
    def rate(self) -> float:
        """Frames yielded per second of video, 0.0 when unknown."""
        return self.fps or self.source_fps

    def __iter__(self) -> Iterator[np.ndarray]:
        for frame in self.timed():
            yield frame.image

    def timed(self) -> Iterator[StreamFrame]:
        """Frames with their times."""
        self.decoded = self.yielded = 0
        probe = probe_media(self.path, self.limits)
        if probe.video is None:
            raise MediaError(self.path, 'no video stream')
        self.source_fps, self.sample_aspect = probe.video.fps, probe.video.shown_aspect
        blocks = iterate_guarded(
            BLOCKS, self.path, self.fps, self.limits, deadline=self.limits.deadline
        )
        for images, starts, ends, decoded, counts, until in blocks:
            self.decoded, self.until = decoded, until
            for image, start, end, count in zip(images, starts, ends, counts, strict=True):
                for _ in range(count):
                    self.yielded += 1
                    yield StreamFrame(image, float(start), float(end))


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
