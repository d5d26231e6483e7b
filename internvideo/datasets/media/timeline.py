"""Timeline of a video: from seconds to frames and back."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from .frame_times import TIME_ROUNDING, is_constant, on_display


@dataclass(frozen=True)
class Timeline:
    """Times at which the frames of a video are shown.

    Where frames follow each other at one rate the published formulae hold, which multiply by it;
    elsewhere presentation times decide.

    Attributes:
        times: float64 (F,), seconds from the file's start at which each frame appears.
        fps: frames a second on average.
        is_constant: whether one rate holds for all frames.
    """

    times: np.ndarray
    fps: float
    is_constant: bool

    def start_of(self, frame: int) -> float:
        """Second at which a frame appears."""
        if self.is_constant:
            return float(self.times[0]) + frame / self.fps
        return float(self.times[frame])

    def end_of(self, frame: int) -> float:
        """Second until which a frame is shown."""
        if self.is_constant or frame + 1 < len(self.times):
            return self.start_of(frame + 1)
        # Nothing says how long the last frame is shown: as long as the others on average.
        return float(self.times[frame]) + 1 / self.fps

    def frames_within(self, seconds: float) -> int:
        """Number of frames whose time is over after so many seconds of the video."""
        if self.is_constant:
            return int(seconds * self.fps)
        ends = np.append(self.times[1:], self.end_of(len(self.times) - 1)) - self.times[0]
        return int(np.searchsorted(ends, seconds + TIME_ROUNDING, side='right'))

    def frames_between(self, start: float, end: float) -> tuple[int, int]:
        """First frame and number of frames on display from ``start`` to ``end`` seconds."""
        first = on_display(self.times, start)
        return first, int(np.searchsorted(self.times, end - TIME_ROUNDING)) - first

    def every(self, first: int, length: int, fps: float) -> list[int]:
        """Frames on display ``fps`` times a second in ``length`` frames from ``first`` on.

        The middle of the first period comes first; frames are counted from ``first``.
        """
        start, end = self.start_of(first), self.end_of(first + length - 1)
        moments = np.arange(start + 0.5 / fps, end, 1 / fps)
        return [on_display(self.times, moment) - first for moment in moments]

    def places(self, seconds: np.ndarray) -> np.ndarray:
        """Seconds, any shape, as places in frames: frame ``i`` covers ``i`` to ``i + 1``."""
        if self.is_constant:
            return (seconds - self.times[0]) * self.fps
        edges = np.append(self.times, self.end_of(len(self.times) - 1))
        return np.interp(seconds, edges, np.arange(len(edges)))


def timeline_of(reader: Any) -> Timeline | None:
    """Timeline of a reader, None where frames have neither times nor a rate."""
    times, fps = getattr(reader, 'times', None), getattr(reader, 'fps', 0.0)
    if not fps:
        return None
    if times is None:
        return Timeline(np.zeros(1), fps, True)
    return Timeline(times, fps, is_constant(times, fps))
