"""Every reference case kept here agrees with this build."""

import pytest

from internvideo.verification import runner_registry
from internvideo.verification.cases import find_cases
from internvideo.verification.judging import run_case
from tests.paths import PARITY

runner_registry.discover_runners()
CASES, _ = find_cases(PARITY)


def test_every_runner_module_imports():
    assert runner_registry.IMPORT_ERRORS == {}


@pytest.mark.parametrize('path', CASES, ids=lambda path: f'{path.parent.name}/{path.stem}')
def test_case(path):
    verdict = run_case(path)
    assert verdict.passed, f'{verdict.message} (worst {verdict.worst} of tolerance)'
