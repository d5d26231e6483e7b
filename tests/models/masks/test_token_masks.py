"""Masks on the device: fixed counts, the law of the draw, bad fields."""

import pytest
import torch

from internvideo.models.masks.token_masks import (
    draw_by_weight,
    visible_count,
)
from internvideo.registry import MODELS

GRID = (3, 2, 4)


def build(name, **fields):
    return MODELS.build(dict(type=name, **fields))


@pytest.mark.parametrize(
    'masker',
    [
        dict(type='AttentionMask', per='frame'),
        dict(type='AttentionMask', per='clip'),
        dict(type='RandomMask'),
        dict(type='TubeMask'),
    ],
    ids=str,
)
@pytest.mark.parametrize('ratio', [0.0, 0.5, 0.8])
def test_every_row_shows_the_announced_number(masker, ratio):
    masker = MODELS.build(masker | dict(ratio=ratio))
    mask = masker(torch.rand(5, 24), 5, GRID, 'cpu')
    assert mask.dtype == torch.bool and mask.shape == (5, 24)
    assert (~mask).sum(1).tolist() == [masker.num_visible(GRID)] * 5


def test_attention_per_frame_shows_the_same_number_in_each_frame():
    mask = build('AttentionMask', ratio=0.8, per='frame')(torch.rand(4, 24), 4, GRID, 'cpu')
    assert ((~mask).unflatten(1, (3, 8)).sum(2) == visible_count(8, 0.8)).all()


def test_tubes_hide_the_same_patches_at_every_time():
    mask = build('TubeMask', ratio=0.5)(None, 4, GRID, 'cpu').unflatten(1, (3, 8))
    assert (mask == mask[:, :1]).all()


def test_the_largest_scores_stay_visible():
    grid, scores = (4, 3, 5), torch.randperm(15)[None]
    rows = build('TubeMask', ratio=0.6).hide(scores, grid).view(4, 15)
    assert torch.equal(rows, (scores < 9).repeat(4, 1))
    scores = torch.randperm(60)[None]
    mask = build('RandomMask', ratio=0.61).hide(scores, grid)
    assert torch.equal(mask, scores < 36)


def test_draws_follow_the_weights():
    torch.manual_seed(0)
    weights = torch.tensor([[0.5, 0.3, 0.2, 0.0]]).repeat(20000, 1)
    drawn = draw_by_weight(weights, 2)
    first = torch.bincount(drawn.flatten(), minlength=4) / len(drawn)
    # P(i among two draws without replacement) of 0.5, 0.3, 0.2
    expected = torch.tensor([0.8393, 0.6750, 0.4857, 0.0])
    torch.testing.assert_close(first, expected, atol=0.015, rtol=0)


def test_weights_that_underflow_still_give_distinct_tokens():
    drawn = draw_by_weight(torch.zeros(6, 9), 5)
    assert all(len(set(row.tolist())) == 5 for row in drawn)


@pytest.mark.parametrize('ratio', [-0.1, 1.0])
def test_ratio_out_of_range_is_named(ratio):
    with pytest.raises(ValueError, match='mask ratio'):
        build('RandomMask', ratio=ratio)
    with pytest.raises(ValueError, match='mask ratio'):
        build('TubeMask', ratio=ratio)


def test_unknown_extent_of_the_draw_is_named():
    with pytest.raises(ValueError, match="'frame' or 'clip'"):
        build('AttentionMask', per='batch')


@pytest.mark.parametrize('attn', [None, torch.rand(2, 23)], ids=['none', 'other size'])
def test_attention_that_does_not_fit_is_named(attn):
    with pytest.raises(ValueError, match='teacher attention'):
        build('AttentionMask')(attn, 2, GRID, 'cpu')
