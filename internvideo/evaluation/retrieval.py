"""Zero-shot retrieval: similarity of features, dual soft-max, ranks and recall.

A score matrix is (queries, candidates); its transpose serves the other direction.  Which candidates
are true for a query is a boolean matrix of the same shape.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

RECALLS = (1, 5, 10)


def cosine_scores(vision: Tensor, text: Tensor, temp: float = 1.0, reduce: str = 'mean') -> Tensor:
    """(N, M) cosines over ``temp`` of videos and texts.

    A third axis, frames of a video (N, T, C) or prompts of a text (M, P, C), is reduced after the
    products (``'mean'`` or ``'max'``): scores are averaged, not features.

    Raises:
        ValueError: unknown ``reduce``, or features of other than two or three axes.
    """
    if reduce not in ('mean', 'max'):
        raise ValueError(f"reduce must be 'mean' or 'max', got {reduce!r}")
    if not {vision.ndim, text.ndim} <= {2, 3}:
        raise ValueError(
            f'features must be (N, C) or (N, T, C), got {vision.ndim} and {text.ndim} axes'
        )
    vision, text = (torch.nn.functional.normalize(x, dim=-1) for x in (vision, text))
    frames = vision if vision.ndim == 3 else vision[:, None]
    prompts = text if text.ndim == 3 else text[:, None]
    scores = torch.einsum('ntc,mpc->nmtp', frames, prompts).flatten(2) / temp
    return scores.mean(dim=-1) if reduce == 'mean' else scores.amax(dim=-1)


def dual_softmax(scores: Tensor) -> Tensor:
    """Scores times their soft-max over the queries: a candidate that many want counts less."""
    return scores * scores.softmax(dim=0)


def true_ranks(scores: Tensor, truth: Tensor) -> Tensor:
    """(Q,) 0-based rank of the best true candidate of each query of (Q, N) scores.

    Only false candidates count, and one with the same score goes first: ties never help, nor do
    scores that are not a number.  A query without a true candidate has rank N.
    """
    best = scores.masked_fill(~truth, -torch.inf).amax(dim=1, keepdim=True)
    # Not `>=`, which nothing satisfies once a model has diverged: every rank would be the first.
    ranks = (~(scores < best) & ~truth).sum(dim=1)
    return torch.where(truth.any(dim=1), ranks, scores.shape[1])


def recall_figures(ranks: Tensor, recalls: Sequence[int] = RECALLS) -> dict[str, float]:
    """Share of ranks below each of ``recalls`` in percent (``r1``...) and their mean ``r_mean``."""
    figures = {f'r{k}': 100 * (ranks < k).double().mean().item() for k in recalls}
    return figures | dict(r_mean=sum(figures.values()) / len(figures))


def retrieval_figures(
    v2t: Tensor, t2v: Tensor, truth: Tensor, names: tuple[str, str] = ('v2t', 't2v')
) -> dict[str, float]:
    """Recall in both directions and ``r_mean`` over both, in percent, rounded to two digits.

    Args:
        v2t: (N, M) scores of M texts for N videos.
        t2v: (M, N) scores of N videos for M texts.
        truth: (N, M) bool.
        names: prefixes of the two directions.

    Raises:
        ValueError: shapes that do not fit each other.
    """
    if v2t.shape != truth.shape or t2v.shape != truth.T.shape:
        raise ValueError(
            f'scores {tuple(v2t.shape)} and {tuple(t2v.shape)} do not fit a truth of '
            f'{tuple(truth.shape)}'
        )
    return figures_of_ranks(true_ranks(v2t, truth), true_ranks(t2v, truth.T), names)


def figures_of_ranks(
    v2t: Tensor, t2v: Tensor, names: tuple[str, str] = ('v2t', 't2v')
) -> dict[str, float]:
    """Recall of the ranks of both directions and ``r_mean`` over both, to two digits."""
    parts = [recall_figures(v2t), recall_figures(t2v)]
    figures = {
        f'{name}_{key}': value
        for name, part in zip(names, parts, strict=True)
        for key, value in part.items()
    }
    figures['r_mean'] = sum(part['r_mean'] for part in parts) / 2
    return {name: round(value, 2) for name, value in figures.items()}
