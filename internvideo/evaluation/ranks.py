"""Ranks of true candidates among the false, and recall.

A score matrix is (queries, candidates).  Which candidates are true for a query is a boolean matrix
of the same shape.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

RECALLS = (1, 5, 10)
DIRECTIONS = ('v2t', 't2v')
"""Texts for samples, and samples for texts, as published."""
RECALL_NAMES = (
    *(f'{way}_{name}' for way in DIRECTIONS for name in (*(f'r{k}' for k in RECALLS), 'r_mean')),
    'r_mean',
)
"""What :func:`recalls_of_ranks` gives."""


def dual_softmax(scores: Tensor) -> Tensor:
    """Scores times their soft-max over the queries: a candidate that many want counts less."""
    # Of raw cosines without a temperature, as published, so that the effect is mild.
    return scores * scores.softmax(dim=0)


def ranks_of_true(scores: Tensor, is_true: Tensor) -> Tensor:
    """(Q,) 0-based rank of the best true candidate of each query of (Q, N) scores.

    Only false candidates count, and one with the same score goes first: ties never help, nor do
    scores that are not a number.  A query without a true candidate has rank N.
    """
    best = scores.masked_fill(~is_true, -torch.inf).amax(dim=1, keepdim=True)
    # Not `>=`, which nothing satisfies once a model has diverged: every rank would be the first.
    ranks = (~(scores < best) & ~is_true).sum(dim=1)
    return torch.where(is_true.any(dim=1), ranks, scores.shape[1])


def recalls(ranks: Tensor, at: Sequence[int] = RECALLS) -> dict[str, float]:
    """Share of ranks below each of ``at`` in percent (``r1``...) and their mean ``r_mean``."""
    shares = {f'r{k}': 100 * (ranks < k).double().mean().item() for k in at}
    return shares | dict(r_mean=sum(shares.values()) / len(shares))


def recalls_of_ranks(v2t: Tensor, t2v: Tensor) -> dict[str, float]:
    """Recall of the ranks of both directions and ``r_mean`` over both, to two digits."""
    parts = dict(zip(DIRECTIONS, (recalls(v2t), recalls(t2v)), strict=True))
    both = {f'{way}_{key}': value for way, part in parts.items() for key, value in part.items()}
    both['r_mean'] = sum(part['r_mean'] for part in parts.values()) / 2
    return {name: round(value, 2) for name, value in both.items()}
