"""Sampling of other libraries by the names it has there: video processors and clip samplers.

The formulae are those of transformers 5.23 (``sample_frames`` of a video processor) and torchcodec
0.17 (``torchcodec.samplers``), found by running them; neither library is needed here.  ``L`` frames
in the video, ``n`` in a clip.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

from internvideo.datasets.media.errors import MediaError
from internvideo.datasets.media.timeline import timeline_of
from internvideo.registry import TRANSFORMS

RandVector = Callable[..., np.ndarray]


def stretch_starts(L: int, n: int) -> np.ndarray:
    """The first frame of each of ``n`` equal stretches, in whole numbers."""
    return np.arange(n) * L // n


def stretch_points(L: int, n: int, shift: float = 0.0) -> np.ndarray:
    """``n`` frames ``L / n`` apart from ``shift`` on, in float32 as the published numbers are."""
    points = torch.arange(shift * L / n, L, L / n, dtype=torch.float32).int()
    # Of one length in twenty (14 of 34 frames) rounding gives one point more: frame L, which is not
    # there and which their decoders refuse.
    return points[:n].numpy()


def end_to_end(L: int, n: int) -> np.ndarray:
    """``n`` frames evenly from the first to the last, which are among them."""
    return np.linspace(0, L - 1, n).round().astype(np.int64)


def at_least_one(count: float, L: int, **_: int) -> int:
    """Whole frames of ``count``, one if there is none."""
    return max(1, int(count))


def whole(count: float, L: int, **_: int) -> int:
    """Whole frames of ``count``."""
    return int(count)


def bounded(count: float, L: int, min_frames: int, max_frames: int, **_: int) -> int:
    """``count`` between the bounds, and not more than there are."""
    return min(max(int(count), min_frames), max_frames, L)


def bounded_multiple(
    count: float, L: int, min_frames: int, max_frames: int, temporal_patch_size: int
) -> int:
    """Whole temporal patches of ``count`` between the bounds, rounded down."""
    most = min(max_frames, L) // temporal_patch_size * temporal_patch_size
    return int(min(max(count, min_frames), most, L) // temporal_patch_size) * temporal_patch_size


@dataclass(frozen=True)
class ProcessorRule:
    """Rule of a video processor.

    Attributes:
        frames: gives ``n`` frames of ``L``.
        count: gives ``n`` of the frames that a rate makes.
        repeats: whether it repeats frames of a video shorter than ``n``, else it refuses.
        defaults: arguments that it has beside number and rate, with their defaults; a default rate.
    """

    frames: Callable[[int, int], np.ndarray]
    count: Callable[..., int]
    repeats: bool = False
    defaults: tuple[tuple[str, float], ...] = ()


_QWEN2 = ProcessorRule(
    stretch_points,
    bounded_multiple,
    defaults=(('min_frames', 4), ('max_frames', 768), ('temporal_patch_size', 2)),
)
PROCESSORS = dict(
    videomae=ProcessorRule(stretch_starts, at_least_one),
    vjepa2=ProcessorRule(stretch_starts, at_least_one),
    internvl=ProcessorRule(partial(stretch_points, shift=0.5), whole),
    qwen2_vl=_QWEN2,
    qwen2_5_vl=_QWEN2,
    qwen3_vl=ProcessorRule(
        end_to_end,
        bounded,
        repeats=True,
        defaults=(('fps', 2.0), ('min_frames', 4), ('max_frames', 768)),
    ),
)
"""Model type in transformers -> how its video processor samples."""


@TRANSFORMS.register_module()
@dataclass
class ProcessorSample:
    """Frames that a video processor of transformers samples, in one view.

    With ``fps`` the number of frames depends on the length of the video, so a batch of several
    videos needs ``num_frames``.  Theirs counts at the average rate and then steps evenly through
    the frames, whatever their times; here, where the rate varies, frames are those on the screen
    when a file of constant rate would show theirs.  On files of constant rate both are the same.

    By default only the processors of Qwen3-VL sample; the others take every frame they are given,
    unless called with ``do_sample_frames=True``, and Qwen2-VL and InternVL then need a number or
    a rate.  Where theirs fails (a video shorter than the clip; no frame at that rate) the video
    counts as unreadable.

    Args:
        processor: ``'videomae'``, ``'vjepa2'``, ``'internvl'``, ``'qwen2_vl'``, ``'qwen2_5_vl'``
            or ``'qwen3_vl'``.
        num_frames: of the clip; Qwen2-VL and Qwen2.5-VL round it to whole temporal patches.
        fps: frames a second, in place of ``num_frames``; Qwen3-VL has 2 when neither is given.
        min_frames, max_frames: bounds of what ``fps`` gives (Qwen; 4 and 768 when not given).
        temporal_patch_size: frames of a token (Qwen2-VL, Qwen2.5-VL; 2 when not given).

    Raises:
        ValueError: unknown processor; an argument that it does not have; both or neither of
            ``num_frames`` and ``fps``.
    """

    processor: str
    num_frames: int | None = None
    fps: float | None = None
    min_frames: int | None = None
    max_frames: int | None = None
    temporal_patch_size: int | None = None

    def __post_init__(self) -> None:
        if self.processor not in PROCESSORS:
            raise ValueError(
                f'ProcessorSample: processor must be one of {", ".join(PROCESSORS)}, '
                f'got {self.processor!r}'
            )
        defaults = dict(PROCESSORS[self.processor].defaults)
        for name in ('min_frames', 'max_frames', 'temporal_patch_size'):
            if getattr(self, name) is not None and name not in defaults:
                raise ValueError(f'ProcessorSample: {self.processor} has no {name}')
        if self.num_frames is None and self.fps is None:
            self.fps = defaults.get('fps')
        if (self.num_frames is None) == (self.fps is None):
            raise ValueError(f'ProcessorSample: {self.processor} needs num_frames or fps, one')
        self._bounds = defaults | {k: v for k in defaults if (v := getattr(self, k)) is not None}

    def __call__(self, sample: dict) -> dict:
        rule, total = PROCESSORS[self.processor], sample['total_frames']
        count = self._count(rule, sample)
        if count < 1 or (count > total and not rule.repeats):
            raise MediaError(
                sample['path'],
                f'{self.processor} cannot sample {count} of {total} frames; set another '
                f'{"num_frames" if self.fps is None else "fps"}',
            )
        indices = np.asarray(rule.frames(total, count), np.int64)
        if self.fps is not None:
            indices = _shown_instead(indices, sample)
        sample['frame_inds'] = indices[None]
        return sample

    def _count(self, rule: ProcessorRule, sample: dict) -> int:
        if self.fps is None:
            patch = self._bounds.get('temporal_patch_size', 1)
            return round(self.num_frames / patch) * patch
        native = _native_fps(sample, f'fps={self.fps:g}')
        bounds = {name: value for name, value in self._bounds.items() if name != 'fps'}
        count = sample['total_frames'] / native * self.fps
        return rule.count(count, sample['total_frames'], **bounds)


CLIP_MODES = ('regular', 'random')
POLICIES = ('repeat_last', 'wrap', 'error')


@TRANSFORMS.register_module()
@dataclass
class ClipsAtIndices:
    """Clips of torchcodec's ``clips_at_regular_indices`` and ``clips_at_random_indices``.

    ``num_views`` clips of ``num_frames`` frames ``stride`` apart, whose first frames are evenly
    spaced or drawn.  theirs -> here: ``num_clips`` -> ``num_views``, ``num_frames_per_clip`` ->
    ``num_frames``, ``num_indices_between_frames`` -> ``stride``, ``sampling_range_start``,
    ``sampling_range_end`` -> ``start``, ``end``.

    Args:
        num_frames: of a clip.
        mode: ``'regular'`` or ``'random'``.
        num_views: clips.
        stride: frames from one of a clip to the next.
        start: first frame at which a clip may start; negative ones count from the end.
        end: first frame at which none may start any more; None: the last clip ends with the video.
        policy: where a clip reaches beyond the video, ``'repeat_last'`` repeats its last frame,
            ``'wrap'`` repeats the clip, ``'error'`` calls the video unreadable.
        draw: ``draw(low, high, size)``, the generator of random starts.

    Raises:
        ValueError: a mode, policy or number that cannot be.
    """

    num_frames: int
    mode: str = 'regular'
    num_views: int = 1
    stride: int = 1
    start: int = 0
    end: int | None = None
    policy: str = 'repeat_last'
    draw: RandVector = np.random.randint

    def __post_init__(self) -> None:
        _check_clips(self)
        if min(self.num_views, self.stride) < 1:
            raise ValueError('ClipsAtIndices: num_views and stride must be at least 1')

    def __call__(self, sample: dict) -> dict:
        total = sample['total_frames']
        low, high = self._range(sample, total)
        if self.mode == 'random':
            starts = np.asarray(self.draw(low, high, self.num_views))
        else:
            starts = torch.linspace(low, high - 1, self.num_views, dtype=torch.int).numpy()
        clips = [range(s, total, self.stride)[: self.num_frames] for s in starts.tolist()]
        clips = [_filled(self, list(clip), sample) for clip in clips]
        sample['frame_inds'] = np.array(clips, np.int64)
        return sample

    def _range(self, sample: dict, total: int) -> tuple[int, int]:
        low = self.start + total if self.start < 0 else self.start
        if self.end is None:
            high = max(total - self.stride * (self.num_frames - 1), 1)
        else:
            high = min(self.end + total if self.end < 0 else self.end, total)
        if not 0 <= low < high:
            raise MediaError(
                sample['path'], f'no clip starts in frames {low} to {high - 1} of {total}'
            )
        return low, high


@TRANSFORMS.register_module()
@dataclass
class ClipsAtTimestamps:
    """Clips of torchcodec's ``clips_at_regular_timestamps`` and ``clips_at_random_timestamps``.

    Moments ``seconds_between_frames`` apart, each giving the frame that is on the screen then: by
    the presentation times, in theirs as here, whether or not the rate varies.  The end of the video
    is taken to be one average frame after the start of its last; torchcodec knows that frame's
    duration, which matters for clips at the very end of files of variable rate.  Seconds count from
    the first frame of the video; theirs from the zero of the file's clock.

    Args:
        num_frames: of a clip (``num_frames_per_clip``).
        mode: ``'regular'`` or ``'random'``.
        seconds_between_clip_starts: with ``'regular'``, which has as many views as fit.
        num_views: with ``'random'`` (``num_clips``).
        seconds_between_frames: None: those of one frame at the average rate.
        start, end: seconds between which clips start (``sampling_range_start``, ``..._end``, which
            is left out); None: the first frame, and where the last clip ends with the video.
        policy: as of :class:`ClipsAtIndices`.
        draw: ``draw(size)``, uniform in [0, 1).

    Raises:
        ValueError: a mode, policy or number that cannot be.
    """

    num_frames: int
    mode: str = 'regular'
    seconds_between_clip_starts: float | None = None
    num_views: int | None = None
    seconds_between_frames: float | None = None
    start: float | None = None
    end: float | None = None
    policy: str = 'repeat_last'
    draw: RandVector = np.random.random_sample

    def __post_init__(self) -> None:
        _check_clips(self)
        given = (self.seconds_between_clip_starts, self.num_views)
        wanted, other = given if self.mode == 'regular' else given[::-1]
        if wanted is None or wanted <= 0 or other is not None:
            raise ValueError(
                'ClipsAtTimestamps: give seconds_between_clip_starts with mode="regular", '
                f'num_views with mode="random", got {given[0]} and {given[1]}'
            )
        if self.seconds_between_frames is not None and self.seconds_between_frames <= 0:
            raise ValueError('ClipsAtTimestamps: seconds_between_frames must be positive')

    def __call__(self, sample: dict) -> dict:
        fps = _native_fps(sample, 'ClipsAtTimestamps')
        times = _times(sample, fps)
        step, end = self.seconds_between_frames or 1 / fps, _end(times, fps)
        clips = []
        for start in self._starts(sample, step, end):
            moments = start + np.arange(self.num_frames) * step
            clips.append(_filled(self, moments[moments < end].tolist(), sample))
        # A frame is shown until the next one starts.
        sample['frame_inds'] = np.searchsorted(times[1:], np.array(clips), side='right')
        return sample

    def _starts(self, sample: dict, step: float, end: float) -> np.ndarray:
        low = self.start or 0.0
        high = end - (self.num_frames - 1) * step if self.end is None else min(self.end, end)
        if not 0 <= low < high:
            raise MediaError(
                sample['path'], f'no clip starts between {low:g} and {high:g} s of {end:g} s'
            )
        if self.mode == 'random':
            return np.asarray(self.draw(self.num_views)) * (high - low) + low
        # torch's, whose rounding theirs has.
        step_between = self.seconds_between_clip_starts
        starts = torch.arange(low, high, step_between, dtype=torch.float64).numpy()
        return starts[starts < high]


def _check_clips(transform: 'ClipsAtIndices | ClipsAtTimestamps') -> None:
    name = type(transform).__name__
    if transform.mode not in CLIP_MODES:
        raise ValueError(f'{name}: mode must be one of {CLIP_MODES}, got {transform.mode!r}')
    if transform.policy not in POLICIES:
        raise ValueError(f'{name}: policy must be one of {POLICIES}, got {transform.policy!r}')
    if transform.num_frames < 1:
        raise ValueError(f'{name}: num_frames must be at least 1, got {transform.num_frames}')


def _filled(transform: 'ClipsAtIndices | ClipsAtTimestamps', clip: list, sample: dict) -> list[Any]:
    """``clip`` with ``num_frames`` items, as the policy says."""
    n = transform.num_frames
    if len(clip) < n and transform.policy == 'error':
        raise MediaError(sample['path'], f'a clip of {n} frames ends after {len(clip)}')
    if transform.policy == 'wrap':
        return (clip * -(-n // len(clip)))[:n]
    return clip + clip[-1:] * (n - len(clip))


def _native_fps(sample: dict, needed_by: str) -> float:
    if not sample['video'].fps:
        raise MediaError(sample['path'], f'frame rate unknown, which {needed_by} needs')
    return sample['video'].fps


def _times(sample: dict, fps: float) -> np.ndarray:
    """Seconds of the frames after the first, float64 (from the rate where a reader has none)."""
    times, total = getattr(sample['video'], 'times', None), sample['total_frames']
    if times is None:
        return np.arange(total) / fps
    times = np.asarray(times, np.float64)[:total]
    return times - times[0]


def _end(times: np.ndarray, fps: float) -> float:
    # Headers may state another rate than the times have.
    return max(len(times) / fps, times[-1])


def _shown_instead(indices: np.ndarray, sample: dict) -> np.ndarray:
    """Frames on the screen when those of a constant rate would be ``indices``."""
    if timeline_of(sample['video']).is_constant:
        return indices
    fps = sample['video'].fps
    return np.searchsorted(_times(sample, fps)[1:], indices / fps, side='right')
