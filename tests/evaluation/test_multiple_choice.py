import torch

from internvideo.evaluation.multiple_choice import (
    choice_accuracy,
    choice_scores,
    mean_average_precision,
)


def test_low_temperatures_leave_no_ties():
    vision, options = torch.randn(6, 8), torch.randn(6, 50, 8)
    scores = choice_scores(vision, options, 0.001)
    assert (scores.sort(dim=1).values.diff(dim=1) > 0).all()
    answers = torch.nn.functional.cosine_similarity(vision[:, None], options, dim=-1).argmax(1)
    assert choice_accuracy(scores, answers) == 100.0


def test_an_option_that_is_never_true_counts_zero():
    truth = torch.tensor([[1, 0, 0], [0, 1, 0]]).bool()
    assert mean_average_precision(truth.float(), truth) == 66.67
