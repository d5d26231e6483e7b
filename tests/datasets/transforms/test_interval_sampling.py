import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from internvideo.datasets.transforms.interval_sampling import (
    clip_offsets,
    every_nth,
    frame_intervals,
    frames_per_second,
    interval_ends,
    interval_middle,
    interval_rand,
    interval_start,
)
from internvideo.datasets.transforms.sampling import IntervalSample

LENGTHS = dict(total=st.integers(1, 400), wanted=st.integers(1, 16))


@given(**LENGTHS, seed=st.integers(0, 9))
def test_clips_have_the_wanted_length_and_stay_inside(total, wanted, seed):
    draw = random.Random(seed)
    drawn = interval_rand(total, wanted, draw.choice, np.random.RandomState(seed).permutation)
    rules = (interval_middle, interval_start, interval_ends, every_nth)
    for clip in (drawn, *(rule(total, wanted) for rule in rules)):
        assert len(clip) == wanted
        assert clip == sorted(clip)
        assert 0 <= clip[0] <= clip[-1] < total


@given(**LENGTHS)
def test_intervals_divide_the_video(total, wanted):
    intervals = frame_intervals(total, wanted)
    assert [i for first, last in intervals for i in range(first, last + 1)] == list(range(total))


@given(**LENGTHS)
def test_the_last_frame_of_an_interval_is_drawn_where_asked_for(total, wanted):
    intervals = frame_intervals(total, wanted)
    ends = interval_rand(total, wanted, lambda frames: frames[-1], with_last=True)
    assert ends[: len(intervals)] == [last for _, last in intervals]
    before = interval_rand(total, wanted, lambda frames: frames[-1])
    if all(first < last for first, last in intervals):
        assert before == [last - 1 for _, last in intervals]
    sample = IntervalSample(wanted, with_last=True)(dict(total_frames=total))
    (drawn,) = sample['frame_inds'].tolist()
    assert all(a <= i <= b for (a, b), i in zip(intervals, drawn, strict=False))


def test_frames_a_second_start_half_a_period_in():
    assert frames_per_second(100, 25.0, 1.0) == [12, 38, 62, 88]
    assert frames_per_second(100, 25.0, 1.0, max_frames=2) == [12, 38]
    assert frames_per_second(10, 30.0, 0.5) == []
    assert clip_offsets(10, 4) == [1, 3, 5, 8]


def test_every_nth_frame_is_that_of_the_published_demo():
    for total in (8, 9, 15, 16, 100, 301):
        assert every_nth(total, 8) == list(range(total))[:: total // 8][:8]
    assert every_nth(3, 5) == [0, 1, 2, 2, 2]
    sample = IntervalSample(8, mode='every')(dict(total_frames=301))
    assert sample['frame_inds'].tolist() == [[0, 37, 74, 111, 148, 185, 222, 259]]


@pytest.mark.parametrize(
    ('total', 'frames'),
    [
        (8, [0, 1, 2, 3, 4, 5, 6, 7]),
        (30, [0, 4, 8, 12, 16, 20, 24, 29]),
        (100, [0, 14, 28, 42, 56, 70, 84, 99]),
        (5, [0, 0, 1, 1, 2, 2, 3, 4]),
    ],
)
def test_ends_are_taken_as_the_published_demo_of_the_multimodal_model_does(total, frames):
    assert interval_ends(total, 8) == frames
