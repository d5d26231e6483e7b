"""Scores of samples and texts in blocks of rows, never as a whole matrix.

Queries and candidates are what the scorer compares: (N, C) unit vectors, or token matrices.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from internvideo.ops.distinct_rows import distinct_rows
from internvideo.registry import METRICS
from internvideo.structures.encoded import TokenFeatures
from internvideo.structures.encoded_sets import EncodedSet

from .ranks import ranks_of_true

BLOCK_ENTRIES = 1 << 23
"""Scores that are held at a time: 64 MB in double precision."""


class Scorer(ABC):
    """Similarity of queries and candidates.

    Args:
        temp: similarities are divided by it; it matters to the dual soft-max alone.

    Attributes:
        needs_tokens: whether it reads token matrices rather than vectors.
    """

    needs_tokens = False

    def __init__(self, temp: float = 1.0) -> None:
        if not temp > 0:
            raise ValueError(f'temp must be positive, got {temp}')
        self.temp = temp

    @abstractmethod
    def sides(self, encoded: EncodedSet) -> tuple[Any, Any]:
        """Samples and texts of a set as this scorer takes them, both indexed by rows.

        Raises ValueError where the model has not given them.
        """

    @abstractmethod
    def distinct(self, side: Any) -> tuple[Tensor, Tensor]:
        """First rows of groups of equal items and the group of each (see :func:`distinct_rows`)."""

    @abstractmethod
    def __call__(self, queries: Any, candidates: Any) -> Tensor:
        """(Q, N) double similarities, not yet divided by ``temp``."""

    def flipped(self) -> 'Scorer':
        """The scorer whose queries are this one's candidates."""
        return self

    def pair_entries(self, queries: Any, candidates: Any) -> int:
        """Numbers that are held for one pair."""
        return 1

    def scores(self, queries: Any, candidates: Any, entries: int = BLOCK_ENTRIES) -> Tensor:
        """(Q, N) double scores, computed for some candidates at a time."""
        held = max(1, len(queries)) * self.pair_entries(queries, candidates)
        step = max(1, entries // held)
        # Without candidates there is one empty part, since torch.cat refuses an empty list.
        starts = range(0, len(candidates), step) if len(candidates) else (0,)
        parts = [self(queries, candidates[first : first + step]) for first in starts]
        return torch.cat(parts, dim=1) / self.temp


@METRICS.register_module()
class InnerProduct(Scorer):
    """Inner product of unit vectors (see :class:`Scorer` for ``temp``)."""

    def sides(self, encoded: EncodedSet) -> tuple[Tensor, Tensor]:
        """See :class:`Scorer`."""
        return encoded.samples, encoded.texts

    def distinct(self, side: Tensor) -> tuple[Tensor, Tensor]:
        """See :class:`Scorer`."""
        return distinct_rows(side)

    def __call__(self, queries: Tensor, candidates: Tensor) -> Tensor:
        """See :class:`Scorer`."""
        return queries.double() @ candidates.double().T


@METRICS.register_module()
class TokenWise(Scorer):
    """Late interaction: every token takes its best of the other side, and these are averaged.

    The score is the mean of both directions, ``(sum_t w_t max_v s_tv + sum_v w_v max_t s_tv) / 2``
    with inner products ``s`` of unit vectors, or one of them.  Weights ``w`` are those that the
    model gives its tokens (weighted token-wise interaction, arXiv 2203.07111), else equal shares
    (FILIP, arXiv 2111.07783).

    Args:
        average: the side whose tokens are averaged: ``'samples'``, ``'texts'`` or ``'both'``.
        temp: see :class:`Scorer`.
        samples_first: whether samples are the queries.
    """

    needs_tokens = True

    def __init__(
        self, average: str = 'both', temp: float = 1.0, samples_first: bool = True
    ) -> None:
        super().__init__(temp)
        if average not in ('samples', 'texts', 'both'):
            raise ValueError(f"average must be 'samples', 'texts' or 'both', got {average!r}")
        self.average, self.samples_first = average, samples_first

    def flipped(self) -> 'TokenWise':
        """See :class:`Scorer`."""
        return TokenWise(self.average, self.temp, not self.samples_first)

    def sides(self, encoded: EncodedSet) -> tuple[TokenFeatures, TokenFeatures]:
        """See :class:`Scorer`."""
        sides = (encoded.sample_tokens, encoded.text_tokens)
        if None in sides:
            raise ValueError(
                f'{encoded.name}: TokenWise compares token by token, but the model gives one '
                'vector per sample and text: use InnerProduct'
            )
        return sides

    def distinct(self, side: TokenFeatures) -> tuple[Tensor, Tensor]:
        """See :class:`Scorer`."""
        return distinct_rows(side.vectors, side.mask, side.weights)

    def pair_entries(self, queries: TokenFeatures, candidates: TokenFeatures) -> int:
        """See :class:`Scorer`."""
        return queries.vectors.shape[1] * candidates.vectors.shape[1]

    def __call__(self, queries: TokenFeatures, candidates: TokenFeatures) -> Tensor:
        """See :class:`Scorer`."""
        sims = torch.einsum('qad,cbd->qcab', queries.vectors.double(), candidates.vectors.double())
        first, second = ('samples', 'texts') if self.samples_first else ('texts', 'samples')
        means = []
        if self.average in (first, 'both'):
            # Padding must never be the best token of the other side.
            best = sims.masked_fill(~candidates.mask[None, :, None, :], -torch.inf).amax(dim=3)
            means.append(_weighted(best, queries, (slice(None), None)))
        if self.average in (second, 'both'):
            best = sims.masked_fill(~queries.mask[:, None, :, None], -torch.inf).amax(dim=2)
            means.append(_weighted(best, candidates, (None, slice(None))))
        return sum(means) / len(means)


def _weighted(best: Tensor, side: TokenFeatures, place: tuple) -> Tensor:
    """(Q, N) weighted sums of (Q, N, L) over the tokens of one side."""
    # Masked tokens may hold anything, which times zero need not be zero.
    best = best.masked_fill(~side.mask[place], 0.0)
    return (best * side.shares.double()[place]).sum(dim=2)


INNER_PRODUCT = InnerProduct()


def rows_at_once(candidates: int, entries: int = BLOCK_ENTRIES) -> int:
    """Queries of a block."""
    return max(1, entries // max(1, candidates))


def score_blocks(
    queries: Any,
    candidates: Any,
    dual: bool = False,
    entries: int = BLOCK_ENTRIES,
    scorer: Scorer = INNER_PRODUCT,
) -> Iterator[tuple[int, Tensor]]:
    """(first query, scores (B, N)) block by block.

    Equal candidates are scored once and the score is expanded: kernels sum by position in a block,
    so in other columns their last bits would differ, which would break ties by chance.  For the
    same reason scores are computed in double precision and rounded to that of ``queries``.

    Args:
        queries, candidates: as ``scorer`` takes them.
        dual: multiply scores by their soft-max over all queries, as
            :func:`~internvideo.evaluation.ranks.dual_softmax` does: a candidate that many want
            counts less.
        entries: scores of a block.
        scorer: how queries and candidates are compared.
    """
    rows, place = scorer.distinct(candidates)
    distinct = candidates[rows]
    total = _log_totals(queries, distinct, entries, scorer) if dual else None
    step = rows_at_once(len(candidates), entries)
    for first in range(0, len(queries), step):
        scores = scorer.scores(queries[first : first + step], distinct, entries)
        scores = scores if total is None else scores * (scores - total).exp()
        yield first, scores.to(queries.dtype)[:, place]


def _log_totals(queries: Any, candidates: Any, entries: int, scorer: Scorer) -> Tensor:
    """(N,) double: log of the sum over queries of the exponentials of a candidate's scores."""
    total = torch.full((len(candidates),), -torch.inf, dtype=torch.double)
    step = rows_at_once(len(candidates), entries)
    for first in range(0, len(queries), step):
        scores = scorer.scores(queries[first : first + step], candidates, entries)
        total = torch.logaddexp(total.to(scores.device), scores.logsumexp(dim=0))
    return total


def match_block(links: Sequence[Sequence[int]], first: int, like: Tensor) -> Tensor:
    """(B, N) bool: the true candidates of the queries from ``first`` on."""
    block = torch.zeros(like.shape, dtype=torch.bool)
    for row, columns in enumerate(links[first : first + len(like)]):
        block[row, columns] = True
    return block.to(like.device)


NOT_FOUND = torch.iinfo(torch.long).max
"""Rank of what no recall counts."""


def _block_ranks(scores: Tensor, links: Sequence[Sequence[int]], first: int) -> Tensor:
    # A maximum over no candidates is an error in torch.
    if not scores.shape[1]:
        return torch.full((len(scores),), NOT_FOUND)
    is_true = match_block(links, first, scores)
    return torch.where(is_true.any(dim=1), ranks_of_true(scores, is_true), NOT_FOUND)


def streamed_ranks(
    queries: Any,
    candidates: Any,
    links: Sequence[Sequence[int]],
    dual: bool = False,
    entries: int = BLOCK_ENTRIES,
    scorer: Scorer = INNER_PRODUCT,
) -> Tensor:
    """(Q,) rank of the best true candidate of each query, see :func:`ranks_of_true`.

    ``links`` lists the true candidates of each query; a query without any has the rank
    :data:`NOT_FOUND`.
    """
    ranks = [
        _block_ranks(scores, links, first)
        for first, scores in score_blocks(queries, candidates, dual, entries, scorer)
    ]
    return torch.cat(ranks) if ranks else torch.zeros(0, dtype=torch.long)


def streamed_top(
    queries: Any,
    candidates: Any,
    k: int,
    dual: bool = False,
    entries: int = BLOCK_ENTRIES,
    scorer: Scorer = INNER_PRODUCT,
) -> Tensor:
    """Indices (Q, k) of the best candidates of each query, the first of equal ones first."""
    k = min(k, len(candidates))
    blocks = score_blocks(queries, candidates, dual, entries, scorer)
    best = [best_of(scores, k) for _, scores in blocks]
    return torch.cat(best) if best else torch.zeros(0, k, dtype=torch.long)


def best_of(scores: Tensor, k: int) -> Tensor:
    """(B, k) places of the largest of scores (B, N), best first, the first of equal ones first.

    Scores that are not a number come last.
    """
    scores = scores.nan_to_num(nan=-torch.inf, posinf=torch.inf, neginf=-torch.inf)
    # Sorting all takes four times as long; which of equal ones topk takes is not defined.
    last = scores.topk(k, dim=1).values[:, -1:]
    above, equal = scores > last, scores == last
    missing = k - above.sum(dim=1, keepdim=True)
    chosen = above | (equal & (equal.cumsum(dim=1) <= missing))
    places = chosen.nonzero()[:, 1].view(-1, k)
    order = scores.gather(1, places).sort(dim=1, descending=True, stable=True).indices
    return places.gather(1, order)


def reranked_ranks(
    top: Tensor, scores: Tensor, num_candidates: int, links: Sequence[Sequence[int]]
) -> Tensor:
    """(Q,) ranks where the candidates ``top`` (Q, k) have ``scores`` (Q, k), all others -100."""
    ranks = []
    for first in range(0, len(top), rows_at_once(num_candidates)):
        rows = slice(first, first + rows_at_once(num_candidates))
        block = filled_scores(top[rows], scores[rows], num_candidates)
        ranks.append(_block_ranks(block, links, first))
    return torch.cat(ranks) if ranks else torch.zeros(0, dtype=torch.long)


# The published score of pairs that the matching head has not judged.
NOT_JUDGED = -100.0


def filled_scores(top: Tensor, scores: Tensor, num_candidates: int) -> Tensor:
    """Scores (Q, N) of the candidates ``top``, -100 for all others."""
    block = scores.new_full((len(top), num_candidates), NOT_JUDGED)
    return block.scatter_(1, top, scores)
