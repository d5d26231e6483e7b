"""Alignment beside the student's diffusion loss."""

import pytest
import torch

from internvideo.models.losses.diffusion_alignment import DiffusionAlignmentLoss

from .test_alignment import features

DIFFUSION = torch.tensor([3.0])


def test_weighted_terms():
    plain = DiffusionAlignmentLoss()(features(0), target := features(0), DIFFUSION)
    assert list(plain) == ['loss_clip_middle', 'loss_clip_final', 'loss_diffusion']
    student = features(0)
    once = DiffusionAlignmentLoss()(student, target, DIFFUSION)
    twice = DiffusionAlignmentLoss(2, 3, 0.5)(student, target, DIFFUSION)
    for (name, value), factor in zip(once.items(), (2, 3, 0.5), strict=True):
        torch.testing.assert_close(twice[name], factor * value)


@pytest.mark.parametrize('weights', [dict(diffusion=0), dict(clip_final=0), dict(clip_middle=0)])
def test_a_term_of_weight_zero_is_absent(weights):
    losses = DiffusionAlignmentLoss(**weights)(features(0), features(0), DIFFUSION)
    assert f'loss_{next(iter(weights))}' not in losses and len(losses) == 2


def test_negative_weights_are_refused():
    with pytest.raises(ValueError, match='diffusion=-1'):
        DiffusionAlignmentLoss(diffusion=-1)
