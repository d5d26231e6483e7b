"""Published formulae for the frames of a clip, as plain functions.

``L`` (``total_frames``) frames, ``n`` (``num_frames``) per clip, ``V`` (``num_views``) temporal
views.  Functions for testing return ``V`` lists; the others return one.  ``round`` rounds half to
even and ``int`` cuts towards zero, as the published numbers do.
"""

import random
from collections.abc import Callable

import numpy as np

# Defaults are the generators that the published code draws from, Python's for uniform sampling and
# NumPy's for the rest; `sample_seed` seeds both.
RandInt = Callable[[int, int], int]
RandVector = Callable[..., np.ndarray]


def uniform_train(L: int, n: int, randint: RandInt = random.randint) -> list[int]:
    """One frame drawn from each of ``n`` equal stretches, both ends included."""
    seg = _uniform_stretch(L, n)
    # Neighbouring stretches share an edge, so that two draws may give the same frame: as
    # published.
    return [min(randint(round(seg * i), round(seg * (i + 1))), L - 1) for i in range(n)]


def uniform_val(L: int, n: int) -> list[int]:
    """The middle of each of ``n`` equal stretches."""
    seg = _uniform_stretch(L, n)
    return [min(round(seg * i) + int(seg / 2), L - 1) for i in range(n)]


def uniform_test(L: int, n: int, V: int) -> list[list[int]]:
    """``V`` clips whose frames divide each stretch evenly."""
    seg = _uniform_stretch(L, n)
    shifts = [int(seg / (V + 1) * (v + 1)) for v in range(V)]
    return [[min(round(seg * i) + shift, L - 1) for i in range(n)] for shift in shifts]


def _uniform_stretch(L: int, n: int) -> float:
    return max(0.0, (L - 1) / n)


def interval_window(L: int, duration: float, start: float, end: float) -> tuple[int, int]:
    """First frame and number of frames of ``start..end`` seconds in a video of ``duration``.

    Any of the three equal to -1 means the whole video.
    """
    if -1 in (duration, start, end):
        return 0, L
    # By the list's duration, not by the file's rate: as published.
    fps = L / duration
    return int(fps * start), int(fps * (end - start))


def dense_train(L: int, n: int, stride: int, randint: RandInt = np.random.randint) -> np.ndarray:
    """``n`` frames evenly over a span of ``n * stride`` that ends at a drawn frame."""
    span = n * stride
    if span >= L:
        return _dense_short(L, n, stride)
    return _dense_before(int(randint(span, L)), span, n)


def dense_val(
    L: int, n: int, stride: int, published: bool = False, centered: bool = False
) -> np.ndarray:
    """A fixed span of ``n * stride`` frames.

    The published span ends at ``(L - span) // 2`` and so begins before the video while
    ``L < 3 * span``; here it then begins at frame 0.  ``published`` keeps the negative numbers.
    A ``centered`` span begins at ``(L - span) // 2``.
    """
    span = n * stride
    if span >= L:
        return _dense_short(L, n, stride)
    end = (L - span) // 2 + (span if centered else 0)
    return _dense_before(end if published else max(end, span), span, n)


def dense_test(L: int, n: int, stride: int, V: int) -> list[list[int]]:
    """Indices of ``V`` spans of consecutive strides, spread over the video."""
    span, room = n * stride, max(L - n * stride, 0)
    # The published code divides by V - 1 and fails for a single view; here that is central.
    firsts = [int(room / 2)] if V == 1 else [int(v * max(room / (V - 1), 0)) for v in range(V)]
    clips = []
    for first in firsts:
        clip = list(range(first, min(first + span, L), stride))
        clips.append(clip + clip[-1:] * (n - len(clip)))
    return clips


def strided_test(L: int, n: int, stride: int, V: int) -> list[list[int]]:
    """Indices of ``V`` runs of ``n``, spread over the list of every ``stride``-th frame.

    Unlike those of :func:`dense_test`, views begin at multiples of ``stride``; all begin at frame
    0 where the list is shorter than ``n``, and repeat its last frame.
    """
    frames = range(0, L, stride)
    room = max(len(frames) - n, 0)
    firsts = [int(room / 2)] if V == 1 else [int(v * room / (V - 1)) for v in range(V)]
    return [[frames[min(first + i, len(frames) - 1)] for i in range(n)] for first in firsts]


def span_train(
    L: int, span: int, uniform: Callable[[float, float], float] = random.uniform
) -> tuple[float, float]:
    """First and last point of a span of ``span`` frames that begins anywhere, as fractions."""
    first = uniform(0, max(L - span, 0))
    return first, first + span - 1


def span_test(L: int, span: int, v: int, V: int, offset: bool = True) -> tuple[float, float]:
    """First and last point of span ``v`` of ``V``, past the end in videos shorter than a span.

    With ``offset`` the last span ends at about the end of the video and a single one is central;
    without, spans begin where ``V`` equal parts of the room do.
    """
    room = max(L - span, 0)
    if not offset:
        first = room * v / V
    elif V == 1:
        first = room // 2
    else:
        first = v * (room // (V - 1))
    return first, first + span - 1


def span_points(ends: tuple[float, float], L: int, n: int) -> np.ndarray:
    """``n`` frames evenly from the first to the last point of a span, both included."""
    # In float32, by which the published code cuts points to whole frames.
    points = np.linspace(*ends, num=n, dtype=np.float32)
    return np.clip(points, 0, L - 1).astype(np.int64)


def _dense_short(L: int, n: int, stride: int) -> np.ndarray:
    # L is one beyond the last frame, as published; the clip below brings it back.
    points = np.linspace(0, L, num=L // stride)
    points = np.concatenate([points, np.full(n - len(points), L)])
    return np.clip(points, 0, L - 1).astype(np.int64)


def _dense_before(end: int, span: int, n: int) -> np.ndarray:
    # The points include `end`, which the clip lowers: the last step is the shortest, as published.
    points = np.linspace(end - span, end, num=n)
    return np.clip(points, end - span, end - 1).astype(np.int64)


def segments_train(
    L: int, n: int, draw: RandVector = np.random.randint, pad_front: bool = False
) -> np.ndarray:
    """One frame drawn from each of ``n`` segments of ``L // n`` frames.

    Videos shorter than ``n`` give frame 0 throughout or, with ``pad_front`` (frame folders),
    zeros followed by every frame.
    """
    length = L // n
    if length > 0:
        return np.arange(n) * length + np.asarray(draw(length, size=n))
    return _zeros_then_all(L, n) if pad_front else np.zeros(n, np.int64)


def segments_video_val(L: int, n: int) -> np.ndarray:
    """The middle of each segment of a video file."""
    return _points(L / n, n, L / n / 2)


def segments_video_all(L: int, n: int, V: int | None = None) -> np.ndarray:
    """Segment middles and starts of a video file, sorted, at least ``n * V`` of them."""
    step = L / n
    points = np.concatenate([_points(step, n, step / 2), _points(step, n, 0.0)])
    missing = n * (V or 0) - len(points)
    # Padded before sorting, as published: what is repeated is the start of the last segment.
    return np.sort(np.pad(points, (0, max(missing, 0)), mode='edge'))


def segments_video_test(L: int, n: int, V: int) -> list[np.ndarray]:
    """View ``v`` takes every second of :func:`segments_video_all` from ``v``.

    Since it is every second whatever ``V`` is, only ``V = 2`` gives views of ``n`` frames.
    """
    points = segments_video_all(L, n, V)
    return [points[v::2] for v in range(V)]


def segments_frames_val(L: int, n: int) -> np.ndarray:
    """The middle of each segment of a frame folder."""
    length = L // n
    return np.arange(n) * length + length // 2 if length > 0 else _zeros_then_all(L, n)


def segments_frames_test(L: int, n: int, V: int) -> list[np.ndarray]:
    """Indices of ``V`` points in each segment, of which view ``v`` takes every ``V``-th."""
    step = L / n
    points = np.sort(np.concatenate([_points(step, n, w * step / V) for w in range(V)]))
    return [points[v::V] for v in range(V)]


def _points(step: float, n: int, shift: float) -> np.ndarray:
    return np.array([int(shift + step * i) for i in range(n)], np.int64)


def _zeros_then_all(L: int, n: int) -> np.ndarray:
    # As published for folders of frames: short videos repeat the first frame, not the last.
    return np.concatenate([np.zeros(n - L, np.int64), np.arange(L)])


def pretrain(
    L: int,
    num_segments: int,
    n: int,
    stride: int,
    draw: RandVector = np.random.randint,
    first: int = 1,
) -> np.ndarray:
    """Frames of a masked-pretraining clip: sparse when ``num_segments > 1``, else one dense run.

    ``first`` is what offsets count from; 1 gives indices from 0.  (The published reader of
    many-source lists puts the start of an interval there and ends one frame early.)
    """
    # All published recipes are sparse, with as many segments as frames.
    skip = 1 if num_segments != 1 else n * stride
    length = (L - skip + 1) // num_segments
    if length > 0:
        offsets = np.arange(num_segments) * length + np.asarray(draw(length, size=num_segments))
    elif max(num_segments, skip) < L:
        offsets = np.sort(np.asarray(draw(L - skip + 1, size=num_segments)))
    else:
        offsets = np.zeros(num_segments, np.int64)
    return np.array(
        [i for o in offsets for i in _run(int(o) + first, skip // stride or 1, stride, L)]
    )


def _run(offset: int, count: int, stride: int, L: int) -> list[int]:
    indices = []
    for _ in range(count):
        # Offsets count from 1, as in the published code, which decides where a run stops below L.
        indices.append(offset - 1)
        if offset + stride < L:
            offset += stride
    return indices
