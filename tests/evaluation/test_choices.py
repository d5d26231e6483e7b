"""Choices among options: ties, scores of no number, questions that could not be asked."""

import pytest
import torch

from internvideo.evaluation.choices import (
    choice_accuracy,
    choice_precision,
    mean_average_precision,
    right_choices,
)
from internvideo.evaluation.multiple_choice_metric import AskedQuestions, MultipleChoiceMetric
from internvideo.structures.encoded_sets import EncodedSet

NAN = float('nan')


@pytest.mark.parametrize(
    ('scores', 'answer', 'expected'),
    [
        ([1.0, 2.0, 0.0], 1, True),
        ([1.0, 2.0, 0.0], 0, False),
        ([2.0, 2.0, 0.0], 1, False),
        ([NAN, 2.0, 0.0], 1, False),
        ([1.0, NAN, 0.0], 1, False),
    ],
    ids=['best', 'not_best', 'tie', 'rival_of_no_number', 'no_number'],
)
def test_a_choice_is_right_if_it_alone_is_best(scores, answer, expected):
    assert right_choices(torch.tensor([scores]), torch.tensor([answer])).tolist() == [expected]


def test_questions_that_could_not_be_asked_are_wrong():
    scores = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    answers = torch.tensor([0, 1, 1, 0])
    assert choice_accuracy(scores, torch.tensor([0, 2]), answers) == 50.0
    flags = torch.tensor([[1, 0], [1, 0], [0, 1]])
    # Of the first option 1 and 2/3, as the second question comes last; of the second 1.
    assert choice_precision(scores, torch.tensor([0, 2]), flags) == 91.67


def test_low_temperatures_leave_no_ties():
    angles = torch.stack([torch.linspace(0.1, 3, 50)[torch.randperm(50)] for _ in range(6)])
    case = EncodedSet(
        name='set',
        files='a.json',
        samples=torch.tensor([[1.0, 0.0]]).expand(6, 2),
        rows=torch.arange(6),
        size=6,
        texts=torch.stack([angles.cos(), angles.sin()], dim=-1).flatten(0, 1),
        ground_truth=dict(
            samples=list(range(6)),
            options=torch.arange(300).view(6, 50).tolist(),
            answers=angles.argmin(dim=1).tolist(),
        ),
        temperature=0.001,
        task='choice',
    )
    metric = MultipleChoiceMetric()
    scores = metric.option_scores(case, AskedQuestions.of(case))
    assert torch.equal(scores.argsort(dim=1, descending=True), angles.argsort(dim=1))
    assert (scores.sort(dim=1).values.diff(dim=1) > 0).all()
    (variant,) = metric.score(case).variants
    assert variant.figures == dict(accuracy=100.0)


def test_an_option_that_is_never_true_counts_zero():
    is_true = torch.tensor([[1, 0, 0], [0, 1, 0]]).bool()
    assert mean_average_precision(is_true.float(), is_true) == 66.67
