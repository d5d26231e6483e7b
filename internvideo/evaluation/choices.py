"""Choices among options: which are right, and how that is counted."""

import torch
from torch import Tensor


def right_choices(scores: Tensor, answers: Tensor) -> Tensor:
    """(Q,) bool: whether the best of each row of options (Q, K) is the right one (Q,).

    Ties never help: an option as likely as the right one makes the choice wrong, as does a score
    that is not a number.
    """
    rivals = ~(scores < scores.gather(1, answers[:, None]))
    return rivals.sum(dim=1) == 1  # itself alone


def choice_accuracy(scores: Tensor, rows: Tensor, answers: Tensor) -> float:
    """Percent of Q questions answered right, to two digits.

    Args:
        scores: (R, K) of the questions that could be asked; the others count as wrong.
        rows: (R,) which questions these are.
        answers: (Q,) the right option of every question.
    """
    right = right_choices(scores, answers[rows]).sum().item()
    return round(100 * right / len(answers), 2)


def choice_precision(scores: Tensor, rows: Tensor, answers: Tensor) -> float:
    """Mean over options of the average precision in percent, to two digits.

    Options of a question that could not be asked come last, all alike, as do scores of no number.

    Args:
        scores: (R, K) of the questions that could be asked.
        rows: (R,) which questions these are.
        answers: (Q, K) 1 where an option is right.
    """
    finite = scores[scores.isfinite()]
    if not finite.numel():
        return 0.0
    # scikit-learn refuses scores that are not finite; less than the least ranks last as well.
    last = float(finite.min()) - 1.0
    whole = scores.new_full(answers.shape, -torch.inf)
    whole[rows] = scores
    return mean_average_precision(whole.nan_to_num(nan=last, neginf=last), answers.bool())


def mean_average_precision(scores: Tensor, is_true: Tensor) -> float:
    """Mean over options of the non-interpolated average precision, percent, to two digits.

    Args:
        scores: (N, K), larger is better.
        is_true: (N, K) bool; an option that is true for no video counts 0, as published.
    """
    from sklearn.metrics import average_precision_score

    # scikit-learn warns of an option without a true video. It is not asked, but the mean below is
    # over all options.
    asked = is_true.any(dim=0).nonzero().flatten().tolist()
    precisions = [
        average_precision_score(is_true[:, k].cpu(), scores[:, k].double().cpu()) for k in asked
    ]
    return round(100 * sum(precisions) / is_true.shape[1], 2)
