"""The alignment loss."""

import pytest
import torch
import torch.nn.functional as F

from internvideo.models.losses.alignment import AlignmentLoss, alignment_distance
from internvideo.structures.aligned_features import AlignedFeatures


def unit(*shape):
    return F.normalize(torch.randn(*shape), dim=-1)


def features(mae_layers=1):
    return AlignedFeatures([unit(2, 5, 8)] * 2, unit(2, 6), [unit(2, 4, 7)] * mae_layers)


def test_distance_is_the_mean_squared_distance_of_unit_vectors():
    ours, theirs = [unit(2, 5, 8) for _ in range(3)], [unit(2, 5, 8) for _ in range(3)]
    squared = sum((a - b).square().sum(-1).mean() for a, b in zip(ours, theirs, strict=True)) / 3
    torch.testing.assert_close(alignment_distance(ours, theirs), squared)


def test_low_precision_features_are_compared_in_float32():
    distance = alignment_distance([unit(2, 5, 8).bfloat16()], [unit(2, 5, 8).half()])
    assert distance.dtype == torch.float32


def test_a_term_of_weight_zero_is_absent():
    losses = AlignmentLoss(clip_final=0, mae=2)(features(), features())
    assert set(losses) == {'loss_clip_middle', 'loss_mae'}


def test_a_branch_that_the_target_lacks_is_an_error():
    with pytest.raises(ValueError, match='1 student layers face 0 target layers'):
        AlignmentLoss()(features(), features(mae_layers=0))


def test_other_shapes_are_an_error():
    with pytest.raises(ValueError, match='do not match'):
        alignment_distance([unit(2, 5, 8)], [unit(2, 1, 8)])


def test_negative_weights_are_refused():
    with pytest.raises(ValueError, match='negative'):
        AlignmentLoss(mae=-1)
