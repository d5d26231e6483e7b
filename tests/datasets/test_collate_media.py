"""Packing and batching of pictures and sound."""

import numpy as np
import pytest
import torch

from internvideo.datasets.collate import collate_media
from internvideo.datasets.transforms.packing import PackMedia
from internvideo.datasets.transforms.sampling import IntervalSample


def item(path='x.mp4', video=True, audio=False, frames=2, **facts):
    sample = dict(path=path, sample_index=0, media_type='video', caption='a ball', **facts)
    if video:
        sample['imgs'] = np.arange(frames * 60, dtype=np.uint8).reshape(frames, 4, 5, 3)
    if audio:
        sample['audio'] = np.ones((6, 4), np.float32)
    return PackMedia()(sample)


def test_packing_orders_axes_and_keeps_facts():
    packed = item(audio=True, pair_id=7, question='what')
    expected = np.arange(120).reshape(2, 4, 5, 3).transpose(3, 0, 1, 2)
    assert (packed['inputs']['video'].numpy() == expected).all()
    assert packed['inputs']['audio'].dtype == torch.float32
    facts = packed['data_samples']
    assert (facts.pair_id, facts.caption, facts.question) == (7, 'a ball', 'what')
    assert facts.get('max_text_length') is None


def test_batches_hold_what_items_hold_and_put_unreadable_last():
    broken = dict(inputs=None, data_samples=item('z.mp4')['data_samples'])
    batch = collate_media([broken, item(audio=True), [item(audio=True)]])
    assert batch['inputs']['video'].shape == (2, 3, 2, 4, 5)
    assert batch['inputs']['audio'].shape == (2, 6, 4)
    assert batch['data_samples'][2] is broken['data_samples']
    assert collate_media([broken])['inputs'] is None
    assert list(collate_media([item(video=False, audio=True)])['inputs']) == ['audio']


def test_differing_media_are_named():
    with pytest.raises(ValueError, match=r"\['video'\] of x.mp4, \['video', 'audio'\] of y.mp4"):
        collate_media([item(), item('y.mp4', audio=True)])
    with pytest.raises(ValueError, match=r'differ in shape: .* of x.mp4, .* of y.mp4'):
        collate_media([item(), item('y.mp4', frames=3)])


class Film:
    fps = 10.0


@pytest.mark.parametrize(
    ('mode', 'facts', 'expected'),
    [
        ('middle', {}, [2, 7, 12, 17]),
        ('start', {}, [0, 5, 10, 15]),
        ('middle', dict(window=(10, 8)), [10, 12, 14, 16]),
        ('ends', {}, [0, 6, 12, 19]),
        ('ends', dict(window=(10, 8)), [10, 12, 14, 17]),
        ('fps2', {}, [2, 8, 12, 18]),
        ('fps1', {}, [5, 15, 15, 15]),
        ('rand', dict(media_type='image'), [0]),
    ],
    ids=str,
)
def test_frames_of_a_sample(mode, facts, expected):
    sample = dict(path='x.mp4', video=Film(), total_frames=20, **facts)
    assert IntervalSample(4, mode)(sample)['frame_inds'].tolist() == [expected]


@pytest.mark.parametrize(
    ('fields', 'reason'),
    [
        (dict(num_frames=0), 'num_frames must be at least 1'),
        (dict(num_frames=4, mode='fps'), 'fps<number>'),
        (dict(num_frames=4, mode='fps0'), 'fps<number>'),
    ],
    ids=str,
)
def test_sampling_that_cannot_be_is_refused(fields, reason):
    with pytest.raises(ValueError, match=reason):
        IntervalSample(**fields)
