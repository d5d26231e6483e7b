"""Distances of the earlier alignment family."""

import pytest
import torch

from internvideo.models.losses.feature_distance import FeatureDistanceLoss


@pytest.mark.parametrize('distance', ['l2', 'mse', 'smooth_l1'])
def test_equal_unit_vectors_have_no_distance(distance):
    x = torch.randn(2, 3, 5)
    loss = FeatureDistanceLoss('l2', distance)
    torch.testing.assert_close(loss.plain(x, 7 * x), torch.zeros(()), atol=1e-6, rtol=0)


def test_other_token_counts_are_averaged_first():
    student, target = torch.randn(2, 3, 5), torch.randn(2, 4, 5)
    loss = FeatureDistanceLoss('none', 'mse')
    expected = loss.plain(student.mean(1, keepdim=True), target.mean(1, keepdim=True))
    torch.testing.assert_close(loss.vision(student, target), expected)


@pytest.mark.parametrize('fields', [dict(norm='l1'), dict(distance='cosine')], ids=str)
def test_unknown_kinds_are_named(fields):
    with pytest.raises(ValueError, match=next(iter(fields.values()))):
        FeatureDistanceLoss(**fields)


def test_other_shapes_are_named():
    with pytest.raises(ValueError, match=r'\(2, 3\) do not match .*\(2, 4\)'):
        FeatureDistanceLoss().plain(torch.ones(2, 3), torch.ones(2, 4))
