"""Every reference case kept beside its runner agrees with this build."""

import pytest

from tests.parity import harness

harness.discover_runners()
CASES, _ = harness.find_cases(harness.PARITY_ROOT)


def test_every_runner_module_imports():
    assert harness.IMPORT_ERRORS == {}


@pytest.mark.parametrize('path', CASES, ids=lambda path: f'{path.parent.name}/{path.stem}')
def test_case(path):
    verdict = harness.run_case(path)
    assert verdict.passed, f'{verdict.message} (worst {verdict.worst} of tolerance)'
