"""Similarities of many media and texts, in blocks of rows: no matrix is ever whole.

Queries are (Q, C) unit vectors, candidates (N, C); scores are their inner products.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from .retrieval import true_ranks

BLOCK_ENTRIES = 1 << 23
"""Scores that are held at a time: 64 MB in double precision."""


def rows_at_once(candidates: int, entries: int = BLOCK_ENTRIES) -> int:
    """Queries of a block."""
    return max(1, entries // max(1, candidates))


def score_blocks(
    queries: Tensor, candidates: Tensor, dual: bool = False, entries: int = BLOCK_ENTRIES
) -> Iterator[tuple[int, Tensor]]:
    """(first query, scores (B, N)) block by block.

    Equal candidates are scored once and the score is expanded: kernels sum by position in a block,
    so in other columns their last bits would differ, which would break ties by chance.  For the
    same reason scores are computed in double precision and rounded to that of ``queries``.

    Args:
        queries, candidates: unit vectors.
        dual: multiply scores by their soft-max over all queries, as
            :func:`~internvideo.evaluation.retrieval.dual_softmax` does.
        entries: scores of a block.
    """
    step = rows_at_once(len(candidates), entries)
    rows, place = distinct_rows(candidates)
    exact = candidates[rows].double()
    total = log_totals(queries, candidates[rows], entries) if dual else None
    for first in range(0, len(queries), step):
        scores = queries[first : first + step].double() @ exact.T
        scores = scores if total is None else scores * (scores - total).exp()
        yield first, scores.to(queries.dtype)[:, place]


def distinct_rows(vectors: Tensor) -> tuple[Tensor, Tensor]:
    """(D,) the first of each group of equal rows, and (N,) the group of every row."""
    numbers: dict[bytes, int] = {}
    place = [numbers.setdefault(row.tobytes(), len(numbers)) for row in vectors.cpu().numpy()]
    place = torch.tensor(place, dtype=torch.long)
    first = torch.full((len(numbers),), len(place)).scatter_reduce(
        0, place, torch.arange(len(place)), 'amin'
    )
    return first.to(vectors.device), place.to(vectors.device)


def log_totals(queries: Tensor, candidates: Tensor, entries: int = BLOCK_ENTRIES) -> Tensor:
    """(N,) double: log of the sum over queries of the exponentials of a candidate's scores."""
    total = queries.new_full((len(candidates),), -torch.inf, dtype=torch.double)
    for _, scores in score_blocks(queries, candidates, entries=entries):
        total = torch.logaddexp(total, scores.double().logsumexp(dim=0))
    return total


def truth_block(truth: Sequence[Sequence[int]], first: int, like: Tensor) -> Tensor:
    """(B, N) bool: the true candidates of the queries from ``first`` on."""
    block = torch.zeros(like.shape, dtype=torch.bool)
    for row, columns in enumerate(truth[first : first + len(like)]):
        block[row, columns] = True
    return block.to(like.device)


NOT_FOUND = torch.iinfo(torch.long).max
"""Rank of what no recall counts."""


def _block_ranks(scores: Tensor, truth: Sequence[Sequence[int]], first: int) -> Tensor:
    if not scores.shape[1]:
        return torch.full((len(scores),), NOT_FOUND)
    is_true = truth_block(truth, first, scores)
    return torch.where(is_true.any(dim=1), true_ranks(scores, is_true), NOT_FOUND)


def streamed_ranks(
    queries: Tensor,
    candidates: Tensor,
    truth: Sequence[Sequence[int]],
    dual: bool = False,
    entries: int = BLOCK_ENTRIES,
) -> Tensor:
    """(Q,) rank of the best true candidate of each query, see :func:`true_ranks`.

    ``truth`` lists the true candidates of each query; a query without any has the rank
    :data:`NOT_FOUND`.
    """
    ranks = [
        _block_ranks(scores, truth, first)
        for first, scores in score_blocks(queries, candidates, dual, entries)
    ]
    return torch.cat(ranks) if ranks else torch.zeros(0, dtype=torch.long)


def streamed_top(
    queries: Tensor,
    candidates: Tensor,
    k: int,
    dual: bool = False,
    entries: int = BLOCK_ENTRIES,
) -> Tensor:
    """(Q, k) the best candidates of each query, best first; of equal ones the first comes first."""
    k = min(k, len(candidates))
    best = [best_of(scores, k) for _, scores in score_blocks(queries, candidates, dual, entries)]
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
    top: Tensor, scores: Tensor, num_candidates: int, truth: Sequence[Sequence[int]]
) -> Tensor:
    """(Q,) ranks where the candidates ``top`` (Q, k) have ``scores`` (Q, k), all others -100."""
    ranks = []
    for first in range(0, len(top), rows_at_once(num_candidates)):
        rows = slice(first, first + rows_at_once(num_candidates))
        block = filled_scores(top[rows], scores[rows], num_candidates)
        ranks.append(_block_ranks(block, truth, first))
    return torch.cat(ranks) if ranks else torch.zeros(0, dtype=torch.long)


NOT_JUDGED = -100.0


def filled_scores(top: Tensor, scores: Tensor, num_candidates: int) -> Tensor:
    """(Q, N) scores of the candidates ``top``; -100 for all others."""
    block = scores.new_full((len(top), num_candidates), NOT_JUDGED)
    return block.scatter_(1, top, scores)
