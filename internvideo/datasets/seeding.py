"""Random generators of one sample, a function of what is drawn and never of where."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch.utils.data import get_worker_info


@contextmanager
def sample_seed(*key: int) -> Iterator[None]:
    """Seed Python's, NumPy's and torch's global generators from ``key`` for the block.

    With ``key = (seed, epoch, index)`` augmentation depends neither on worker, rank, prefetching
    nor the number of processes.  Outside a loader's worker the caller's states come back after.
    """
    # Nothing else draws in a worker process, so there is nothing to give back.
    saved = None if get_worker_info() else _states()
    # Hashed, so that neighbouring epochs and rows have unrelated draws.
    words = np.random.SeedSequence([int(word) for word in key]).generate_state(4)
    random.seed(int.from_bytes(words.tobytes(), 'little'))
    np.random.seed(words)
    torch.manual_seed(int(words[0]) << 32 | int(words[1]))
    try:
        yield
    finally:
        if saved is not None:
            random.setstate(saved[0])
            np.random.set_state(saved[1])
            torch.set_rng_state(saved[2])


def _states() -> tuple:
    return random.getstate(), np.random.get_state(), torch.get_rng_state()
