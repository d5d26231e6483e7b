"""Sampling of transformers and torchcodec, compared with the libraries themselves."""

import re
from fractions import Fraction
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from internvideo.datasets.media.errors import MediaError
from internvideo.datasets.transforms.loading import OpenVideo
from internvideo.datasets.transforms.peer_sampling import (
    PROCESSORS,
    ClipsAtIndices,
    ClipsAtTimestamps,
    ProcessorSample,
)

CLASSES = dict(
    videomae='VideoMAEVideoProcessor',
    vjepa2='VJEPA2VideoProcessor',
    internvl='InternVLVideoProcessor',
    qwen2_vl='Qwen2VLVideoProcessor',
    qwen2_5_vl='Qwen2VLVideoProcessor',
    qwen3_vl='Qwen3VLVideoProcessor',
)
REFUSALS = (ValueError, ZeroDivisionError)
RATES = (10.0, 24.0, 25.0, 30000 / 1001, 30.0, 50.0, 59.94, 120.0)


def video(total, fps=25.0, times=None):
    return dict(path='a.mp4', total_frames=total, video=SimpleNamespace(fps=fps, times=times))


def frames(transform, sample):
    """Chosen frames as lists, or what the library's refusal becomes."""
    try:
        indices = transform(sample)['frame_inds']
    except MediaError:
        return 'refused'
    assert indices.dtype == np.int64
    return indices.tolist()


@cache
def processor(name):
    module = pytest.importorskip('transformers.models.auto.video_processing_auto')
    # The class that transformers takes for a model of this type.
    assert module.VIDEO_PROCESSOR_MAPPING_NAMES[name]['torchvision'] == CLASSES[name]
    return module.video_processor_class_from_name(CLASSES[name])()


def theirs(name, total, rate, **arguments):
    metadata = pytest.importorskip('transformers.video_utils').VideoMetadata(total, fps=rate)
    try:
        return [int(i) for i in processor(name).sample_frames(metadata, **arguments)]
    except REFUSALS:
        return 'refused'


def agrees(found, expected, total):
    if expected == 'refused':
        return found == 'refused'
    # Qwen2-VL's may add a frame that the video does not have.
    return found == [[i for i in expected if i < total]]


@pytest.mark.parametrize('name', PROCESSORS)
@given(total=st.integers(1, 400), count=st.integers(1, 80))
def test_a_number_of_frames_is_sampled_as_transformers_does(name, total, count):
    ours = frames(ProcessorSample(name, num_frames=count), video(total))
    assert agrees(ours, theirs(name, total, 25.0, num_frames=count), total)


@pytest.mark.parametrize('name', PROCESSORS)
@given(total=st.integers(1, 900), rate=st.sampled_from(RATES), fps=st.floats(0.1, 40.0))
def test_a_rate_is_sampled_as_transformers_does(name, total, rate, fps):
    ours = frames(ProcessorSample(name, fps=fps), video(total, rate))
    assert agrees(ours, theirs(name, total, rate, fps=fps), total)


@pytest.mark.parametrize('name', ['qwen2_vl', 'qwen2_5_vl'])
@given(
    total=st.integers(1, 900),
    bounds=st.tuples(st.integers(1, 20), st.integers(20, 60)),
    patch=st.integers(1, 4),
)
def test_bounds_and_temporal_patches_are_those_of_transformers(name, total, bounds, patch):
    arguments = dict(zip(('min_frames', 'max_frames'), bounds, strict=True))
    arguments |= dict(fps=2.0, temporal_patch_size=patch)
    ours = frames(ProcessorSample(name, **arguments), video(total, 30.0))
    assert agrees(ours, theirs(name, total, 30.0, **arguments), total)


@given(total=st.integers(1, 900), bounds=st.tuples(st.integers(1, 20), st.integers(20, 60)))
def test_bounds_of_qwen3_are_its_attributes(total, bounds):
    least, most = bounds
    ours = ProcessorSample('qwen3_vl', fps=3.0, min_frames=least, max_frames=most)
    real = type(processor('qwen3_vl'))(min_frames=least, max_frames=most, fps=3.0)
    metadata = pytest.importorskip('transformers.video_utils').VideoMetadata(total, fps=30.0)
    assert frames(ours, video(total, 30.0)) == [real.sample_frames(metadata).tolist()]


def test_without_arguments_only_qwen3_samples():
    sampling = {name for name in PROCESSORS if processor(name).do_sample_frames}
    assert sampling == {'qwen3_vl'}
    assert frames(ProcessorSample('qwen3_vl'), video(100)) == [theirs('qwen3_vl', 100, 25.0)]
    for name in ('qwen2_vl', 'internvl'):
        with pytest.raises(TypeError):
            theirs(name, 100, 25.0)
        with pytest.raises(ValueError, match=f'{name} needs num_frames or fps'):
            ProcessorSample(name)


def test_qwen2_frames_beyond_the_video_are_left_out():
    assert theirs('qwen2_vl', 34, 25.0, num_frames=14)[-1] == 34
    (clip,) = frames(ProcessorSample('qwen2_vl', num_frames=14), video(34))
    assert len(clip) == 14
    assert clip[-1] == 31


def test_a_rate_follows_the_times_where_these_vary():
    # Ten frames in the first second, one each in the nine after it.
    times = np.concatenate([np.arange(10) / 10, np.arange(1, 10)])
    sample = video(len(times), len(times) / 10, times + 3.0)
    (clip,) = frames(ProcessorSample('videomae', fps=0.5), sample)
    assert np.floor(times[clip]).tolist() == [0, 1, 3, 5, 7]
    near_constant = np.round(np.arange(90) / 29.97, 3)
    by_time = frames(ProcessorSample('videomae', fps=3.0), video(90, 29.97, near_constant))
    assert by_time == frames(ProcessorSample('videomae', fps=3.0), video(90, 29.97))


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (dict(processor='qwen'), 'processor must be one of videomae'),
        (dict(processor='vjepa2', num_frames=8, max_frames=9), 'vjepa2 has no max_frames'),
        (dict(processor='internvl', num_frames=8, fps=1.0), 'needs num_frames or fps, one'),
    ],
)
def test_arguments_that_a_processor_does_not_have_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        ProcessorSample(**arguments)


def test_a_rate_without_that_of_the_file_is_refused():
    with pytest.raises(MediaError, match=r'a\.mp4: frame rate unknown, which fps=2 needs'):
        ProcessorSample('vjepa2', fps=2.0)(video(10, fps=0.0))


class CountedFrames:
    """Frames whose pixels are their numbers, for torchcodec's samplers."""

    def __init__(self, total):
        self.total = total

    def __len__(self):
        return self.total

    def get_frames_at(self, indices):
        numbers = torch.tensor([int(i) for i in indices])
        seconds = numbers.double()
        batch = pytest.importorskip('torchcodec').FrameBatch
        return batch(numbers[:, None, None, None], seconds, torch.ones_like(seconds))


def torch_draw(low, high, size):
    return torch.randint(low, high, (size,)).numpy()


@pytest.mark.parametrize('mode', ['regular', 'random'])
@given(
    total=st.integers(1, 120),
    views=st.integers(1, 9),
    count=st.integers(1, 12),
    stride=st.integers(1, 9),
    start=st.integers(-20, 40),
    end=st.none() | st.integers(-20, 60),
    policy=st.sampled_from(['repeat_last', 'wrap', 'error']),
)
def test_clips_at_indices_are_those_of_torchcodec(
    mode, total, views, count, stride, start, end, policy
):
    samplers = pytest.importorskip('torchcodec.samplers')
    assume(start >= -total)
    ours = ClipsAtIndices(count, mode, views, stride, start, end, policy, draw=torch_draw)
    torch.manual_seed(0)
    found = frames(ours, video(total))
    torch.manual_seed(0)
    try:
        batch = getattr(samplers, f'clips_at_{mode}_indices')(
            CountedFrames(total),
            num_clips=views,
            num_frames_per_clip=count,
            num_indices_between_frames=stride,
            sampling_range_start=start,
            sampling_range_end=end,
            policy=policy,
        )
    except ValueError:
        assert found == 'refused'
    else:
        assert found == batch.data[..., 0, 0, 0].tolist()


def write_clip(path: Path, lengths: list[int], ticks: int) -> Path:
    """Small frames, each shown for its length in ticks of a second."""
    starts = [0, *np.cumsum(lengths).tolist()]
    with av.open(str(path), 'w') as container:
        options = dict(bf='0', video_track_timescale=str(ticks))
        stream = container.add_stream('libx264', rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = 32, 32, 'yuv420p'
        stream.codec_context.time_base = Fraction(1, ticks)
        packets = []
        for number in range(len(lengths)):
            image = np.full((32, 32, 3), 6 * number % 256, np.uint8)
            frame = av.VideoFrame.from_ndarray(image, format='rgb24')
            frame.pts, frame.time_base = starts[number], Fraction(1, ticks)
            packets += stream.encode(frame)
        for packet, length in zip([*packets, *stream.encode()], lengths, strict=False):
            packet.duration = length
            container.mux(packet)
    return path


@cache
def decoder(path: Path):
    decoders = pytest.importorskip('torchcodec.decoders')
    return decoders.VideoDecoder(str(path), seek_mode='exact')


VARIED = np.random.default_rng(0).choice([20, 40, 300], 40).tolist()


@pytest.fixture(
    scope='module',
    params=[([1] * 40, 10), ([1] * 40, 25), ([1001] * 40, 30000), (VARIED, 1000)],
    ids=['10', '25', '30000/1001', 'variable'],
)
def timed(request, tmp_path_factory):
    return write_clip(tmp_path_factory.mktemp('timed') / 'clip.mp4', *request.param)


def shown_times(path):
    return decoder(path).get_frames_at(list(range(40))).pts_seconds.numpy()


@pytest.mark.parametrize('mode', ['regular', 'random'])
@settings(max_examples=15, deadline=None)
@given(
    clips=st.integers(1, 5),
    count=st.integers(1, 5),
    between=st.none() | st.sampled_from([0.04, 0.1, 0.125, 0.33]),
    gap=st.sampled_from([0.2, 0.25, 0.7]),
    start=st.none() | st.sampled_from([0.0, 0.3, 0.8]),
    policy=st.sampled_from(['repeat_last', 'wrap']),
)
def test_clips_at_timestamps_are_those_of_torchcodec(
    timed, mode, clips, count, between, gap, start, policy
):
    samplers = pytest.importorskip('torchcodec.samplers')
    number = dict(num_clips=clips) if mode == 'random' else dict(seconds_between_clip_starts=gap)
    # An end beyond the last clip that fits: there the policy counts.
    arguments = dict(number, seconds_between_frames=between, policy=policy)
    arguments |= dict(sampling_range_start=start, sampling_range_end=None if start is None else 1.2)
    torch.manual_seed(0)
    try:
        batch = getattr(samplers, f'clips_at_{mode}_timestamps')(
            decoder(timed), num_frames_per_clip=count, **arguments
        )
        times = shown_times(timed)
        expected = np.searchsorted(times, batch.pts_seconds.numpy()).tolist()
    except ValueError as error:
        assert re.search('must be smaller', str(error))
        expected = 'refused'
    ours = ClipsAtTimestamps(
        count,
        mode,
        seconds_between_frames=between,
        start=start,
        end=arguments['sampling_range_end'],
        policy=policy,
        draw=lambda size: torch.rand(size, dtype=torch.float64).numpy(),
        **(dict(num_views=clips) if mode == 'random' else number),
    )
    torch.manual_seed(0)
    assert frames(ours, dict(OpenVideo()(dict(path=str(timed))))) == expected


def test_clips_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match='policy must be one of'):
        ClipsAtIndices(4, policy='loop')
    with pytest.raises(ValueError, match='give seconds_between_clip_starts'):
        ClipsAtTimestamps(4, num_views=2)
    with pytest.raises(MediaError, match=r'no clip starts in frames 50 to 29 of 40'):
        ClipsAtIndices(4, start=50, end=30)(video(40))
    with pytest.raises(MediaError, match='a clip of 4 frames ends after 2'):
        ClipsAtIndices(4, start=38, end=39, policy='error')(video(40))
