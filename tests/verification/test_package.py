"""Verifying works from an installed package, without the repository around it."""

import ast
import os
import shutil
import subprocess
import sys

import pytest

from tests.paths import PARITY, ROOT

# Runs the command line where nothing of the repository but the package can be imported.
PROGRAM = """
import sys
sys.modules['tests'] = None
from internvideo.verification import cli
if __name__ == '__main__':
    status = cli.main(sys.argv[1:])
    print(cli.__file__)
    sys.exit(status)
"""


def test_it_works_without_the_repository(tmp_path):
    site, cases = tmp_path / 'site', tmp_path / 'cases'
    skip = shutil.ignore_patterns('__pycache__')
    shutil.copytree(ROOT / 'internvideo', site / 'internvideo', ignore=skip)
    cases.mkdir()
    # Of the second, every process imports the package anew.
    for name in ('beats_buckets', 'vtc_two_processes'):
        for suffix in ('json', 'npz'):
            shutil.copy(PARITY / 'internvideo2_multi' / f'{name}.{suffix}', cases)
    program = tmp_path / 'program.py'
    program.write_text(PROGRAM)
    command = [sys.executable, str(program), str(cases)]
    environment = os.environ | dict(PYTHONPATH=str(site))
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.stdout.splitlines()[-2:] == [
        '2 passed, 0 failed',
        str(site / 'internvideo' / 'verification' / 'cli.py'),
    ], done.stdout + done.stderr


@pytest.mark.parametrize('folder', ['internvideo', 'tools', 'benchmarks'])
def test_nothing_that_ships_imports_the_tests(folder):
    found = [
        f'{path.relative_to(ROOT)}:{node.lineno}'
        for path in (ROOT / folder).rglob('*.py')
        for node in ast.walk(ast.parse(path.read_text()))
        for name in imported_names(node)
        if name.split('.')[0] == 'tests'
    ]
    assert found == []


def imported_names(node):
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module or ''] if isinstance(node, ast.ImportFrom) and not node.level else []


def test_help_waits_for_nothing_heavy():
    code = (
        'import sys; from internvideo.verification.cli import build_parser; '
        'build_parser().format_help(); '
        "print({'torch', 'numpy', 'mmengine'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == 'set()'
