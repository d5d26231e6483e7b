"""Device and precision of inference."""

from contextlib import nullcontext
from typing import Any

import torch

DTYPES = ('float32', 'bfloat16', 'float16')


def pick_device(device: str | None) -> str:
    """``device``, or the GPU when there is one.

    Raises:
        ValueError: the device cannot be used here.
    """
    device = device or ('cuda' if torch.cuda.is_available() else 'cpu')
    try:
        # A name that torch knows need not be a device that this machine has.
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f'device {device!r}: {str(error).splitlines()[0]}') from None
    return device


def autocast(device: str, dtype: str) -> Any:
    """A context that computes in ``dtype``.

    Raises:
        ValueError: unknown dtype.
    """
    if dtype not in DTYPES:
        raise ValueError(f'dtype must be one of {", ".join(DTYPES)}, got {dtype!r}')
    if dtype == 'float32':
        return nullcontext()
    return torch.autocast(torch.device(device).type, getattr(torch, dtype))
