"""Random masks over patch tokens: flat boolean rows, True = hidden."""

from typing import Any

import numpy as np


def _shuffled_row(length: int, ratio: float, rng: Any) -> np.ndarray:
    if not 0.0 <= ratio < 1.0:
        raise ValueError(f'mask ratio must be in [0, 1), got {ratio}')
    hidden = int(ratio * length)
    row = np.concatenate([np.zeros(length - hidden, dtype=bool), np.ones(hidden, dtype=bool)])
    rng.shuffle(row)
    return row


def random_mask(window: tuple[int, int, int], ratio: float, rng: Any = np.random) -> np.ndarray:
    """(T*h*w,) mask that hides ``int(ratio * T*h*w)`` tokens anywhere in ``window`` (T, h, w).

    ``rng`` is NumPy's global generator or anything with ``shuffle``.
    """
    return _shuffled_row(int(np.prod(window)), ratio, rng)


def tube_mask(window: tuple[int, int, int], ratio: float, rng: Any = np.random) -> np.ndarray:
    """(T*h*w,) mask that hides the same ``int(ratio * h*w)`` squares at every time (VideoMAE)."""
    steps, height, width = window
    return np.tile(_shuffled_row(height * width, ratio, rng), steps)
