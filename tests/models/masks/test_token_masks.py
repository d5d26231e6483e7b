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
        dict(type='ProgressiveMask'),
        dict(type='ProgressiveMask', centred=True),
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


# Published counts (data_facts.json: videomae_mask_counts), of which the progressive kinds hide one
# patch more in each slot than they declare.
PUBLISHED_COUNTS = [
    ((8, 14, 14), 0.9, 1411, 176, [178, 180, 181, 183, 184, 186, 187, 188], [188, 185, 182, 178]),
    ((8, 14, 14), 0.75, 1176, 147, [148, 154, 160, 166, 171, 177, 183, 188], [188, 175, 162, 148]),
    ((4, 6, 6), 0.5, 72, 18, [19, 25, 31, 36], [36, 19]),
]


def hidden_per_slot(grid, **fields):
    mask = MODELS.build(fields)(None, 2, grid, 'cpu').unflatten(1, (grid[0], -1))
    counts = mask.sum(dim=2)
    assert torch.equal(counts.sum(dim=1)[0], counts.sum(dim=1)[1])
    return counts[0].tolist()


@pytest.mark.parametrize(
    ('grid', 'ratio', 'anywhere', 'tube', 'rising', 'centred'), PUBLISHED_COUNTS
)
def test_counts_are_the_published_ones(grid, ratio, anywhere, tube, rising, centred):
    fields = dict(ratio=ratio)
    assert sum(hidden_per_slot(grid, type='RandomMask', **fields)) == anywhere
    assert hidden_per_slot(grid, type='TubeMask', **fields) == [tube] * grid[0]
    fields |= dict(type='ProgressiveMask')
    centred = centred + centred[::-1]
    assert hidden_per_slot(grid, counts='published', **fields) == rising
    assert hidden_per_slot(grid, counts='published', centred=True, **fields) == centred
    assert hidden_per_slot(grid, **fields) == [count - 1 for count in rising]
    assert hidden_per_slot(grid, centred=True, **fields) == [count - 1 for count in centred]


@pytest.mark.parametrize('steps', [1, 2, 5])
def test_progressive_masks_are_nested_at_any_length(steps):
    for centred in (False, True):
        masker = build('ProgressiveMask', ratio=0.6, centred=centred)
        rows = masker(None, 3, (steps, 5, 8), 'cpu').unflatten(1, (steps, 40))
        counts = rows[0].sum(dim=1)
        for earlier, later, step in zip(rows[0], rows[0][1:], range(steps), strict=False):
            inner, outer = (
                (earlier, later) if counts[step] <= counts[step + 1] else (later, earlier)
            )
            assert (outer | ~inner).all()
        assert torch.equal(counts, counts.flip(0)) or not centred
        assert not torch.equal(rows[0], rows[1])


def test_unknown_counts_are_refused():
    with pytest.raises(ValueError, match="'corrected' or 'published'"):
        build('ProgressiveMask', counts='declared')
