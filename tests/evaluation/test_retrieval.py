import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from internvideo.evaluation.retrieval import (
    cosine_scores,
    dual_softmax,
    retrieval_figures,
    true_ranks,
)


def test_scores_are_averaged_over_frames_not_features():
    vision, text = torch.randn(3, 5, 8), torch.randn(4, 8)
    each = torch.stack([cosine_scores(vision[:, t], text) for t in range(5)])
    torch.testing.assert_close(cosine_scores(vision, text, 0.5), each.mean(0) / 0.5)
    torch.testing.assert_close(cosine_scores(vision, text, reduce='max'), each.amax(0))


def test_what_cannot_be_scored_is_named():
    with pytest.raises(ValueError, match='reduce'):
        cosine_scores(torch.zeros(1, 2), torch.zeros(1, 2), reduce='sum')
    with pytest.raises(ValueError, match='axes'):
        cosine_scores(torch.zeros(2), torch.zeros(1, 2))
    with pytest.raises(ValueError, match='do not fit'):
        retrieval_figures(torch.zeros(2, 3), torch.zeros(2, 3), torch.eye(2, 3).bool())


@given(st.lists(st.lists(st.integers(0, 3), min_size=5, max_size=5), min_size=1, max_size=6))
def test_ranks_count_the_false_candidates_that_do_not_score_less(rows):
    scores = torch.tensor(rows, dtype=torch.float)
    truth = torch.rand(scores.shape).round().bool()
    for row, mine, rank in zip(scores, truth, true_ranks(scores, truth).tolist(), strict=True):
        best = row[mine].max() if mine.any() else None
        assert rank == (5 if best is None else int((row[~mine] >= best).sum()))


def test_figures_are_percentages_of_both_directions():
    scores = torch.tensor([[3.0, 2.0], [2.5, 1.0]])
    figures = retrieval_figures(scores, scores.T, torch.eye(2).bool())
    assert figures['v2t_r1'] == 50.0
    assert figures['t2v_r1'] == 50.0
    assert figures['v2t_r_mean'] == figures['r_mean'] == 83.33
    torch.testing.assert_close(dual_softmax(scores), scores * scores.softmax(0))


def test_scores_that_are_no_number_find_nothing():
    scores, truth = torch.eye(4), torch.eye(4).bool()
    scores[0] = torch.nan  # a medium without features
    assert true_ranks(scores, truth).tolist() == [3, 0, 0, 0]
    assert true_ranks(torch.full((4, 4), torch.nan), truth).tolist() == [3, 3, 3, 3]
