"""Normalisation of feature vectors."""

import torch
import torch.nn.functional as F
from torch import Tensor

NORMS = ('l2', 'none')


def check_norm(kind: str) -> str:
    """Return ``kind`` if it is a known normalisation of features, else raise ValueError."""
    if kind not in NORMS:
        raise ValueError(f'norm must be one of {", ".join(NORMS)}, got {kind!r}')
    return kind


def normalise(x: Tensor, kind: str = 'l2') -> Tensor:
    """Divide by the l2 norm of the last axis, in float32 at least, unless ``'none'``.

    A zero vector stays zero.
    """
    if kind == 'none':
        return x
    x = x.to(torch.promote_types(x.dtype, torch.float32))
    # The usual eps of 1e-12 would shrink short vectors; the smallest number only spares zeros.
    return F.normalize(x, dim=-1, eps=torch.finfo(x.dtype).tiny)
