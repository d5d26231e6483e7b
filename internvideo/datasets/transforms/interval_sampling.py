"""Sampling of multi-modality clips: one frame per interval, or so many a second.

``L`` (``total_frames``) frames, ``n`` (``num_frames``) wanted.  ``round`` rounds half to even and
``int`` cuts towards zero, as the published numbers do.
"""

import itertools
import random
from collections.abc import Callable, Sequence

import numpy as np

Choice = Callable[[Sequence[int]], int]
Permutation = Callable[[int], np.ndarray]


def frame_intervals(L: int, n: int) -> list[tuple[int, int]]:
    """First and last frame of each of ``min(n, L)`` stretches that divide the video."""
    edges = np.linspace(0, L, min(n, L) + 1).astype(int).tolist()
    return [(first, end - 1) for first, end in itertools.pairwise(edges)]


def interval_rand(
    L: int,
    n: int,
    choice: Choice = random.choice,
    permutation: Permutation = np.random.permutation,
    with_last: bool = False,
) -> list[int]:
    """One frame drawn from each interval, never its last one, as published, or ``with_last``.

    Where, without it, an interval holds a single frame, ``min(n, L)`` frames of the whole video
    are drawn in its place.  Fewer than ``n`` are filled up with the last one.
    """
    intervals = frame_intervals(L, n)
    if with_last:
        return _filled([choice(range(first, last + 1)) for first, last in intervals], n)
    if all(first < last for first, last in intervals):
        return _filled([choice(range(first, last)) for first, last in intervals], n)
    return _filled(sorted(int(i) for i in permutation(L)[: len(intervals)]), n)


def interval_middle(L: int, n: int) -> list[int]:
    """The middle of each interval, filled up to ``n`` with the last one."""
    return _filled([(first + last) // 2 for first, last in frame_intervals(L, n)], n)


def interval_start(L: int, n: int, offset: int = 0) -> list[int]:
    """``offset`` frames after the start of each interval, filled up to ``n`` with the last one."""
    return _filled([first + offset for first, _ in frame_intervals(L, n)], n)


def every_nth(L: int, n: int) -> list[int]:
    """The first ``n`` of every ``L // n``-th frame, filled up to ``n`` with the last one.

    The step is cut to whole frames, so that the end of a video may not be seen.
    """
    return _filled(list(range(0, L, max(L // n, 1)))[:n], n)


def interval_ends(L: int, n: int) -> list[int]:
    """``n`` frames evenly from the first to the last one, cut to whole numbers."""
    return np.linspace(0, L - 1, n).astype(int).tolist()


def frames_per_second(L: int, native_fps: float, fps: float, max_frames: int = -1) -> list[int]:
    """``fps`` frames a second from the middle of the first period on, at most ``max_frames``.

    A video shorter than half a period gives none; ``max_frames`` below 1 takes all.
    """
    period = 1 / fps
    times = np.arange(period / 2, L / native_fps + period / 2, period)
    indices = [int(i) for i in np.around(times * native_fps) if i < L]
    return indices[:max_frames] if max_frames > 0 else indices


def clip_offsets(length: int, n: int) -> list[int]:
    """``n`` frames evenly over a clip of ``length`` frames, counted from its first."""
    # The published reader takes these for times from the start of the file; here callers add the
    # clip's first frame.
    gap = (length - 1) / n
    return [int(gap / 2) + round(gap * i) for i in range(n)]


def _filled(indices: list[int], n: int) -> list[int]:
    return indices + indices[-1:] * (n - len(indices))
