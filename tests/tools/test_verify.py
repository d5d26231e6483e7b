"""tools/verify.py: what it prints, and how bad files and arguments are told."""

import json
import subprocess
import sys

import numpy as np
import pytest

from internvideo.verification.judging import run_case
from tests.paths import PARITY, TOOLS
from tests.verification.linear import FAMILY, write_case

TOOL = TOOLS / 'verify.py'


def run_verify(*args, cwd=None):
    command = [sys.executable, str(TOOL), *map(str, args)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300)


def write_bad_folder(folder):
    """Six files that count as cases and miss, three that are no cases."""
    write_case(folder, 'without_npz')
    (folder / 'without_npz.npz').unlink()
    write_case(folder, 'without_json').unlink()
    write_case(folder, 'broken_npz')
    (folder / 'broken_npz.npz').write_bytes(b'PK')
    (folder / 'malformed.json').write_text('{"family": ')
    (folder / 'fieldless.json').write_text(f'{{"family": "{FAMILY}"}}')
    (folder / 'stranger.json').write_text(json.dumps(
        dict(family='no/such', facts={}, state=[], inputs=[], outputs=[], rtol=0, atol=0)
    ))  # fmt: skip
    np.savez(folder / 'stranger.npz', y=np.zeros(1))
    (folder / 'model.manifest.json').write_text('{"family": "x"}')
    (folder / 'recipes.json').write_text('{"a": 1}')
    (folder / 'words.json').write_text('["a"]')


def test_verify_names_every_bad_case_and_goes_on(tmp_path):
    write_bad_folder(tmp_path)
    good = PARITY / 'internvideo2_recipes' / 'multiview_merge.npz'
    done = run_verify(tmp_path, good, '--json', 'out.json', cwd=tmp_path)
    lines = done.stdout.splitlines()
    assert done.returncode == 1, done.stderr
    assert lines[-2:] == ['3 data files that are not cases were skipped', '1 passed, 6 failed']
    for name, reason in [
        ('without_json', 'without_json.json is missing'),
        ('malformed', 'malformed.json cannot be read'),
        ('fieldless', 'lacks the fields facts, state'),
        ('stranger', "unknown family 'no/such'"),
    ]:
        assert any(name in line and reason in line for line in lines), name
    report = json.loads((tmp_path / 'out.json').read_text())
    assert (report['passed'], report['failed'], len(report['cases'])) == (1, 6, 7)


def test_runners_of_a_project_are_imported(tmp_path):
    path = write_case(tmp_path)
    assert f'unknown family {FAMILY!r}' in run_verify(path).stdout
    done = run_verify(path, '--runners', 'tests.verification.linear')
    assert done.stdout.splitlines()[-1] == '1 passed, 0 failed'


@pytest.mark.parametrize(
    ('args', 'message'),
    [
        (['no_such_folder'], 'no such file or folder: no_such_folder'),
        (['.'], 'no reference cases below .'),
        ([PARITY, '--device', 'warp'], '--device warp'),
        ([PARITY, '--dtype', 'int8'], "invalid choice: 'int8'"),
        ([PARITY, '--json', 'no/such/file'], '--json no/such/file'),
        ([PARITY, '--runners', 'projects.nothing'], '--runners projects.nothing: No module'),
    ],
)
def test_bad_arguments_are_named(tmp_path, args, message):
    done = run_verify(*args, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr


def test_missing_or_broken_npz_is_named(tmp_path, monkeypatch):
    write_bad_folder(tmp_path)
    messages = {path.stem: run_case(path).message for path in tmp_path.glob('*.json')}
    assert messages['without_npz'] == 'without_npz.npz is missing'
    assert 'broken_npz.npz cannot be read' in messages['broken_npz']
