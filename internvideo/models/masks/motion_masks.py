"""Masks that leave visible what changes from frame to frame."""

import torch
from torch import Tensor

from .token_masks import check_ratio, hide_all_but, visible_count


def num_chunks(steps: int) -> int:
    """Stretches of time that are masked on their own: 4, 2 or 1 of so many temporal positions."""
    if steps > 4:
        return next((count for count in (4, 2) if steps % count == 0), 1)
    return 1


def motion_scores(patches: Tensor) -> Tensor:
    """Distance (B, T, L) of each of (B, T, L, D) patches from the one before in time.

    The first of a stretch, which has none before it, borrows the score of the second.
    """
    change = (patches[:, 1:] - patches[:, :-1]).norm(dim=-1)
    return torch.cat([change[:, :1], change], dim=1)


def motion_mask(patches: Tensor, ratio: float) -> Tensor:
    """Hide the patches that change least (arXiv 2512.01342, published code): (B, T * L) bool.

    Each stretch of time (:func:`num_chunks`) keeps the ``int((1 - ratio) * tokens)`` of largest
    change; among equal ones, which the borrowed scores make certain, those that come first.  One
    frame alone is masked at random.

    Args:
        patches: (B, T, L, D) patch embeddings.
        ratio: share that is hidden.

    Raises:
        ValueError: ``ratio`` outside [0, 1), or one that leaves nothing visible.
    """
    check_ratio(ratio)
    batch, steps, places, _ = patches.shape
    if steps == 1:
        scores, keep = (
            torch.rand(batch, places, device=patches.device),
            visible_count(places, ratio),
        )
    else:
        chunks = patches.float().unflatten(1, (num_chunks(steps), -1))
        scores = motion_scores(chunks.flatten(0, 1)).flatten(1)
        keep = int((1 - ratio) * scores.shape[1])
    if keep < 1:
        raise ValueError(f'mask ratio {ratio} leaves no token visible of {scores.shape[1]}')
    order = torch.argsort(scores, dim=1, descending=True, stable=True)[:, :keep]
    return hide_all_but(order, scores.shape[1]).view(batch, steps * places)
