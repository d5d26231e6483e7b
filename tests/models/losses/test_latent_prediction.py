"""Prediction of hidden tokens."""

import pytest
import torch
import torch.nn.functional as F

from internvideo.models.losses.latent_prediction import LatentPredictionLoss, hidden_tokens

MASK = torch.tensor([[True, False, True, False], [False, False, True, True]])


def test_hidden_tokens_come_in_raster_order():
    tokens = torch.randn(2, 4, 3)
    assert torch.equal(hidden_tokens(tokens, MASK, 2).flatten(0, 1), tokens[MASK])


def test_each_mask_contributes_its_mean_distance():
    target, masks = torch.randn(2, 4, 6), [MASK, ~MASK]
    predictions = [torch.randn(2, 2, 6) for _ in masks]
    losses = LatentPredictionLoss()(predictions, target, masks)
    assert list(losses) == ['loss_mask0', 'loss_mask1']
    for loss, mask, predicted in zip(losses.values(), masks, predictions, strict=True):
        cosine = F.cosine_similarity(predicted.flatten(0, 1), target[mask], dim=-1)
        torch.testing.assert_close(loss, (2 - 2 * cosine).mean())


def test_a_perfect_prediction_of_any_length_costs_nothing():
    target = torch.randn(2, 4, 6)
    losses = LatentPredictionLoss()([3 * hidden_tokens(target, MASK, 2)], target, [MASK])
    torch.testing.assert_close(losses['loss_mask0'], torch.tensor(0.0), atol=1e-6, rtol=0)


def test_masks_that_do_not_fit_are_an_error():
    target = torch.randn(2, 4, 6)
    with pytest.raises(ValueError, match='1 predictions face 2 masks'):
        LatentPredictionLoss()([target[:, :2]], target, [MASK, MASK])
    with pytest.raises(RuntimeError, match='does not hide 3 tokens'):
        LatentPredictionLoss()([target[:, :3]], target, [MASK])
