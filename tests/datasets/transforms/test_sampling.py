"""Sampling transforms beyond the published numbers: ranges, repairs and messages."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from internvideo.datasets.bad_samples import MediaError
from internvideo.datasets.transforms.frame_sampling import pretrain
from internvideo.datasets.transforms.sampling import (
    DenseSample,
    PretrainSample,
    SegmentSample,
    SpanSample,
    UniformSample,
)
from internvideo.registry import TRANSFORMS
from tests.paths import ROOT

FACTS = json.loads((ROOT / 'tests/configs/internvideo1_videomae_data.json').read_text())
KINDS = [
    dict(type='UniformSample'),
    dict(type='DenseSample', stride=4),
    dict(type='DenseSample', stride=4, centered_val=True, strided_views=True),
    dict(type='SpanSample', stride=4),
    dict(type='SpanSample', stride=4, offset=False),
    dict(type='SegmentSample', media='video'),
    dict(type='SegmentSample', media='frames'),
]


@pytest.mark.parametrize('config', KINDS)
@given(total=st.integers(1, 400), n=st.integers(1, 33), views=st.integers(1, 5), data=st.data())
def test_indices_lie_in_the_video(config: dict, total: int, n: int, views: int, data) -> None:
    mode = data.draw(st.sampled_from(['train', 'val', 'test']))
    views = views if mode == 'test' else 1
    transform = TRANSFORMS.build(dict(config, num_frames=n, mode=mode, num_views=views))
    indices = transform(dict(total_frames=total))['frame_inds']
    assert indices.dtype == np.int64 and indices.shape == (views, n)
    assert indices.min() >= 0 and indices.max() < total
    assert (np.diff(indices, axis=1) >= 0).all()


@given(total=st.integers(1, 300), n=st.integers(1, 20), stride=st.integers(1, 4))
def test_pretraining_indices_lie_in_the_video(total: int, n: int, stride: int) -> None:
    for segments in (1, n):
        transform = PretrainSample(n, stride, segments)
        indices = transform(dict(total_frames=total))['frame_inds']
        assert indices.min() >= 0 and indices.max() < total


@given(start=st.floats(0, 9.9), length=st.floats(0, 30))
def test_intervals_are_cut_at_the_end_of_the_video(start: float, length: float) -> None:
    row = dict(path='x', total_frames=100, duration=10.0, start=start, end=start + length)
    indices = UniformSample(8, 'test', 3)(dict(row))['frame_inds']
    assert indices.min() >= int(10 * start) and indices.max() < 100
    assert PretrainSample(8)(dict(row))['frame_inds'].max() < 100


def test_an_interval_outside_the_video_is_unreadable() -> None:
    row = dict(path='x.mp4', total_frames=100, duration=10.0, start=12.0, end=14.0)
    with pytest.raises(MediaError, match=r'x\.mp4: interval 12\.\.14 s lies outside'):
        UniformSample(8)(row)


SPANS = [(kind | dict(num_frames=8), 32 if 'stride' in kind else 8) for kind in KINDS]
SPANS += [(dict(type='PretrainSample', num_frames=8, stride=4, num_segments=1), 32)]


@pytest.mark.parametrize(('config', 'span'), SPANS, ids=str)
def test_videos_shorter_than_a_clip_can_be_refused(config: dict, span: int) -> None:
    strict = TRANSFORMS.build(config | dict(allow_short=False))
    with pytest.raises(MediaError, match=rf'x\.mp4: {span - 1} frames, fewer than the {span}'):
        strict(dict(path='x.mp4', total_frames=span - 1))
    assert strict(dict(path='x.mp4', total_frames=span))['frame_inds'].shape == (1, 8)
    repeated = TRANSFORMS.build(config)(dict(path='x.mp4', total_frames=span - 1))
    assert repeated['frame_inds'].shape == (1, 8)


def test_dense_validation_begins_inside_the_video() -> None:
    fixed = DenseSample(8, 4, 'val')(dict(total_frames=40))['frame_inds'][0]
    assert fixed[0] == 0 and fixed[-1] == 31
    published = DenseSample(8, 4, 'val', published_val=True)(dict(total_frames=40))['frame_inds']
    assert published[0, 0] == 40 - 28


def test_single_views_are_central() -> None:
    assert DenseSample(4, 2, 'test')(dict(total_frames=28))['frame_inds'].tolist() == [
        [10, 12, 14, 16]
    ]


def test_spans_end_to_end() -> None:
    spans = SpanSample(4, 10, 'test', 3)(dict(total_frames=100))['frame_inds']
    assert spans[:, 0].tolist() == [0, 30, 60] and spans[:, -1].tolist() == [39, 69, 99]
    parts = SpanSample(4, 10, 'test', 3, offset=False)(dict(total_frames=100))['frame_inds']
    assert parts[:, 0].tolist() == [0, 20, 40]
    central = SpanSample(4, 10, 'val', offset=False)(dict(total_frames=100))['frame_inds']
    assert central.tolist() == [[30, 43, 56, 69]]


@pytest.mark.parametrize(
    ('build', 'message'),
    [
        (lambda: UniformSample(8, 'eval'), 'UniformSample: mode must be one of'),
        (lambda: UniformSample(8, 'train', 4), "num_views > 1 needs mode='test'"),
        (lambda: DenseSample(8, 0), 'stride must be at least 1'),
        (lambda: DenseSample(8, 2, 'val', 1, True, True, True), 'are different spans'),
        (lambda: SpanSample(8, 0), 'SpanSample: stride must be at least 1'),
        (lambda: SegmentSample(0), 'num_frames and num_views must be at least 1'),
        (lambda: SegmentSample(8, media='folder'), "media must be 'video' or 'frames'"),
    ],
)
def test_wrong_fields_are_named(build, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()


# Published clips of masked autoencoders on videos.


@pytest.mark.parametrize('fact', FACTS['pretrain_frames'], ids=str)
def test_published_pretraining_clips(fact: dict) -> None:
    first = fact['one_based_start'] - 1
    drawn = []

    def draw(room: int, size: int) -> np.ndarray:
        drawn.append(room)
        return np.full(size, first)

    frames = pretrain(fact['duration'], 1, fact['frames'], fact['step'], draw)
    assert frames.tolist() == fact['zero_based_indices']
    # Videos that are no longer than a clip start at their first frame.
    room = fact['duration'] - fact['frames'] * fact['step'] + 1
    assert drawn == ([room] if room > 0 else [])
    indices = PretrainSample(fact['frames'], fact['step'], 1)(dict(total_frames=fact['duration']))
    assert indices['frame_inds'].shape == (1, fact['frames'])


@pytest.mark.parametrize('fact', FACTS['test_views_dense'], ids=lambda fact: str(fact['length']))
def test_published_dense_views(fact: dict) -> None:
    sampling = DenseSample(
        fact['clip_len'], fact['rate'], 'test', fact['segments'], strided_views=True
    )
    views = sampling(dict(total_frames=fact['length']))['frame_inds']
    assert views.tolist() == fact['views']


@pytest.mark.parametrize('fact', FACTS['test_views_sparse'], ids=lambda fact: str(fact['length']))
def test_published_sparse_views(fact: dict) -> None:
    sampling = SegmentSample(fact['frames'], 'test', fact['segments'])
    views = sampling(dict(total_frames=fact['length']))['frame_inds']
    assert views.tolist() == fact['views']
    # Where an index is cut to an integer does not depend on the order in which views are listed.
    tick = fact['length'] / fact['frames']
    expected = [
        [int(view * tick / fact['segments'] + tick * place) for place in range(fact['frames'])]
        for view in range(fact['segments'])
    ]
    assert views.tolist() == expected


@pytest.mark.parametrize('fact', FACTS['validation_frames'], ids=lambda fact: str(fact['length']))
def test_published_dense_validation(fact: dict) -> None:
    sampling = DenseSample(fact['clip_len'], fact['rate'], 'val', centered_val=True)
    frames = sampling(dict(total_frames=fact['length']))['frame_inds']
    assert frames.tolist() == [fact['indices']]


@pytest.mark.parametrize('length', [16, 45, 300])
def test_sparse_validation_takes_the_middle_of_each_segment(length: int) -> None:
    frames = SegmentSample(16, 'val')(dict(total_frames=length))['frame_inds']
    expected = [int((place + 0.5) * length / 16) for place in range(16)]
    assert frames.tolist() == [expected]


def test_one_strided_view_is_central() -> None:
    sampling = DenseSample(4, 2, 'test', strided_views=True)
    assert sampling(dict(total_frames=28))['frame_inds'].tolist() == [[10, 12, 14, 16]]
