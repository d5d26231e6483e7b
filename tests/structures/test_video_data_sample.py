"""The record beside a clip."""

import pickle

import numpy as np
import pytest
import torch

from internvideo.structures import VideoDataSample


def test_fields_and_metainfo():
    sample = VideoDataSample(metainfo=dict(path='a.mp4', sample_index=3))
    sample.set_gt_label(2).set_gt_score([0.1, 0.9]).set_pred_score(torch.tensor([0.2, 0.7, 0.1]))
    assert (sample.path, sample.sample_index, int(sample.gt_label)) == ('a.mp4', 3, 2)
    assert sample.gt_label.dtype == torch.long and sample.gt_score.dtype == torch.float32
    assert int(sample.pred_label) == 1
    assert sample.to_dict()['path'] == 'a.mp4'


@pytest.mark.parametrize('label', [4, np.int64(4), torch.tensor(4)])
def test_a_label_may_come_as_any_integer(label):
    assert VideoDataSample().set_gt_label(label).gt_label.shape == ()


def test_unreadable_is_metainfo_with_a_reason():
    sample = VideoDataSample(metainfo=dict(path='a.mp4'))
    assert not sample.is_unreadable
    sample.set_metainfo(dict(unreadable='no frames'))
    assert sample.is_unreadable and sample.unreadable == 'no frames'


def test_shapes_are_checked():
    with pytest.raises(ValueError, match=r'one axis \(classes\), got shape \(2, 3\)'):
        VideoDataSample().set_pred_score(torch.zeros(2, 3))
    with pytest.raises(ValueError, match=r'single index, got shape \(2,\)'):
        VideoDataSample().set_gt_label([1, 2])


def test_it_travels_between_processes():
    sample = VideoDataSample(metainfo=dict(path='a.mp4')).set_gt_label(1)
    copy = pickle.loads(pickle.dumps(sample))
    assert copy.path == 'a.mp4' and int(copy.gt_label) == 1
