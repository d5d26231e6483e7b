"""Seconds and frames: published formulae at a constant rate, presentation times elsewhere."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from internvideo.datasets.media.timeline import timeline_of
from internvideo.datasets.media_loading import MediaLoading
from internvideo.datasets.transforms import frame_sampling, interval_sampling
from internvideo.datasets.transforms.clip_annotations import annotate_clips
from internvideo.datasets.transforms.sampling import IntervalSample, UniformSample

# A screen recording: four quick frames, a pause of two seconds, four quick frames.
PAUSED = np.array([0.0, 0.1, 0.2, 0.3, 2.3, 2.4, 2.5, 2.6])


class Film:
    """Frames with times, whose levels are their numbers."""

    def __init__(self, times: np.ndarray) -> None:
        self.times, self.fps = times, len(times) / (times[-1] - times[0] + 0.1)

    def __len__(self) -> int:
        return len(self.times)

    def get_batch(self, indices) -> np.ndarray:
        return np.stack([np.full((4, 4, 3), index, np.uint8) for index in indices])


def paused(**facts) -> dict:
    return dict(path='a.mkv', video=Film(PAUSED), total_frames=len(PAUSED), **facts)


def trimmed(seconds: float) -> list[int]:
    """Frames that are read of the first seconds."""

    def opened(sample: dict) -> dict:
        return sample | paused()

    loading = MediaLoading('video', UniformSample(8, 'val'), opener=opened, trimmed_seconds=seconds)
    return sorted({int(image[0, 0, 0]) for image in loading(dict(path='a.mkv'))['imgs']})


@pytest.mark.parametrize(('seconds', 'last'), [(0.35, 2), (1.0, 2), (2.35, 3), (2.45, 4), (9, 6)])
def test_the_first_seconds_are_those_of_the_clock(seconds: float, last: int) -> None:
    assert max(trimmed(seconds)) == last


@pytest.mark.parametrize(
    ('start', 'end', 'expected'),
    [(0.0, 0.3, {0, 1, 2}), (1.0, 2.35, {3, 4}), (2.3, 9.0, {4, 5, 6, 7}), (1.0, 2.0, {3})],
)
def test_an_interval_holds_what_is_on_display(start: float, end: float, expected: set) -> None:
    sample = UniformSample(8, 'test')(paused(duration=2.7, start=start, end=end))
    assert set(sample['frame_inds'].reshape(-1).tolist()) <= expected


def test_frames_a_second_are_those_on_display_then() -> None:
    sample = IntervalSample(5, 'fps2')(paused())
    # At 0.25, 0.75, 1.25, 1.75 and 2.25 s: the pause shows its frame all the time.
    assert sample['frame_inds'].tolist() == [[2, 3, 3, 3, 3]]


def test_segments_lie_where_their_seconds_are() -> None:
    sample = paused(gt_segments=[[1.0, 2.4]], imgs=np.zeros((8, 4, 4, 3), np.uint8))
    annotate_clips(sample, np.arange(8)[None], timeline_of(sample['video']))
    np.testing.assert_allclose(sample['gt_segments'], [[[3.35, 5.0]]])


@given(st.integers(1, 400), st.sampled_from([10.0, 24.0, 25.0, 30000 / 1001]), st.floats(0, 20))
def test_a_constant_rate_keeps_the_published_formulae(count, rate, seconds) -> None:
    times = np.round(np.arange(count) / rate, 3)
    film = SimpleNamespace(times=times, fps=rate, __len__=lambda: count)
    timeline = timeline_of(film)
    assert timeline.is_constant
    assert timeline.frames_within(seconds) == int(seconds * rate)
    sample = dict(path='a.mp4', video=film, total_frames=count)
    expected = interval_sampling.frames_per_second(count, rate, 2.0, 4) or [count // 2]
    found = IntervalSample(4, 'fps2')(dict(sample))['frame_inds'][0].tolist()
    assert found == expected + expected[-1:] * (4 - len(expected))
    row = dict(duration=count / rate, start=0.2 * count / rate, end=0.7 * count / rate)
    first, length = frame_sampling.interval_window(count, *row.values())
    found = UniformSample(4, 'val')(sample | row)['frame_inds'][0]
    published = np.array(frame_sampling.uniform_val(max(length, 1), 4)) + first
    assert found.tolist() == np.minimum(published, count - 1).tolist()
