"""Masks by motion against a loop over frames."""

import pytest
import torch

from internvideo.models.masks.motion_masks import motion_mask, num_chunks


def plain_mask(patches, ratio, chunks):
    """One clip (T, L, D), one stretch after the other."""
    hidden = []
    for part in patches.chunk(chunks):
        scores = [(part[t] - part[t - 1]).norm(dim=-1) for t in range(1, len(part))]
        flat = torch.cat([scores[0], *scores]).tolist()
        keep = int((1 - ratio) * len(flat))
        best = sorted(range(len(flat)), key=lambda i: (-flat[i], i))[:keep]
        hidden += [i not in best for i in range(len(flat))]
    return torch.tensor(hidden)


@pytest.mark.parametrize(('steps', 'chunks'), [(2, 1), (4, 1), (5, 1), (6, 2), (8, 4), (16, 4)])
@pytest.mark.parametrize('ratio', [0.5, 0.75, 0.8])
def test_what_moves_most_in_each_stretch_stays(steps, chunks, ratio):
    assert num_chunks(steps) == chunks
    patches = torch.randn(2, steps, 9, 5, generator=torch.Generator().manual_seed(steps))
    expected = torch.stack([plain_mask(clip, ratio, chunks) for clip in patches])
    assert torch.equal(motion_mask(patches, ratio), expected)


def test_one_frame_is_masked_at_random():
    torch.manual_seed(0)
    masks = motion_mask(torch.zeros(64, 1, 16, 3), 0.75)
    assert (masks.sum(dim=1) == 12).all()
    assert (~masks).float().mean(dim=0).max() < 0.6


@pytest.mark.parametrize('ratio', [1.0, -0.1])
def test_a_share_outside_its_range_is_refused(ratio):
    with pytest.raises(ValueError, match='mask ratio'):
        motion_mask(torch.zeros(1, 4, 4, 2), ratio)


def test_a_share_that_leaves_nothing_is_refused():
    with pytest.raises(ValueError, match='leaves no token visible'):
        motion_mask(torch.zeros(1, 2, 2, 2), 0.9)
