"""mmengine's probes for large packages find nothing; everyone else's imports work."""

import subprocess
import sys

import pytest

PACKAGES = ('bitsandbytes', 'deepspeed', 'transformers')


@pytest.fixture
def installed(tmp_path):
    """Packages of those names that say so when they are imported."""
    for name in PACKAGES:
        (tmp_path / name).mkdir()
        (tmp_path / name / '__init__.py').write_text(f'print("imported {name}")\n')
    return tmp_path


def output_of(code, folder):
    command = f'import sys; sys.path.insert(0, {str(folder)!r}); {code}'
    done = subprocess.run(
        [sys.executable, '-c', command], capture_output=True, text=True, check=True
    )
    return [line for line in done.stdout.splitlines() if line.startswith('imported')]


def test_building_a_runner_imports_no_large_package(installed):
    assert output_of('import internvideo; import mmengine.runner', installed) == []


@pytest.mark.parametrize('name', PACKAGES)
def test_own_imports_of_the_packages_still_work(installed, name):
    code = f'import internvideo; import mmengine.optim; import {name}'
    assert output_of(code, installed) == [f'imported {name}']
