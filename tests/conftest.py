"""Chance is the same in every run: each test starts from TEST_SEED (0), and hypothesis tries the
same examples unless HYPOTHESIS_PROFILE=explore."""

import logging
import os
import random
import signal
import sys
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import settings
from mmengine.logging import MMLogger

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
    _open_loggers()


def _open_loggers() -> None:
    # A logger keeps the standard output of the test that made it, which is closed by now.
    for logger in MMLogger._instance_dict.values():
        for handler in logger.handlers:
            if isinstance(handler, logging.StreamHandler) and handler.stream.closed:
                handler.stream = sys.stdout


@pytest.fixture(autouse=True)
def signal_handlers() -> Iterator[None]:
    """Restore what a run that a signal stopped leaves handled: forked pools end by SIGTERM."""
    before = {signum: signal.getsignal(signum) for signum in (signal.SIGTERM, signal.SIGUSR1)}
    yield
    for signum, handler in before.items():
        signal.signal(signum, handler)


@pytest.fixture
def warnings_logged() -> Iterator[list[str]]:
    """Warnings of the current logger, as they come."""
    found, handler = [], logging.Handler(logging.WARNING)
    handler.emit = lambda record: found.append(record.getMessage())
    logger = MMLogger.get_current_instance()
    logger.addHandler(handler)
    yield found
    logger.removeHandler(handler)
