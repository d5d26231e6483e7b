import torch

from internvideo.evaluation.multiple_choice import (
    choice_accuracy,
    choice_scores,
    mean_average_precision,
)


def test_low_temperatures_leave_no_ties():
    angles = torch.stack([torch.linspace(0.1, 3, 50)[torch.randperm(50)] for _ in range(6)])
    options = 7 * torch.stack([angles.cos(), angles.sin()], dim=-1)
    scores = choice_scores(torch.tensor([[3.0, 0.0]]).expand(6, 2), options, 0.001)
    assert torch.equal(scores.argsort(dim=1, descending=True), angles.argsort(dim=1))
    assert (scores.sort(dim=1).values.diff(dim=1) > 0).all()
    assert choice_accuracy(scores, angles.argmin(dim=1)) == 100.0


def test_an_option_that_is_never_true_counts_zero():
    truth = torch.tensor([[1, 0, 0], [0, 1, 0]]).bool()
    assert mean_average_precision(truth.float(), truth) == 66.67
