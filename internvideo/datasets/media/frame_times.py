"""Presentation times of frames: gaps and jumps of the clock, average rates."""

import math
from typing import Any

import numpy as np

JUMP_SECONDS = 10.0
"""A longer pause between two frames of a broadcast container is a new clock, as for FFmpeg."""
BACK_SECONDS = 1.0
"""A step back by less is jitter."""
GUESSED_FRAMES = 4
BROADCAST = ('mpegts', 'mpeg', 'mpegtsraw')
TIME_ROUNDING = 1e-3
"""Seconds by which containers round times."""
RATE_TOLERANCE = 0.02
WHOLE_RATE = 1e-12


def seconds_of(ticks: Any, unit: float) -> Any:
    """Seconds of ticks (a number or an array) of a clock whose unit is so many seconds.

    Nearly every clock has a whole number of ticks a second: divided by it seconds are rounded once,
    as players have them, where a product with the unit is off in the last digit.
    """
    rate = round(1 / unit) if unit else 0
    return ticks / rate if rate and abs(unit * rate - 1) < WHOLE_RATE else ticks * unit


class SteadyClock:
    """Times of frames that come in order, without steps back or to another clock.

    Args:
        length: seconds of a frame, which stand for what is missing.
        container: FFmpeg's name of the format.
    """

    def __init__(self, length: float, container: str) -> None:
        self.length = length
        # Long steps forward are another clock in broadcast containers, pauses elsewhere.
        self._longest = JUMP_SECONDS if container in BROADCAST else math.inf
        # Program streams give few frames a time: the others are FFmpeg's guesses.
        self._tolerance = GUESSED_FRAMES * length if container == 'mpeg' else -1.0
        self._shift = 0.0
        self._now: float | None = None

    def seconds(self, stated: float | None) -> float:
        """Seconds of the next frame, which the container states or, with None, does not."""
        if self._now is None:
            self._now = stated or 0.0
            return self._now
        expected = self._now + self.length
        own = expected if stated is None else stated + self._shift
        if abs(own - expected) <= self._tolerance:
            own = expected
        elif not self._now - BACK_SECONDS <= own <= self._now + self._longest:
            self._shift += expected - own
            own = expected
        self._now = max(own, self._now)
        return self._now


def steady_times(stated: np.ndarray, length: float, container: str) -> np.ndarray:
    """Times (N,) of frames in order by a :class:`SteadyClock`, of stated ones with NaN for none."""
    steps = np.diff(stated)
    if container not in BROADCAST and not np.isnan(stated).any() and (steps >= 0).all():
        return stated
    clock = SteadyClock(length, container)
    return np.array([clock.seconds(None if math.isnan(t) else t) for t in stated.tolist()])


def has_jumps(times: np.ndarray, container: str) -> bool:
    """Whether the clock steps back, or far forward in a broadcast container."""
    steps = np.diff(times[~np.isnan(times)])
    return bool((steps < 0).any() or (container in BROADCAST and (steps > JUMP_SECONDS).any()))


def average_rate(times: np.ndarray, stated: float, last_length: float) -> float:
    """Frames a second over the whole video, 0.0 when unknown.

    The container's word is kept where it agrees with the times, since published formulae use it;
    of variable rates it is often the rate of a clock.

    Args:
        times: seconds of the frames in order.
        stated: rate that the container states, 0.0 for none.
        last_length: seconds that the last frame is shown, 0.0 when unknown.
    """
    if len(times) < 2:
        return stated
    span = times[-1] - times[0]
    length = last_length or span / (len(times) - 1)
    measured = len(times) / (span + length) if span + length > 0 else 0.0
    if not measured or (stated and abs(measured / stated - 1) <= RATE_TOLERANCE):
        return stated
    return float(measured)


def is_constant(times: np.ndarray, rate: float) -> bool:
    """Whether each frame lies where a constant rate puts it, up to the container's rounding."""
    if not rate or len(times) < 2:
        return True
    error = times - times[0] - np.arange(len(times)) / rate
    # Rates are rounded too, which adds up over a long video: that drift is no variation.
    drift = np.linspace(0, error[-1], len(times))
    return bool(np.abs(error - drift).max() <= max(TIME_ROUNDING, 0.25 / rate))


def on_display(times: np.ndarray, seconds: float) -> int:
    """Number of the frame on display at a time, the first one before it appears."""
    found = int(np.searchsorted(times, seconds + TIME_ROUNDING / 2, side='right')) - 1
    return min(max(found, 0), len(times) - 1)
