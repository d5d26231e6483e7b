"""Block masks: what every mask has, the sequence of sizes, how contexts are cut, bad fields."""

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from internvideo.models.masks.block_masks import (
    BlockMask,
    block_size,
    cut_context,
    next_block_masks,
)
from internvideo.registry import MODELS

GRID = (4, 6, 5)
SHARES = st.floats(0, 0.6).flatmap(lambda low: st.tuples(st.just(low), st.floats(low, 0.6)))


def draw(masker, batch=3, grid=GRID, seed=0):
    torch.manual_seed(seed)
    return masker(None, batch, grid, 'cpu')


@settings(max_examples=60)
@given(
    grid=st.tuples(*[st.integers(1, 7)] * 3),
    num_blocks=st.integers(1, 3),
    spatial=SHARES,
    keep=st.floats(0, 1),
    max_keep=st.none() | st.integers(1, 40),
    cut=st.sampled_from(['first', 'random']),
)
def test_every_row_shows_the_same_positive_number(grid, num_blocks, spatial, keep, max_keep, cut):
    masker = BlockMask(
        num_blocks, spatial, max_temporal_keep=keep, max_keep=max_keep, cut=cut, aspect_ratio=(1, 1)
    )
    size = block_size(grid, masker.draw_shares(0), (1, 1), spatial, (1, 1))
    assume(size[1] < grid[1] or size[2] < grid[2])  # else nothing is ever left
    mask = draw(masker, 3, grid)
    counts = (~mask).sum(1).tolist()
    assert mask.dtype == torch.bool and mask.shape == (3, grid[0] * grid[1] * grid[2])
    assert counts == [masker.num_visible(grid)] * 3 and 0 < counts[0] <= (max_keep or counts[0])
    assert mask.view(3, *grid)[:, max(1, int(grid[0] * keep)) :].all()


@settings(max_examples=60)
@given(share=st.tuples(*[st.floats(0, 1)] * 3), low=st.floats(0.05, 1), high=st.floats(0.05, 1))
def test_blocks_have_the_area_and_ratio_asked_for(share, low, high):
    steps, rows, columns = block_size((8, 40, 40), share, (low, high), (low, high), (0.75, 1.5))
    area = (low + share[1] * (high - low)) * 1600
    assert 1 <= steps <= 8 and rows <= 40 and columns <= 40
    if max(rows, columns) < 40:
        assert abs(rows * columns - area) <= 0.5 * (rows + columns) + 2


def test_full_blocks_are_the_same_at_every_time():
    mask = draw(BlockMask(2, (0.3, 0.3))).unflatten(1, (4, 30))
    uncut = draw(BlockMask(1, (0.3, 0.3)), batch=1).unflatten(1, (4, 30))
    assert (uncut == uncut[:, :1]).all()
    assert (mask[:, 0] <= mask[:, -1]).all()  # what the cut hides comes last


def test_sizes_depend_on_the_number_of_calls_only():
    one, two = BlockMask(1, (0.1, 0.9)), BlockMask(1, (0.1, 0.9))
    torch.manual_seed(0)
    sizes = [one.next_size((8, 30, 30)) for _ in range(4)]
    torch.manual_seed(1)
    assert [two.next_size((8, 30, 30)) for _ in range(4)] == sizes and len(set(sizes)) == 4
    two.restart()
    assert two.next_size((8, 30, 30)) == sizes[0]
    resumed = BlockMask(1, (0.1, 0.9))
    resumed.calls = 2
    assert resumed.next_size((8, 30, 30)) == sizes[2]


def test_the_global_generator_gives_the_places():
    masks = [draw(BlockMask(2, (0.2, 0.2)), seed=seed) for seed in (0, 0, 1)]
    assert torch.equal(masks[0], masks[1]) and not torch.equal(masks[0], masks[2])


def test_contexts_keep_their_first_tokens_or_any():
    hidden = torch.tensor([[False, True, False, False], [True, False, False, True]])
    first = cut_context(hidden, 2)
    assert first.tolist() == [[False, True, False, True], [True, False, False, True]]
    torch.manual_seed(0)
    cuts = torch.stack([cut_context(hidden, 2, 'random') for _ in range(300)])
    assert (cuts | ~hidden).all() and ((~cuts).sum(2) == 2).all()
    kept = (~cuts[:, 0]).float().mean(0)
    torch.testing.assert_close(kept, torch.tensor([2, 0, 2, 2]) / 3, atol=0.1, rtol=0)


class FullThenSmall(BlockMask):
    """Hides the whole clip in the first draw of a clip."""

    draws = 0

    def _draw_blocks(self, grid, size):
        self.draws += 1
        return super()._draw_blocks(grid, grid if self.draws == 1 else size)


def test_an_empty_context_is_drawn_again():
    masker = FullThenSmall(1, (0.2, 0.2))
    assert 0 < draw(masker, batch=2).sum() < 240 and masker.draws == 3


def test_recipe_of_the_second_stage():
    small, large = next_block_masks(32)
    assert (small.num_blocks, small.spatial_scale) == (8, (0.15, 0.15))
    assert (large.num_blocks, large.spatial_scale) == (2, (0.7, 0.7))
    assert small.max_keep == large.max_keep == 1600
    assert not draw(small, 2, (32, 16, 16)).all()


@pytest.mark.parametrize(
    ('fields', 'message'),
    [
        (dict(num_blocks=0), 'num_blocks=0'),
        (dict(max_keep=0), 'max_keep=0'),
        (dict(spatial_scale=(0.5, 1.5)), 'spatial_scale'),
        (dict(aspect_ratio=(0.0, 1.0)), 'aspect_ratio'),
        (dict(cut='last'), "first, random, got 'last'"),
    ],
    ids=lambda value: str(value),
)
def test_fields_that_cannot_be_are_named(fields, message):
    with pytest.raises(ValueError, match=message):
        MODELS.build(dict(type='BlockMask') | dict(num_blocks=1, spatial_scale=(0.2, 0.2)) | fields)


def test_blocks_that_hide_everything_end_in_an_error():
    with pytest.raises(ValueError, match='left nothing visible'):
        draw(BlockMask(1, (1.0, 1.0), aspect_ratio=(1.2, 1.2)), grid=(2, 6, 5))


def test_the_number_of_visible_tokens_is_unknown_before_the_first_mask():
    with pytest.raises(RuntimeError, match='once a mask was drawn'):
        BlockMask(1, (0.2, 0.2)).num_visible(GRID)
