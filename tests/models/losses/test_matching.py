"""Hard negatives and the matching loss."""

import pytest
import torch
from torch import nn

from internvideo.models.losses.matching import (
    Negatives,
    NegativeSampler,
    matching_loss,
    negative_weights,
)

IDS = torch.tensor([0, 1, 0, 2])


def features(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(4, 8, generator=generator) for _ in range(2)]


@pytest.mark.parametrize('hard', [True, False])
def test_negatives_have_another_id(hard):
    for seed in range(20):
        torch.manual_seed(seed)
        drawn = NegativeSampler(hard)(*features(), 0.1, IDS)
        assert (IDS[drawn.media] != IDS).all() and (IDS[drawn.text] != IDS).all()
        assert drawn.exist.all()


def test_hard_negatives_are_those_that_look_alike():
    media, text = torch.eye(4), torch.eye(4).roll(1, 0)
    drawn = NegativeSampler()(media, text, 0.01, None)
    assert drawn.text.tolist() == [1, 2, 3, 0] and drawn.media.tolist() == [3, 0, 1, 2]


@pytest.mark.parametrize('ids', [torch.zeros(4, dtype=torch.long), IDS])
def test_underflow_leaves_a_uniform_draw(ids):
    unit = torch.eye(4)
    weights = negative_weights(unit, unit, 1e-4, ids)
    assert not weights[0].any()
    drawn = NegativeSampler()(unit, unit, 1e-4, ids)
    assert drawn.exist.tolist() == [len(set(ids.tolist())) > 1] * 4
    assert drawn.exist.logical_not().logical_or(ids[drawn.media] != ids).all()


@pytest.mark.parametrize('hard', [True, False])
def test_a_single_pair_has_no_negative(hard):
    drawn = NegativeSampler(hard)(torch.ones(1, 3), torch.ones(1, 3), 0.1, None)
    assert drawn.exist.tolist() == [False]


def test_pairs_without_a_negative_are_left_out():
    def encoder(embeds, attention_mask, media, rows, mode):
        return embeds + media[rows].mean(dim=1, keepdim=True)

    head, media, text = nn.Linear(5, 2), torch.randn(2, 3, 5), torch.randn(2, 4, 5)
    zeros = torch.zeros(2, dtype=torch.long)
    none = Negatives(zeros, zeros, torch.tensor([False, False]))
    loss = matching_loss(encoder, head, media, text, torch.ones(2, 4), none)
    logits = head((text + media.mean(1, keepdim=True))[:, 0])
    torch.testing.assert_close(loss, -logits.log_softmax(-1)[:, 1].mean())
