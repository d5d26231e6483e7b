"""Boxes and segments of a video in the clips that are decoded from it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from internvideo.datasets.bad_samples import MediaError
from internvideo.datasets.media_loading import MediaLoading
from internvideo.datasets.transforms.clip_annotations import places_in_clip
from internvideo.datasets.transforms.loading import DecodeFrames
from internvideo.datasets.transforms.sampling import DenseSample, PretrainSample, UniformSample


class Reader:
    """Frames of a video in memory, each filled with its number."""

    def __init__(self, count: int, fps: float = 10.0) -> None:
        self.count, self.fps = count, fps

    def __len__(self) -> int:
        return self.count

    def get_batch(self, indices: list[int]) -> np.ndarray:
        return np.stack([np.full((8, 16, 3), index, np.uint8) for index in indices])


def decode(frame_inds, count: int = 100, fps: float = 10.0, **fields) -> dict:
    frame_inds = np.atleast_2d(frame_inds)
    return DecodeFrames()(
        dict(path='x.mp4', video=Reader(count, fps), frame_inds=frame_inds, **fields)
    )


@given(
    steps=st.lists(st.integers(0, 5), min_size=1, max_size=8),
    start=st.integers(0, 60),
    length=st.integers(1, 60),
)
def test_a_segment_holds_the_frames_that_it_held_before(steps, start, length) -> None:
    """Its bounds lie between frames, so no frame's middle is on one of them."""
    inds = np.cumsum(steps)
    begin, end = places_in_clip(np.array([start, start + length], float), inds)
    assert 0 <= begin <= end <= len(inds)
    middles = np.arange(len(inds)) + 0.5
    held = (inds + 0.5 >= start) & (inds + 0.5 < start + length)
    assert ((middles >= begin) & (middles < end)).tolist() == held.tolist()


@given(st.lists(st.integers(0, 9), min_size=1, max_size=6), st.integers(0, 9))
def test_a_segment_from_the_middle_of_a_frame_holds_its_repetitions(steps, pick) -> None:
    inds = np.cumsum(steps)
    start = inds[pick % len(inds)] + 0.5
    begin, end = places_in_clip(np.array([start, start + 0.25]), inds)
    middles = np.arange(len(inds)) + 0.5
    assert ((middles >= begin) & (middles < end)).tolist() == (inds + 0.5 == start).tolist()


@pytest.mark.parametrize(
    ('sampling', 'expected'),
    [
        # Frames 8, 12, ..., 36 of 10 a second: 2 s to 3 s is frame 20 to 30.
        (lambda s: s | dict(frame_inds=np.arange(8, 40, 4)[None]), [3.375, 5.875]),
        # One frame a second from its middle: a segment in frames is one in tenths.
        (lambda s: s | dict(frame_inds=np.arange(5, 100, 10)[None]), [1.95, 2.95]),
    ],
)
def test_seconds_become_frames_of_the_clip(sampling, expected) -> None:
    sample = decode(sampling({})['frame_inds'], gt_segments=[[2.0, 3.0], [50, 60]])
    places = sample['gt_segments']
    assert places.shape == (1, 2, 2) and places[0, 0].tolist() == pytest.approx(expected)
    assert np.isnan(places[0, 1]).all()
    in_frames = decode(
        sampling({})['frame_inds'], 100, 0.0, gt_segments=[[20, 30]], segment_unit='frames'
    )
    np.testing.assert_allclose(in_frames['gt_segments'][0, 0], expected)


def test_the_ends_of_a_clip_reach_half_a_step_beyond_its_middles() -> None:
    segments = [[0.0, 0.75], [3.65, 9.0], [0.0, 0.65], [0.0, 9.9]]
    places = decode(np.arange(8, 40, 4), gt_segments=segments)['gt_segments'][0]
    # The clip covers frames 6.5 to 38.5, four of them are one of its own.
    np.testing.assert_allclose(places[[0, 1, 3]], [[0, 0.25], [7.5, 8], [0, 8]])
    assert np.isnan(places[2]).all()


@pytest.mark.parametrize(
    'sampling',
    [
        UniformSample(6, 'train'),
        UniformSample(6, 'test', num_views=3),
        DenseSample(6, 4, 'test', num_views=2),
        PretrainSample(6, 3),
        UniformSample(150, 'val'),
    ],
    ids=str,
)
def test_every_view_has_its_own_segments(sampling) -> None:
    sample = sampling(dict(total_frames=100))
    found = decode(sample['frame_inds'], gt_segments=[[2.0, 4.0]])
    for clip, segments in zip(found['imgs'].reshape(found['num_views'], found['clip_len'], -1),
                              found['gt_segments'], strict=True):  # fmt: skip
        held = (clip[:, 0] >= 20) & (clip[:, 0] < 40)
        middles = np.arange(len(clip)) + 0.5
        inside = (middles >= segments[0, 0]) & (middles < segments[0, 1])
        assert inside.tolist() == held.tolist()


def test_boxes_of_every_frame_become_those_of_the_clips() -> None:
    moving = np.arange(100)[:, None, None] + np.zeros((1, 2, 4))
    sample = decode([[1, 3], [5, 9]], gt_boxes=moving, boxes=[[0, 0, 0.5, 1]], box_unit='share')
    assert sample['gt_boxes'].shape == (2, 2, 2, 4)
    assert sample['gt_boxes'][1, 1, 0].tolist() == [9 * 16, 9 * 8, 9 * 16, 9 * 8]
    assert sample['boxes'].tolist() == [[[0, 0, 8, 8]]] * 2
    assert not {'box_unit', 'segment_unit'} & set(sample)


def test_no_objects_are_no_fault() -> None:
    sample = decode([[1, 3]], gt_boxes=[], gt_segments=[])
    assert sample['gt_boxes'].shape == (1, 0, 4) and sample['gt_segments'].shape == (1, 0, 2)


@pytest.mark.parametrize(
    ('fields', 'message'),
    [
        (dict(gt_boxes=[[1, 2, 3]]), r'gt_boxes must be \(N, 4\) or \(L, N, 4\), got \(1, 3\)'),
        (dict(gt_boxes=np.zeros((5, 1, 4))), 'gt_boxes of 5 frames, but frame 9'),
        (dict(gt_boxes=[[0] * 4], box_unit='px'), "box_unit must be 'pixels' or 'share'"),
        (dict(gt_segments=[[0, 1]], segment_unit='s'), "segment_unit must be 'seconds'"),
        (dict(gt_segments=[0, 1]), r'gt_segments must be \(N, 2\)'),
        (dict(gt_segments=[[0, 1]], fps=0.0), 'frame rate unknown'),
        (dict(gt_segments=[[0, 1]], frame_inds=[4, 2]), 'in the order of time'),
    ],
)
def test_wrong_annotations_are_named(fields, message) -> None:
    with pytest.raises(ValueError, match=message):
        decode(**dict(frame_inds=[3, 9]) | fields)


def test_a_missing_rate_is_a_fault_of_the_file() -> None:
    with pytest.raises(MediaError):
        decode([1], fps=0.0, gt_segments=[[0, 1]])


def test_boxes_follow_what_is_cut_out_at_loading() -> None:
    loading = MediaLoading(
        'video', UniformSample(2, 'val'), opener=lambda s: s | dict(video=Reader(9), total_frames=9)
    )
    sample = loading(dict(path='x', crop_bbox=[4, 2, 12, 8], gt_boxes=[[4, 2, 8, 8]]))
    assert sample['gt_boxes'].tolist() == [[[0, 0, 4, 6]]]
