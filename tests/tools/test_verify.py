"""The reference case harness and tools/verify.py: what passes, what misses, and how it is said."""

import json
import pickle
import subprocess
import sys
import zlib

import numpy as np
import pytest
import torch

from internvideo.verification import runner_registry
from internvideo.verification.cases import CaseError, RunEnv, load_case, make_input
from internvideo.verification.facts import Facts
from internvideo.verification.judging import compare_arrays, run_case
from internvideo.verification.runner_registry import Result, find_runner, parity_runner
from tests.paths import PARITY, TOOLS

TOOL = TOOLS / 'verify.py'
FAMILY = 'harness_test/linear'


@parity_runner(FAMILY)
def run_linear(case, env):
    """A linear map; the facts say how to go wrong."""
    own = dict(weight=torch.zeros(3, 2), table=torch.arange(3.0))
    if case.facts.get('raises'):
        raise RuntimeError('cannot\nrun')
    state = case.fill_tensors(own, env)
    outputs = dict(y=env.tensor(case.role('x')) @ state['weight'].T + state['table'])
    outputs['count'] = torch.tensor([4, case.facts.get('count', 5)])
    for name in case.facts.get('forgets', []):
        del outputs[name]
    expected = dict(params=6, names=['weight'], rate=0.1)
    return Result(outputs, expected, unchecked=case.facts.get('unchecked', ()))


def normal(name, shape):
    return np.random.RandomState(zlib.crc32(name.encode())).standard_normal(shape)


def write_case(folder, name='linear', error=0.0, shape=(4, 3), expected=None, state=None, **facts):
    """A case whose stored output is off by ``error``."""
    weight = normal('weight', (3, 2)).astype(np.float32) / np.float32(np.sqrt(2))
    x = normal('input:linear.x', (4, 2)).astype(np.float32)
    y = x @ weight.T + np.arange(3) + error
    header = dict(
        family=FAMILY,
        facts=facts,
        state=state or [['weight', [3, 2], 'float32', 'normal'], ['table', [3], 'float32', 'keep']],
        inputs=[dict(name='linear.x', kind='normal', shape=[4, 2])],
        outputs=[dict(name='y', shape=shape, stride=5), dict(name='count', shape=[2])],
        rtol=1e-4,
        atol=1e-5,
        expected=expected or dict(params=6, rate=0.1 + 1e-9),
    )
    path = folder / f'{name}.json'
    path.write_text(json.dumps(header))
    np.savez(folder / f'{name}.npz', y=y.reshape(-1)[::5].astype('f4'), count=np.array([4, 5]))
    return path


@pytest.mark.parametrize('dtype', ['float32', 'float64', 'bfloat16', 'float16'])
def test_a_case_passes_in_every_type(tmp_path, dtype):
    verdict = run_case(write_case(tmp_path), RunEnv(dtype=dtype))
    assert verdict.passed, verdict.message
    assert verdict.worst <= 1 and verdict.family == FAMILY


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(error=1e-3), "output 'y' is off"),
        (dict(error=np.nan), "output 'y' is off"),
        (dict(count=6), "output 'count' is off"),
        (dict(forgets=['y']), "output 'y' was not returned"),
        (dict(shape=[2, 6]), "output 'y' has shape (4, 3), expected (2, 6)"),
        (dict(raises=True), 'RuntimeError: cannot\nrun'),
        (dict(expected=dict(params=7)), "expected 'params' is 6, case says 7"),
        (dict(expected=dict(rate=0.2)), "expected 'rate' is 0.1"),
        (dict(expected=dict(other=1)), "expected 'other' was not checked"),
        (dict(state=[['weight', [3, 2], 'float32', 'normal']]), 'table not in the case'),
        (dict(state=[['w', [3], 'float32', 'shift']]), 'w missing in the model'),
        (
            dict(state=[['weight', [2, 3], 'float32', 'shift'], ['table', [3], 'float32', 'keep']]),
            'weight is (3, 2), case says (2, 3)',
        ),
    ],
)  # fmt: skip
def test_a_miss_says_what_is_wrong(tmp_path, change, message):
    verdict = run_case(write_case(tmp_path, **change))
    assert not verdict.passed
    assert message in verdict.message


def test_a_miss_names_facts_that_the_runner_does_not_know(tmp_path):
    known = dict(count=6, nested=dict(a=1, b=dict(c=2)))
    verdict = run_case(write_case(tmp_path, **known))
    assert verdict.message.endswith('(facts that the runner did not read: nested)')
    facts = Facts(known)
    assert (facts['nested'] | dict(d=3))['a'] == 1 and dict(**facts['nested']['b']) == dict(c=2)
    assert facts.unread() == ['count'] and facts.get('count') == 6
    assert facts.unread() == []
    copied = pickle.loads(pickle.dumps(facts))
    assert copied == known and copied.unread() == []


def test_a_fact_may_be_declared_unchecked(tmp_path):
    path = write_case(tmp_path, expected=dict(other=1), unchecked=['other'])
    assert run_case(path).passed


def test_nan_and_infinity_agree_with_themselves():
    values = np.array([np.nan, np.inf, -np.inf, 0], dtype=np.float32)
    assert compare_arrays(values, values.copy(), 0, 0) == (0, 0)
    assert compare_arrays(values, -values, 1, 1)[0] == np.inf


def test_integers_are_not_excused_by_the_relative_tolerance():
    share, error = compare_arrays(np.array([100000]), np.array([100001]), rtol=1e-3, atol=0.5)
    assert (share, error) == (2, 1)


@pytest.mark.parametrize(
    ('dtype', 'passes'), [('float32', False), ('float16', False), ('bfloat16', True)]
)
def test_low_precision_has_a_wider_rule(dtype, passes):
    stored = np.array([0.01, 1.0], dtype=np.float32)
    assert (compare_arrays(stored, stored + 0.04, 1e-4, 1e-5, dtype)[0] <= 1) == passes


@pytest.mark.parametrize('kind', ['normal', 'uniform', 'int', 'mask', 'values'])
def test_inputs_are_drawn_from_their_name(kind):
    spec = dict(name='a', kind=kind, shape=[3, 8], low=2, high=5, per_row=3, values=[[1, 2]])
    array, again = make_input(spec), make_input(spec)
    other = make_input(spec | dict(name='b'))
    assert np.array_equal(array, again)
    assert np.array_equal(array, other) == (kind == 'values')
    assert kind != 'mask' or (array.dtype == bool and (array.sum(axis=1) == 3).all())
    assert kind != 'int' or (array.min() >= 2 and array.max() < 5 and array.dtype == np.int64)


def test_a_kept_entry_needs_the_model(tmp_path):
    case = load_case(write_case(tmp_path))
    with pytest.raises(CaseError, match="'table' is kept"):
        case.fill()


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


@pytest.mark.parametrize(
    ('args', 'message'),
    [
        (['no_such_folder'], 'no such file or folder: no_such_folder'),
        (['.'], 'no reference cases below .'),
        ([PARITY, '--device', 'warp'], '--device warp'),
        ([PARITY, '--dtype', 'int8'], "invalid choice: 'int8'"),
        ([PARITY, '--json', 'no/such/file'], '--json no/such/file'),
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


def test_a_runner_module_that_fails_is_named(monkeypatch):
    monkeypatch.setitem(runner_registry.IMPORT_ERRORS, 'verification.runners', 'ImportError: no y')
    with pytest.raises(CaseError, match=r'unknown family .*runners failed to import .*no y'):
        find_runner('x/y')
