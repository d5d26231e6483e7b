"""Scores of videos from those of their views."""

import torch
from torch import Tensor


def merge_views(logits: Tensor) -> Tensor:
    """Scores (N, K) of N videos from the logits (N, V, K) of their V views.

    The published multi-view test: a float32 soft-max of each view, then the mean over views.
    """
    if logits.ndim != 3:
        raise ValueError(f'logits must be (videos, views, classes), got {tuple(logits.shape)}')
    return torch.softmax(logits.float(), dim=-1).mean(dim=1)
