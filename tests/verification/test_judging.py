"""Judging a case: what passes, what misses, and how it is said."""

import pickle

import numpy as np
import pytest

from internvideo.verification import runner_registry
from internvideo.verification.cases import CaseError, RunEnv, load_case, make_input
from internvideo.verification.facts import Facts
from internvideo.verification.judging import compare_arrays, run_case
from internvideo.verification.runner_registry import find_runner

from .linear import FAMILY, normal, write_case

WEIGHT = normal('weight', (3, 2)).astype(np.float32) / np.float32(np.sqrt(2))
EXTRA = dict(name='linear.z', kind='normal', shape=[2])
# What the output is off by where the weights stay as the runner starts them.
NOT_FILLED = -(normal('input:linear.x', (4, 2)).astype(np.float32) @ WEIGHT.T)


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


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(other=1), 'facts not read: other'),
        (dict(nested=dict(a=1)), 'facts not read: nested'),
        (
            dict(inputs=[dict(name='linear.z', kind='normal', shape=[2])]),
            'inputs not read: linear.z',
        ),
        (dict(fills=False, error=NOT_FILLED), 'state not read: weight, table'),
    ],
)
def test_what_a_runner_leaves_alone_is_a_miss_though_numbers_agree(tmp_path, change, message):
    verdict = run_case(write_case(tmp_path, **change))
    assert not verdict.passed and verdict.worst <= 1
    assert verdict.message == message


def test_facts_remember_what_was_read():
    facts = Facts(dict(count=6, nested=dict(a=1, b=dict(c=2)), rows=[dict(d=1), dict(d=2)]))
    assert (facts['nested'] | dict(d=3))['a'] == 1 and dict(**facts['nested']['b']) == dict(c=2)
    assert facts.unread() == ['count', 'rows'] and facts.get('count') == 6
    assert facts['rows'][0]['d'] == 1 and facts.unread() == ['rows[1].d']
    facts['rows'][1].ignore('d')
    assert facts.unread() == []
    copied = pickle.loads(pickle.dumps(facts))
    assert copied == facts and copied.unread() == []


def test_a_fact_that_this_build_knows_in_one_value_is_checked():
    facts = Facts(dict(window='hann'))
    facts.require(window=('povey', 'hann'), dither=0)
    assert facts.unread() == []
    with pytest.raises(CaseError, match="fact 'window' is 'hann'; this build knows 'povey'"):
        facts.require(window='povey')


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


def test_a_runner_module_that_fails_is_named(monkeypatch):
    monkeypatch.setitem(runner_registry.IMPORT_ERRORS, 'verification.runners', 'ImportError: no y')
    with pytest.raises(CaseError, match=r'unknown family .*runners failed to import .*no y'):
        find_runner('x/y')
