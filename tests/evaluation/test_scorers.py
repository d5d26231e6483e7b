"""Scores in blocks equal those of a whole matrix, and take no more memory than a block."""

import subprocess
import sys
import textwrap

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from internvideo.evaluation.ranks import dual_softmax, ranks_of_true
from internvideo.evaluation.scorers import (
    NOT_FOUND,
    TokenWise,
    best_of,
    filled_scores,
    reranked_ranks,
    score_blocks,
    streamed_ranks,
    streamed_top,
)
from internvideo.registry import METRICS
from internvideo.structures.encoded import TokenFeatures
from internvideo.structures.encoded_sets import EncodedSet

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
    is_true = (torch.rand(queries, candidates, generator=generator) < 0.3).tolist()
    links = [[i for i, true in enumerate(row) if true] for row in is_true]
    return *(torch.nn.functional.normalize(side, dim=-1) for side in sides), links


@given(**SIZES)
def test_blocks_equal_the_whole_matrix(queries, candidates, entries, dual, seed):
    mine, theirs, links = drawn(queries, candidates, seed)
    whole = mine @ theirs.T
    whole = dual_softmax(whole) if dual else whole
    blocks = list(score_blocks(mine, theirs, dual, entries))
    assert max(len(scores) for _, scores in blocks) * candidates <= max(entries, candidates)
    torch.testing.assert_close(torch.cat([scores for _, scores in blocks]), whole)
    is_true = torch.zeros(whole.shape, dtype=torch.bool)
    for row, columns in enumerate(links):
        is_true[row, columns] = True
    ranks = streamed_ranks(mine, theirs, links, dual, entries)
    expected = ranks_of_true(whole, is_true).masked_fill(~is_true.any(dim=1), NOT_FOUND)
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
        from internvideo.evaluation.scorers import streamed_ranks
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


def token_sides(samples, texts, seed):
    """Token matrices of several lengths, some items equal, texts with weights."""
    generator = torch.Generator().manual_seed(seed)

    def side(count, length, weighted):
        vectors = torch.randn(count, length, 4, generator=generator, dtype=torch.double)
        lengths = torch.randint(1, length + 1, (count,), generator=generator)
        mask = torch.arange(length) < lengths[:, None]
        weights = torch.rand(count, length, generator=generator).masked_fill(~mask, 0.0)
        weights = (weights / weights.sum(1, keepdim=True)).double() if weighted else None
        vectors = torch.nn.functional.normalize(vectors, dim=-1).masked_fill(~mask[..., None], 9.0)
        return TokenFeatures(vectors, mask, weights)

    rows = torch.arange(texts) // 2  # every text twice
    return side(samples, 5, False), side(texts, 3, True)[rows]


def token_score(sample, text, average):
    """Of one sample and one text, token by token."""
    (one, own), (two, other) = (
        (side.vectors[0][side.mask[0]], side.shares[0][side.mask[0]]) for side in (sample, text)
    )
    scores = [[float(a @ b) for b in two] for a in one]
    of_sample = sum(float(w) * max(row) for w, row in zip(own, scores, strict=True))
    of_text = sum(float(w) * max(c) for w, c in zip(other, zip(*scores, strict=True), strict=True))
    return dict(samples=of_sample, texts=of_text, both=(of_sample + of_text) / 2)[average]


@given(
    samples=st.integers(1, 6),
    texts=st.integers(1, 6),
    entries=st.integers(1, 200),
    average=st.sampled_from(['samples', 'texts', 'both']),
    seed=st.integers(0, 99),
)
def test_token_wise_blocks_equal_pairs_scored_alone(samples, texts, entries, average, seed):
    left, right = token_sides(samples, texts, seed)
    scorer = TokenWise(average)
    whole = torch.tensor(
        [
            [token_score(left[i : i + 1], right[j : j + 1], average) for j in range(texts)]
            for i in range(samples)
        ],
        dtype=torch.double,
    )
    for sides, expected, each in (
        ((left, right), whole, scorer),
        ((right, left), whole.T, scorer.flipped()),
    ):
        for dual in (False, True):
            blocks = [scores for _, scores in score_blocks(*sides, dual, entries, each)]
            wanted = dual_softmax(expected) if dual else expected
            torch.testing.assert_close(torch.cat(blocks), wanted)


@pytest.mark.parametrize('entries', [1, 70, 10_000])
def test_equal_token_matrices_tie_wherever_they_lie(entries):
    left, right = token_sides(4, 7, 0)
    left, right = (TokenFeatures(x.vectors.float(), x.mask, x.weights) for x in (left, right))
    scores = torch.cat(
        [block for _, block in score_blocks(left, right, False, entries, TokenWise())]
    )
    assert torch.equal(scores[:, 0:6:2], scores[:, 1:6:2])
    ranks = streamed_ranks(left, right, [[0], [2], [4], [6]], False, entries, TokenWise())
    assert (ranks[:3] >= 1).all()  # the equal text goes first: ties never help


def test_a_token_of_one_item_alone_is_the_inner_product():
    vectors = torch.nn.functional.normalize(torch.randn(5, 8), dim=-1)
    side = TokenFeatures(vectors[:, None], torch.ones(5, 1, dtype=torch.bool))
    ((_, scores),) = score_blocks(side, side, scorer=TokenWise())
    ((_, expected),) = score_blocks(vectors, vectors)
    torch.testing.assert_close(scores, expected)


def test_matrices_of_other_lengths_are_joined_by_masked_tokens():
    left, right = token_sides(3, 4, 1)
    joined = TokenFeatures.joined([left, TokenFeatures(right.vectors, right.mask)])
    assert joined.vectors.shape == (7, 5, 4) and joined.mask[3:].sum() == right.mask.sum()
    torch.testing.assert_close(TokenWise()(joined, joined[:3])[:3], TokenWise()(left, left))


@pytest.mark.parametrize(
    ('make', 'reason'),
    [
        (lambda: TokenWise('videos'), "average must be 'samples'"),
        (lambda: TokenWise(temp=0), 'temp must be positive'),
    ],
)
def test_what_a_scorer_cannot_take_is_named(make, reason):
    with pytest.raises(ValueError, match=reason):
        make()


@pytest.mark.parametrize('average', ['samples', 'both'])
def test_retrieval_is_scored_token_by_token(average):
    """The vectors alone tell nothing apart; the tokens do."""
    vectors = torch.eye(4)[torch.tensor([[0, 1], [1, 2], [2, 3]])]
    tokens = TokenFeatures(vectors, torch.ones(3, 2, dtype=torch.bool))
    same = torch.ones(3, 1)
    case = EncodedSet('set', 'a.json', same, torch.arange(3), 3, same, [[0], [1], [2]], 0.1)
    plain = METRICS.build(dict(type='RetrievalMetric'))
    token_wise = METRICS.build(
        dict(type='RetrievalMetric', scorer=dict(type='TokenWise', average=average))
    )
    with pytest.raises(ValueError, match='set: TokenWise compares token by token'):
        token_wise.score(case)
    case.sample_tokens = case.text_tokens = tokens
    metrics = [metric.score(case).variants[0].figures['r_mean'] for metric in (plain, token_wise)]
    assert metrics[0] < 70 and metrics[1] == 100.0
