"""The state of every random generator that training draws from, as plain data."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def seed_all(seed: int) -> None:
    """Seed Python's, NumPy's and torch's (all devices) global generators."""
    random.seed(seed)
    np.random.seed(seed % 2**32)  # NumPy takes no larger one
    torch.manual_seed(seed)


def get_random_state() -> dict:
    """States of the global generators: numbers, tuples and tensors only, safe to load."""
    # NumPy's keys as a tensor: arrays are objects that a safe load refuses.
    kind, keys, position, has_gauss, cached = np.random.get_state()
    state = {
        'python': random.getstate(),
        'numpy': (kind, torch.from_numpy(keys.astype(np.int64)), position, has_gauss, cached),
        'torch': torch.get_rng_state(),
    }
    if torch.cuda.is_available():
        state['cuda'] = torch.cuda.get_rng_state()
    return state


def set_random_state(state: dict) -> None:
    """Put back what :func:`get_random_state` returned."""
    random.setstate(state['python'])
    kind, keys, *rest = state['numpy']
    np.random.set_state((kind, keys.numpy().astype(np.uint32), *rest))
    torch.set_rng_state(state['torch'].cpu())  # loaded onto a GPU, the state would be refused
    if 'cuda' in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state['cuda'].cpu())


@contextmanager
def isolated_random_state(seed: int | None = None) -> Iterator[dict]:
    """Leave the generators as they were, whatever is drawn inside.

    Yields the outer state.
    """
    outer = get_random_state()
    if seed is not None:
        seed_all(seed)
    try:
        yield outer
    finally:
        set_random_state(outer)
