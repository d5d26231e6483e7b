"""Zero-shot multiple choice: one answer out of a video's options, or several out of shared ones."""

import torch
from torch import Tensor


def choice_scores(vision: Tensor, options: Tensor, temp: float) -> Tensor:
    """(N, K) log soft-max over the options of cosine / ``temp``.

    Logarithms, because at the published temperatures the soft-max itself underflows to ties.

    Args:
        vision: (N, C) features of videos.
        options: (N, K, C) options of each video, or (K, C) options shared by all.
        temp: temperature.
    """
    vision, options = (torch.nn.functional.normalize(x, dim=-1) for x in (vision, options))
    letters = 'nc,nkc->nk' if options.ndim == 3 else 'nc,kc->nk'
    return (torch.einsum(letters, vision, options) / temp).log_softmax(dim=-1)


def choice_accuracy(scores: Tensor, answers: Tensor) -> float:
    """Percent of the rows of (N, K) whose best option is the answer (N,), to two digits."""
    return round(100 * (scores.argmax(dim=-1) == answers).double().mean().item(), 2)


def mean_average_precision(scores: Tensor, truth: Tensor) -> float:
    """Mean over options of the non-interpolated average precision, percent, to two digits.

    Args:
        scores: (N, K), larger is better.
        truth: (N, K) bool; an option that is true for no video counts 0, as published.
    """
    from sklearn.metrics import average_precision_score

    asked = truth.any(dim=0).nonzero().flatten().tolist()
    precisions = [
        average_precision_score(truth[:, k].cpu(), scores[:, k].double().cpu()) for k in asked
    ]
    return round(100 * sum(precisions) / truth.shape[1], 2)
