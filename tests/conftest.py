"""Chance is the same in every run: each test starts from TEST_SEED (0), and hypothesis tries the
same examples unless HYPOTHESIS_PROFILE=explore."""

import os
import random
import signal
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import settings

settings.register_profile('repeatable', derandomize=True, deadline=None)
settings.register_profile('explore', deadline=None)
settings.load_profile(os.environ.get('HYPOTHESIS_PROFILE', 'repeatable'))
SEED = int(os.environ.get('TEST_SEED', '0'))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Before fixtures, so that those that tests share do not depend on the tests before."""
    random.seed(SEED)
    np.random.seed(SEED)
    torch.manual_seed(SEED)


@pytest.fixture(autouse=True)
def signal_handlers() -> Iterator[None]:
    """Restore what a run that a signal stopped leaves handled: forked pools end by SIGTERM."""
    before = {signum: signal.getsignal(signum) for signum in (signal.SIGTERM, signal.SIGUSR1)}
    yield
    for signum, handler in before.items():
        signal.signal(signum, handler)
