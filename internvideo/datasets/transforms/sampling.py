"""Transforms that choose frames: ``total_frames`` -> ``frame_inds`` int64 (V, T)."""

import re
from dataclasses import dataclass

import numpy as np

from internvideo.datasets.media.errors import MediaError
from internvideo.datasets.media.timeline import timeline_of
from internvideo.datasets.transforms import frame_sampling, interval_sampling
from internvideo.registry import TRANSFORMS

MODES = ('train', 'val', 'test')


@TRANSFORMS.register_module()
@dataclass
class UniformSample:
    """Sparse sampling: one frame from each of ``num_frames`` equal stretches of the video.

    ``mode='train'`` draws within each stretch, ``'val'`` takes middles, ``'test'`` gives
    ``num_views`` clips.  Where the list has ``duration``, ``start`` and ``end`` (seconds, -1 for
    the whole video) only that interval is sampled, cut at the end of the video.  Videos shorter
    than ``num_frames`` repeat frames.  With ``allow_short=False`` they count as unreadable, in this
    and in the other transforms.
    """

    num_frames: int
    mode: str = 'train'
    num_views: int = 1
    allow_short: bool = True

    def __post_init__(self) -> None:
        _check(self, 'UniformSample')

    def __call__(self, sample: dict) -> dict:
        total = sample['total_frames']
        first, length = _window(sample)
        _check_length(self, sample, length, self.num_frames)
        if self.mode == 'train':
            clips = [frame_sampling.uniform_train(length, self.num_frames)]
        elif self.mode == 'val':
            clips = [frame_sampling.uniform_val(length, self.num_frames)]
        else:
            clips = frame_sampling.uniform_test(length, self.num_frames, self.num_views)
        # The published code does not cut intervals at the end of the video and asks for frames
        # that are not there.
        sample['frame_inds'] = np.minimum(np.array(clips, np.int64) + first, total - 1)
        return sample


@TRANSFORMS.register_module()
@dataclass
class DenseSample:
    """Dense sampling: ``num_frames`` frames ``stride`` apart, ``num_views`` spans in testing.

    ``published_val`` keeps the published validation span, which begins before the video (and so
    wraps to its end) for videos shorter than three spans.  ``centered_val`` validates on the span
    in the middle of the video.  With ``strided_views`` the views of a test are runs of the list of
    every ``stride``-th frame.  (The last two are those of masked autoencoders.)
    """

    num_frames: int
    stride: int
    mode: str = 'train'
    num_views: int = 1
    published_val: bool = False
    allow_short: bool = True
    centered_val: bool = False
    strided_views: bool = False

    def __post_init__(self) -> None:
        _check(self, 'DenseSample')
        if self.stride < 1:
            raise ValueError(f'DenseSample: stride must be at least 1, got {self.stride}')
        if self.published_val and self.centered_val:
            raise ValueError('DenseSample: published_val and centered_val are different spans')

    def __call__(self, sample: dict) -> dict:
        total, n = sample['total_frames'], self.num_frames
        _check_length(self, sample, total, n * self.stride)
        if self.mode == 'train':
            clips = [frame_sampling.dense_train(total, n, self.stride)]
        elif self.mode == 'val':
            spans = self.published_val, self.centered_val
            clips = [frame_sampling.dense_val(total, n, self.stride, *spans)]
        elif self.strided_views:
            clips = frame_sampling.strided_test(total, n, self.stride, self.num_views)
        else:
            clips = frame_sampling.dense_test(total, n, self.stride, self.num_views)
        # Only `published_val` gives negative numbers; the published decoder wraps these to the
        # end.
        sample['frame_inds'] = np.array(clips, np.int64) % total
        return sample


@TRANSFORMS.register_module()
@dataclass
class SpanSample:
    """Dense sampling by spans: ``num_frames`` frames evenly from end to end of each.

    A span has ``num_frames * stride`` frames.  In training it begins anywhere, in validation it is
    central, and ``num_views`` of them are spread over the video in testing: up to its end with
    ``offset``, else at the beginnings of equal parts.  Videos shorter than a span repeat their last
    frame.
    """

    num_frames: int
    stride: int
    mode: str = 'train'
    num_views: int = 1
    offset: bool = True
    allow_short: bool = True

    def __post_init__(self) -> None:
        _check(self, 'SpanSample')
        if self.stride < 1:
            raise ValueError(f'SpanSample: stride must be at least 1, got {self.stride}')

    def __call__(self, sample: dict) -> dict:
        total, n = sample['total_frames'], self.num_frames
        span = n * self.stride
        _check_length(self, sample, total, span)
        if self.mode == 'train':
            spans = [frame_sampling.span_train(total, span)]
        else:
            offset = self.offset or self.mode == 'val'
            spans = [
                frame_sampling.span_test(total, span, view, self.num_views, offset)
                for view in range(self.num_views)
            ]
        clips = [frame_sampling.span_points(ends, total, n) for ends in spans]
        sample['frame_inds'] = np.array(clips, np.int64)
        return sample


@TRANSFORMS.register_module()
@dataclass
class SegmentSample:
    """Segment sampling of Something-Something and HMDB51.

    ``media='video'`` follows the published reader of video files, ``'frames'`` the one of frame
    folders.  Video files with other than two test views are sampled as folders are, since the
    published rule gives views of ``num_frames`` frames for two only.  ``leave_out`` frames at the
    end are never sampled (one in the published reader of HMDB51).
    """

    num_frames: int
    mode: str = 'train'
    num_views: int = 1
    media: str = 'video'
    leave_out: int = 0
    allow_short: bool = True

    def __post_init__(self) -> None:
        _check(self, 'SegmentSample')
        if self.media not in ('video', 'frames'):
            raise ValueError(
                f"SegmentSample: media must be 'video' or 'frames', got {self.media!r}"
            )

    def __call__(self, sample: dict) -> dict:
        total = max(sample['total_frames'] - self.leave_out, 1)
        _check_length(self, sample, total, self.num_frames)
        sample['frame_inds'] = np.array(self._clips(total, self.num_frames), np.int64)
        return sample

    def _clips(self, total: int, n: int) -> list[np.ndarray]:
        video = self.media == 'video'
        if self.mode == 'train':
            return [frame_sampling.segments_train(total, n, pad_front=not video)]
        if self.mode == 'val' and video:
            return [frame_sampling.segments_video_val(total, n)]
        if self.mode == 'val':
            return [frame_sampling.segments_frames_val(total, n)]
        if video and self.num_views == 2:
            return frame_sampling.segments_video_test(total, n, 2)
        return frame_sampling.segments_frames_test(total, n, self.num_views)


@TRANSFORMS.register_module()
@dataclass
class PretrainSample:
    """Clips of masked pretraining: one frame from each of ``num_segments`` segments, or, with
    one segment, ``num_frames`` frames ``stride`` apart; inside the row's interval if it has one.

    ``published_interval`` keeps the published off-by-one of lists with intervals: each index is
    one too low, -1 standing for the last frame.
    """

    num_frames: int
    stride: int = 1
    num_segments: int | None = None
    published_interval: bool = False
    allow_short: bool = True

    def __call__(self, sample: dict) -> dict:
        total = sample['total_frames']
        first, length = _window(sample)
        segments = self.num_frames if self.num_segments is None else self.num_segments
        span = self.num_frames * self.stride if segments == 1 else segments
        _check_length(self, sample, length, span)
        in_interval = 'start' in sample
        if in_interval and self.published_interval:
            # The published fault: the start of the interval replaces the 1 that offsets count
            # from.
            clip = frame_sampling.pretrain(
                length, segments, self.num_frames, self.stride, first=first
            )
        else:
            clip = first + frame_sampling.pretrain(length, segments, self.num_frames, self.stride)
        sample['frame_inds'] = np.where(clip < 0, clip + total, np.minimum(clip, total - 1))[None]
        return sample


INTERVAL_MODES = ('rand', 'middle', 'start', 'every', 'ends')


@TRANSFORMS.register_module()
@dataclass
class IntervalSample:
    """Sampling of the multi-modality models: one frame from each of ``num_frames`` intervals.

    ``mode='rand'`` draws it, never the last of its interval (as published) unless ``with_last``;
    ``'middle'`` and ``'start'`` do not draw; ``'every'`` takes the first ``num_frames`` of equally
    distant frames; ``'ends'`` frames evenly from the first to the last one; ``'fps<q>'`` takes
    ``q`` frames a second, at most ``num_frames``, the last one repeated where they are fewer.
    Images (one frame) stay one frame.  Where the sample has a ``window`` (first frame, length),
    only that is looked at.
    """

    num_frames: int
    mode: str = 'rand'
    with_last: bool = False

    def __post_init__(self) -> None:
        if self.num_frames < 1:
            raise ValueError('IntervalSample: num_frames must be at least 1')
        if self.mode not in INTERVAL_MODES and self._fps() is None:
            raise ValueError(
                f'IntervalSample: mode must be one of {INTERVAL_MODES} or fps<number>, '
                f'got {self.mode!r}'
            )

    def _fps(self) -> float | None:
        match = re.fullmatch(r'fps(\d+(?:\.\d*)?)', self.mode)
        return float(match[1]) if match and float(match[1]) > 0 else None

    def __call__(self, sample: dict) -> dict:
        first, length = sample.get('window', (0, sample['total_frames']))
        if sample.get('media_type') == 'image':
            clip = [0]
        elif self.mode == 'rand':
            clip = interval_sampling.interval_rand(
                length, self.num_frames, with_last=self.with_last
            )
        elif self.mode == 'middle':
            clip = interval_sampling.interval_middle(length, self.num_frames)
        elif self.mode == 'start':
            clip = interval_sampling.interval_start(length, self.num_frames)
        elif self.mode == 'every':
            clip = interval_sampling.every_nth(length, self.num_frames)
        elif self.mode == 'ends':
            clip = interval_sampling.interval_ends(length, self.num_frames)
        else:
            clip = self._regular(sample, length)
        sample['frame_inds'] = np.array(clip, np.int64)[None] + first
        return sample

    def _regular(self, sample: dict, length: int) -> list[int]:
        native = sample['video'].fps
        if not native:
            raise MediaError(sample['path'], f'frame rate unknown, which mode={self.mode!r} needs')
        clip = self._every(sample, length, native)
        # Shorter than half a period: its middle frame stands for it.
        clip = clip or [length // 2]
        return clip + clip[-1:] * (self.num_frames - len(clip))

    def _every(self, sample: dict, length: int, native: float) -> list[int]:
        timeline = timeline_of(sample['video'])
        if timeline.is_constant:
            return interval_sampling.frames_per_second(length, native, self._fps(), self.num_frames)
        first, _ = sample.get('window', (0, length))
        return timeline.every(first, length, self._fps())[: self.num_frames]


def _check(
    transform: 'UniformSample | DenseSample | SpanSample | SegmentSample', name: str
) -> None:
    if transform.mode not in MODES:
        raise ValueError(f'{name}: mode must be one of {MODES}, got {transform.mode!r}')
    if transform.num_frames < 1 or transform.num_views < 1:
        raise ValueError(f'{name}: num_frames and num_views must be at least 1')
    if transform.num_views > 1 and transform.mode != 'test':
        raise ValueError(f"{name}: num_views > 1 needs mode='test', got mode={transform.mode!r}")


def _check_length(transform: object, sample: dict, length: int, span: int) -> None:
    if not transform.allow_short and length < span:
        raise MediaError(
            sample['path'],
            f'{length} frames, fewer than the {span} that a clip spans (allow_short=False)',
        )


def _window(sample: dict) -> tuple[int, int]:
    """First frame and length of the part to sample, never empty nor beyond the video."""
    total = sample['total_frames']
    if 'start' not in sample:
        return 0, total
    first, length = _interval(sample, total)
    if first >= total or length < 0:
        raise MediaError(
            sample['path'],
            f'interval {sample["start"]:g}..{sample["end"]:g} s lies outside the video '
            f'of {sample["duration"]:g} s',
        )
    return first, max(length, 1)


def _interval(sample: dict, total: int) -> tuple[int, int]:
    """First frame and number of frames of the row's interval of seconds."""
    duration, start, end = (sample[key] for key in ('duration', 'start', 'end'))
    timeline = timeline_of(sample.get('video'))
    if timeline is None or timeline.is_constant or -1 in (duration, start, end):
        return frame_sampling.interval_window(total, duration, start, end)
    if start > timeline.end_of(total - 1):
        return total, 0
    return timeline.frames_between(start, end)
