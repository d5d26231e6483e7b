"""Ranks of true candidates and recall."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from internvideo.evaluation.ranks import (
    RECALL_NAMES,
    dual_softmax,
    ranks_of_true,
    recalls_of_ranks,
)


@given(st.lists(st.lists(st.integers(0, 3), min_size=5, max_size=5), min_size=1, max_size=6))
def test_ranks_count_the_false_candidates_that_do_not_score_less(rows):
    scores = torch.tensor(rows, dtype=torch.float)
    is_true = torch.rand(scores.shape).round().bool()
    for row, mine, rank in zip(
        scores, is_true, ranks_of_true(scores, is_true).tolist(), strict=True
    ):
        best = row[mine].max() if mine.any() else None
        assert rank == (5 if best is None else int((row[~mine] >= best).sum()))


def test_recalls_are_percentages_of_both_directions():
    scores = torch.tensor([[3.0, 2.0], [2.5, 1.0]])
    is_true = torch.eye(2).bool()
    found = recalls_of_ranks(ranks_of_true(scores, is_true), ranks_of_true(scores.T, is_true.T))
    assert found['v2t_r1'] == 50.0
    assert found['t2v_r1'] == 50.0
    assert found['v2t_r_mean'] == found['r_mean'] == 83.33
    assert list(found) == list(RECALL_NAMES)
    torch.testing.assert_close(dual_softmax(scores), scores * scores.softmax(0))


def test_scores_that_are_no_number_find_nothing():
    scores, is_true = torch.eye(4), torch.eye(4).bool()
    scores[0] = torch.nan  # a sample without features
    assert ranks_of_true(scores, is_true).tolist() == [3, 0, 0, 0]
    assert ranks_of_true(torch.full((4, 4), torch.nan), is_true).tolist() == [3, 3, 3, 3]
