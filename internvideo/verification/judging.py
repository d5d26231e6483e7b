"""Running one case against this build and judging its numbers.

Tolerance.  ``|actual - stored| <= atol + rtol * |stored|`` with the case's own figures in float32
and float64.  Integers and booleans may differ by ``atol`` only, so in practice not at all.  NaN
equals NaN, an infinity equals itself.  bfloat16 and float16 round every intermediate, and what that
costs scales with the largest value of an output, not with each element: there the rule becomes
``atol + r * max|stored| + max(rtol, r) * |stored|`` with r = 0.05 (bfloat16) or 0.01 (float16).
"""

import random
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .cases import Case, CaseError, RunEnv, load_case, read_header, to_numpy
from .runner_registry import Result, find_runner

LOW_PRECISION = {'bfloat16': 0.05, 'float16': 0.01}


@dataclass
class Verdict:
    """Outcome of one case, with the largest error as a share of its tolerance (``worst``)."""

    case: str
    family: str
    passed: bool = False
    worst: float | None = None
    worst_abs: float | None = None
    worst_output: str | None = None
    message: str = ''
    seconds: float = 0.0
    traceback: str = ''


def _tolerance(stored: np.ndarray, rtol: float, atol: float, dtype: str) -> np.ndarray:
    if stored.dtype.kind in 'biu':
        return np.full(stored.shape, atol)
    size = np.where(np.isfinite(stored), np.abs(stored), 0).astype(np.float64)
    rate = LOW_PRECISION.get(dtype, 0.0)
    return atol + rate * size.max(initial=0.0) + max(rtol, rate) * size


def compare_arrays(
    stored: np.ndarray, actual: np.ndarray, rtol: float, atol: float, dtype: str = 'float32'
) -> tuple[float, float]:
    """``(worst error / tolerance, worst absolute error)`` of arrays of equal shape."""
    limit = _tolerance(stored, rtol, atol, dtype)
    same = stored == actual
    if stored.dtype.kind == 'f' and actual.dtype.kind == 'f':
        same |= np.isnan(stored) & np.isnan(actual)
    # Infinities subtract to NaN, and a tolerance of zero divides by zero: both are settled below.
    with np.errstate(invalid='ignore', divide='ignore'):
        error = np.where(same, 0.0, np.abs(stored.astype(np.float64) - actual.astype(np.float64)))
        error = np.where(np.isnan(error), np.inf, error)
        share = np.where(error == 0, 0.0, error / limit)
    return float(share.max(initial=0.0)), float(error.max(initial=0.0))


def _output_error(case: Case, name: str, value: Any, env: RunEnv) -> tuple[float, float]:
    actual, spec, stored = to_numpy(value), case.outputs[name], case.stored[name]
    shape = tuple(spec['shape'])
    if actual.shape != shape:
        raise CaseError(f'output {name!r} has shape {actual.shape}, expected {shape}')
    if actual.dtype.kind not in 'biuf':
        raise CaseError(f'output {name!r} has type {actual.dtype}, expected {stored.dtype}')
    # Of large outputs a case stores every n-th value, to stay small.
    if 'stride' in spec:
        actual = actual.reshape(-1)[:: spec['stride']]
    if actual.size != stored.size:
        raise CaseError(f'output {name!r}: {stored.size} values are stored, {actual.size} expected')
    return compare_arrays(stored, actual.reshape(stored.shape), case.rtol, case.atol, env.dtype)


def _same_fact(stored: Any, actual: Any, case: Case) -> bool:
    if isinstance(stored, dict) and isinstance(actual, Mapping):
        return set(stored) == set(actual) and all(
            _same_fact(value, actual[key], case) for key, value in stored.items()
        )
    if isinstance(stored, list) and isinstance(actual, list | tuple):
        return len(stored) == len(actual) and all(
            _same_fact(one, two, case) for one, two in zip(stored, actual, strict=True)
        )
    if isinstance(stored, float) and isinstance(actual, int | float):
        return bool(abs(stored - actual) <= case.atol + case.rtol * abs(stored))
    return bool(stored == actual)


def _fact_faults(case: Case, result: Result) -> list[str]:
    faults = []
    for name, stored in case.expected.items():
        if name in result.expected:
            if not _same_fact(stored, result.expected[name], case):
                want, got = str(stored)[:80], str(result.expected[name])[:80]
                faults.append(f'expected {name!r} is {got}, case says {want}')
        else:
            faults.append(f'expected {name!r} was not checked')
    return faults


def judge(case: Case, result: Result, env: RunEnv, verdict: Verdict) -> None:
    """Compare ``result`` with the case and write the outcome into ``verdict``."""
    faults = _fact_faults(case, result)
    verdict.worst = verdict.worst_abs = 0.0
    for name in case.outputs:
        if name not in result.outputs:
            faults.append(f'output {name!r} was not returned')
            continue
        try:
            share, error = _output_error(case, name, result.outputs[name], env)
        except CaseError as fault:
            faults.append(str(fault))
            continue
        if share > verdict.worst or verdict.worst_output is None:
            verdict.worst, verdict.worst_abs, verdict.worst_output = share, error, name
    if verdict.worst > 1:
        faults.insert(0, f'output {verdict.worst_output!r} is off')
    verdict.message = '; '.join(faults[:4]) + (' ...' if len(faults) > 4 else '')
    # What a runner leaves alone could hold anything: agreeing numbers prove nothing about it.
    unread = case.unread()
    verdict.message = '; '.join([verdict.message, *unread] if faults else unread)
    verdict.passed = not faults and not unread


def _fix_generators() -> None:
    """Start each case alike, so that no verdict depends on the cases before it."""
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


def run_case(path: str | Path, env: RunEnv | None = None) -> Verdict:
    """Run the case at ``path`` and put whatever goes wrong into the verdict."""
    env, path = env or RunEnv(), Path(path).with_suffix('.json')
    verdict = Verdict(case=f'{path.parent.name}/{path.stem}', family='?')
    started = time.perf_counter()
    try:
        verdict.family = read_header(path)['family']
        runner = find_runner(verdict.family)
        case = load_case(path)
        _fix_generators()
        judge(case, runner(case, env), env, verdict)
    except CaseError as error:
        verdict.message, verdict.traceback = str(error), traceback.format_exc()
    # A case that ends the process would take the verdicts of all later ones along.
    except (Exception, SystemExit) as error:
        verdict.message = f'{type(error).__name__}: {error}'
        verdict.traceback = traceback.format_exc()
    verdict.seconds = time.perf_counter() - started
    return verdict
