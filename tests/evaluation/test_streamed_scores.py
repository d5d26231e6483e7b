"""Scores in blocks equal those of a whole matrix, and take no more memory than a block."""

import subprocess
import sys
import textwrap

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from internvideo.evaluation.retrieval import dual_softmax, true_ranks
from internvideo.evaluation.streamed_scores import (
    NOT_FOUND,
    best_of,
    filled_scores,
    reranked_ranks,
    score_blocks,
    streamed_ranks,
    streamed_top,
)

SIZES = dict(
    queries=st.integers(1, 12),
    candidates=st.integers(1, 12),
    entries=st.integers(1, 40),
    dual=st.booleans(),
    seed=st.integers(0, 99),
)


def drawn(queries, candidates, seed):
    generator = torch.Generator().manual_seed(seed)
    sides = [torch.randn(n, 5, generator=generator, dtype=torch.double)
             for n in (queries, candidates)]  # fmt: skip
    truth = (torch.rand(queries, candidates, generator=generator) < 0.3).tolist()
    links = [[i for i, true in enumerate(row) if true] for row in truth]
    return *(torch.nn.functional.normalize(side, dim=-1) for side in sides), links


@given(**SIZES)
def test_blocks_equal_the_whole_matrix(queries, candidates, entries, dual, seed):
    mine, theirs, links = drawn(queries, candidates, seed)
    whole = mine @ theirs.T
    whole = dual_softmax(whole) if dual else whole
    blocks = list(score_blocks(mine, theirs, dual, entries))
    assert max(len(scores) for _, scores in blocks) * candidates <= max(entries, candidates)
    torch.testing.assert_close(torch.cat([scores for _, scores in blocks]), whole)
    truth = torch.zeros(whole.shape, dtype=torch.bool)
    for row, columns in enumerate(links):
        truth[row, columns] = True
    ranks = streamed_ranks(mine, theirs, links, dual, entries)
    expected = true_ranks(whole, truth).masked_fill(~truth.any(dim=1), NOT_FOUND)
    assert ranks.tolist() == expected.tolist()
    top = streamed_top(mine, theirs, 3, dual, entries)
    torch.testing.assert_close(whole.gather(1, top), whole.topk(top.shape[1], dim=1).values)


@pytest.mark.parametrize('dual', [False, True])
def test_equal_candidates_have_equal_scores_wherever_they_lie(dual):
    media = torch.nn.functional.normalize(torch.randn(37, 64), dim=-1)
    text = torch.nn.functional.normalize(torch.randn(1, 64), dim=-1)
    for count in (3, 7, 33):  # kernels sum the last columns of a block in another order
        blocks = [scores for _, scores in score_blocks(media, text.expand(count, -1), dual, 130)]
        scores = torch.cat(blocks)
        assert scores.dtype == torch.float and torch.equal(scores, scores[:, :1].expand_as(scores))


@given(st.integers(1, 6), st.integers(1, 40), st.integers(1, 40), st.integers(0, 9))
def test_the_best_are_those_of_a_whole_stable_sort(rows, columns, k, seed):
    values = torch.tensor([-torch.inf, -1.0, 0.0, 0.5, 2.0, torch.inf])
    scores = values[
        torch.randint(6, (rows, columns), generator=torch.Generator().manual_seed(seed))
    ]
    whole = scores.sort(dim=1, descending=True, stable=True).indices
    assert torch.equal(best_of(scores, min(k, columns)), whole[:, :k])


def test_what_is_no_number_is_not_among_the_best():
    scores = torch.tensor([[torch.nan, 1.0, 2.0], [torch.nan] * 3])
    assert best_of(scores, 2).tolist() == [[2, 1], [0, 1]]


def test_candidates_that_were_not_judged_come_last():
    top, scores = torch.tensor([[2, 0], [1, 2]]), torch.tensor([[-3.0, 4.0], [1.0, 2.0]])
    assert filled_scores(top, scores, 4)[0].tolist() == [4.0, -100.0, -3.0, -100.0]
    # Ties of those not judged never help: the second query's true candidate is one of them.
    assert reranked_ranks(top, scores, 4, [[2], [3]]).tolist() == [1, 3]


@pytest.mark.slow
def test_a_matrix_larger_than_memory_is_scored():
    program = """
        import resource, torch
        from internvideo.evaluation.streamed_scores import streamed_ranks
        n = 40_000
        torch.manual_seed(0)
        media = torch.nn.functional.normalize(torch.randn(n, 16), dim=1)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        ranks = streamed_ranks(media[:4000], media, [[i] for i in range(4000)], entries=1 << 22)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        print(int(ranks.max()), peak // 1024)
    """
    command = [sys.executable, '-c', textwrap.dedent(program)]
    worst, megabytes = subprocess.run(
        command, check=True, capture_output=True, text=True
    ).stdout.split()
    assert int(worst) == 0  # everything finds itself
    assert int(megabytes) < 400  # 4000 x 40 000 scores alone would take 640


def test_the_best_of_a_block_do_not_keep_the_order_of_all():
    best = best_of(torch.tensor([[0.0, 2.0, 1.0, 2.0]]).expand(3, 4), 2)
    assert best.tolist() == [[1, 3]] * 3
    assert best.untyped_storage().nbytes() == best.numel() * best.element_size()
