"""Reference cases: reading them, running them against this build, and judging the numbers.

A case is a pair ``<case>.json`` / ``<case>.npz``.  The JSON names the family, plain facts of the
model, the checkpoint layout (``state``), the inputs and the outputs; the npz holds the outputs.
Weights and random inputs are not stored: each is drawn from a generator seeded by the CRC-32 of
its own name, so whoever shares the checkpoint layout shares the weights.

A family is served by a function in a module ``tests/parity/**/runners*.py``::

    @parity_runner('internvideo2_single/finetune')
    def run(case: Case, env: RunEnv) -> Result:
        model = build(case.facts['model'], env)
        model.load_state_dict(case.fill_tensors(model.state_dict(), env))
        return Result(outputs={'logits': model(env.tensor(case.inputs['video']))})

Tolerance.  ``|actual - stored| <= atol + rtol * |stored|`` with the case's own figures in float32
and float64.  Integers and booleans may differ by ``atol`` only, so in practice not at all.  NaN
equals NaN, an infinity equals itself.  bfloat16 and float16 round every intermediate, and what that
costs scales with the largest value of an output, not with each element: there the rule becomes
``atol + r * max|stored| + max(rtol, r) * |stored|`` with r = 0.05 (bfloat16) or 0.01 (float16).
"""

import importlib
import json
import random
import time
import traceback
import zlib
from collections.abc import Callable, ItemsView, Iterable, Iterator, Mapping, ValuesView
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.paths import ROOT

PARITY_ROOT = Path(__file__).resolve().parent
DTYPES = {
    'float32': torch.float32,
    'float64': torch.float64,
    'bfloat16': torch.bfloat16,
    'float16': torch.float16,
}
ATTENTION_BACKENDS = ('auto', 'sdpa', 'flash_attn', 'eager')
LOW_PRECISION = {'bfloat16': 0.05, 'float16': 0.01}
FIELDS = ('facts', 'state', 'inputs', 'outputs', 'rtol', 'atol')


class CaseError(Exception):
    """A case that cannot be read, or that the build under test does not fit."""


# --- the case format ----------------------------------------------------------------------------


def _generator(name: str) -> np.random.RandomState:
    return np.random.RandomState(zlib.crc32(name.encode()))


def fill_entry(name: str, shape: Iterable[int], rule: str) -> np.ndarray:
    """The float32 array that checkpoint entry ``name`` holds under ``rule``."""
    shape = tuple(shape)
    noise = _generator(name).standard_normal(shape).astype(np.float32)
    if rule == 'normal':
        return noise / np.float32(np.sqrt(np.prod(shape[1:])))
    if rule == 'scale':
        return 1 + np.float32(0.05) * noise
    if rule == 'shift':
        return np.float32(0.05) * noise
    raise CaseError(f'state entry {name!r}: unknown rule {rule!r}')


def _mask(rng: np.random.RandomState, shape: tuple[int, ...], per_row: int) -> np.ndarray:
    rows = np.zeros((int(np.prod(shape[:-1])), shape[-1]), dtype=bool)
    for row in rows:
        row[rng.permutation(shape[-1])[:per_row]] = True
    return rows.reshape(shape)


def make_input(spec: Mapping[str, Any]) -> np.ndarray:
    """Build one input array from its entry in ``inputs``."""
    name, kind = spec['name'], spec['kind']
    if kind == 'values':
        return np.array(spec['values'], dtype=spec.get('dtype'))
    rng, shape = _generator(f'input:{name}'), tuple(spec['shape'])
    if kind == 'normal':
        return rng.standard_normal(shape).astype(np.float32)
    if kind == 'uniform':
        return rng.uniform(size=shape).astype(np.float32)
    if kind == 'int':
        return rng.randint(spec['low'], spec['high'], size=shape).astype(np.int64)
    if kind == 'mask':
        return _mask(rng, shape, spec['per_row'])
    raise CaseError(f'input {name!r}: unknown kind {kind!r}')


def to_numpy(value: Any) -> np.ndarray:
    """Any array-like on any device as a NumPy array; bfloat16, unknown to NumPy, as float32."""
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu()
        return (value.float() if value.dtype == torch.bfloat16 else value).numpy()
    return np.asarray(value)


@dataclass(frozen=True)
class RunEnv:
    """How a runner computes: device, attention backend and floating-point type (by name)."""

    device: str = 'cpu'
    attn_backend: str = 'auto'
    dtype: str = 'float32'

    @property
    def torch_dtype(self) -> torch.dtype:
        return DTYPES[self.dtype]

    def tensor(self, array: Any) -> torch.Tensor:
        """``array`` on the device; floating-point values in the run's type, others as they are."""
        tensor = torch.as_tensor(to_numpy(array)).to(self.device)
        return tensor.to(self.torch_dtype) if tensor.is_floating_point() else tensor


class Facts(dict):
    """The facts of a case; they remember which of them, nested ones too, were looked at.

    A fact that no runner knows makes no numbers, so a miss names those that were not.
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        super().__init__(
            (name, Facts(value) if type(value) is dict else value) for name, value in values.items()
        )
        self._seen: set[str] = set()

    def __getitem__(self, name: str) -> Any:
        self._seen.add(name)
        return super().__getitem__(name)

    def get(self, name: str, default: Any = None) -> Any:
        self._seen.add(name)
        return super().get(name, default)

    def __iter__(self) -> Iterator[str]:  # its own, so that **facts asks __getitem__ as well
        return super().__iter__()

    def items(self) -> ItemsView[str, Any]:
        self._seen.update(self)
        return super().items()

    def values(self) -> ValuesView[Any]:
        self._seen.update(self)
        return super().values()

    def copy(self) -> dict[str, Any]:
        return dict(self.items())

    def __eq__(self, other: object) -> bool:
        self._seen.update(self)
        return super().__eq__(other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = None

    def __or__(self, other: Mapping[str, Any]) -> 'Facts':
        merged = Facts(dict(super().items()) | other)
        merged._seen = self._seen
        return merged

    def unread(self) -> list[str]:
        """Dotted names of the facts that nobody looked at."""
        names = []
        for name, value in super().items():
            if name not in self._seen:
                names.append(name)
            elif isinstance(value, Facts):
                names += [f'{name}.{inner}' for inner in value.unread()]
        return names


@dataclass(frozen=True)
class Case:
    """One reference case, read and with its inputs drawn."""

    path: Path
    family: str
    facts: Facts
    state: list[tuple[str, tuple[int, ...], str, str]]
    inputs: dict[str, np.ndarray]
    roles: dict[str, str]
    outputs: dict[str, dict[str, Any]]
    stored: dict[str, np.ndarray]
    expected: dict[str, Any]
    rtol: float
    atol: float

    @property
    def name(self) -> str:
        return self.path.stem

    def role(self, role: str) -> np.ndarray:
        """The input playing ``role``: its ``key``, or its name, or what follows its first dot."""
        return self.inputs[self.roles.get(role, role)]

    def fill(self, own: Mapping[str, Any] | None = None) -> dict[str, np.ndarray]:
        """The published checkpoint of the case, exactly the entries that ``state`` lists.

        ``own`` is the state of the model under test in published names: it gives the entries
        that the case keeps as constructed, and any name or shape in which the two differ raises
        :class:`CaseError`.  Without it (a pure conversion) nothing is compared.
        """
        if own is not None:
            self._check_layout(own)
        filled = {}
        for name, shape, dtype, rule in self.state:
            if rule == 'keep' and own is None:
                raise CaseError(f'state entry {name!r} is kept, but no constructed value was given')
            value = to_numpy(own[name]) if rule == 'keep' else fill_entry(name, shape, rule)
            filled[name] = value.astype(dtype)
        return filled

    def fill_tensors(self, own: Mapping[str, Any], env: RunEnv) -> dict[str, torch.Tensor]:
        """:meth:`fill` as tensors for ``env``."""
        return {name: env.tensor(value) for name, value in self.fill(own).items()}

    def _check_layout(self, own: Mapping[str, Any]) -> None:
        want = {name: shape for name, shape, _, _ in self.state}
        faults = [f'{name} missing in the model' for name in want if name not in own]
        faults += [f'{name} not in the case' for name in own if name not in want]
        faults += [
            f'{name} is {tuple(own[name].shape)}, case says {shape}'
            for name, shape in want.items()
            if name in own and tuple(own[name].shape) != shape
        ]
        if faults:
            more = f' and {len(faults) - 5} more' if len(faults) > 5 else ''
            raise CaseError(f'state differs: {"; ".join(faults[:5])}{more}')


@dataclass
class Result:
    """What a runner returns.

    ``outputs`` are compared with the stored arrays, ``expected`` with the case's facts of that
    name; a fact that a runner cannot tell is named in ``unchecked``, all others are misses.
    """

    outputs: Mapping[str, Any]
    expected: Mapping[str, Any] = field(default_factory=dict)
    unchecked: Iterable[str] = ()


def _role_names(inputs: list[dict[str, Any]]) -> dict[str, str]:
    roles: dict[str, str] = {}
    for spec in inputs:
        name = spec['name']
        for role in (spec.get('key'), name, name.partition('.')[2]):
            if role:
                roles.setdefault(role, name)
    return roles


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding='utf-8'))
    except FileNotFoundError as error:
        raise CaseError(f'{path.name} is missing') from error
    except (ValueError, OSError) as error:
        raise CaseError(f'{path.name} cannot be read: {error}') from error


def read_header(path: Path) -> dict[str, Any]:
    """The JSON of the case at ``path``; raises :class:`CaseError` where it is none."""
    header = _read_json(path)
    if not isinstance(header, dict) or not isinstance(header.get('family'), str):
        raise CaseError(f'{path.name} has no field "family": not a reference case')
    missing = [name for name in FIELDS if name not in header]
    if missing:
        raise CaseError(f'{path.name} lacks the fields {", ".join(missing)}')
    return header


def _read_outputs(path: Path, header: Mapping[str, Any]) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            stored = {name: arrays[name] for name in arrays.files}
    except FileNotFoundError as error:
        raise CaseError(f'{path.name} is missing') from error
    except Exception as error:
        raise CaseError(f'{path.name} cannot be read: {error}') from error
    absent = [out['name'] for out in header['outputs'] if out['name'] not in stored]
    if absent:
        raise CaseError(f'{path.name} lacks the outputs {", ".join(absent)}')
    return stored


def load_case(path: str | Path) -> Case:
    """Read the case at ``path`` (json or npz); raises :class:`CaseError` naming what is wrong."""
    path = Path(path).with_suffix('.json')
    header = read_header(path)
    stored = _read_outputs(path.with_suffix('.npz'), header)
    try:
        return Case(
            path=path,
            family=header['family'],
            facts=Facts(header['facts']),
            state=[
                (name, tuple(shape), dtype, rule) for name, shape, dtype, rule in header['state']
            ],
            inputs={spec['name']: make_input(spec) for spec in header['inputs']},
            roles=_role_names(header['inputs']),
            outputs={out['name']: out for out in header['outputs']},
            stored=stored,
            expected=header.get('expected', {}),
            rtol=float(header['rtol']),
            atol=float(header['atol']),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise CaseError(f'{path.name} is malformed: {error!r}') from error


# --- runners ------------------------------------------------------------------------------------

Runner = Callable[[Case, RunEnv], Result]
RUNNERS: dict[str, Runner] = {}
IMPORT_ERRORS: dict[str, str] = {}


def parity_runner(*families: str) -> Callable[[Runner], Runner]:
    """Register the decorated function for ``families`` (each ``topic/name``)."""

    def register(function: Runner) -> Runner:
        for family in families:
            if RUNNERS.setdefault(family, function) is not function:
                raise ValueError(f'two runners for family {family!r}')
        return function

    return register


def discover_runners() -> None:
    """Import every ``runners*.py`` below this folder; a module that fails is noted by name."""
    for path in sorted(PARITY_ROOT.rglob('runners*.py')):
        name = '.'.join(path.relative_to(ROOT).with_suffix('').parts)
        try:
            importlib.import_module(name)
        except Exception as error:
            IMPORT_ERRORS[name] = f'{type(error).__name__}: {error}'


def find_runner(family: str) -> Runner:
    """The runner of ``family``; raises :class:`CaseError` when there is none."""
    if family not in RUNNERS:
        broken = ''.join(
            f'; {name} failed to import ({why})' for name, why in IMPORT_ERRORS.items()
        )
        raise CaseError(f'unknown family {family!r}{broken}')
    return RUNNERS[family]


# --- judging ------------------------------------------------------------------------------------


@dataclass
class Verdict:
    """Outcome of one case; ``worst`` is the largest error as a share of its tolerance."""

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
    unchecked = set(result.unchecked)
    faults = []
    for name, stored in case.expected.items():
        if name in result.expected:
            if not _same_fact(stored, result.expected[name], case):
                want, got = str(stored)[:80], str(result.expected[name])[:80]
                faults.append(f'expected {name!r} is {got}, case says {want}')
        elif name not in unchecked:
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
    verdict.passed = not faults
    if faults and (unread := case.facts.unread()):
        verdict.message += f' (facts that the runner did not read: {", ".join(unread)})'


def _fix_generators() -> None:
    """Start each case alike, so that no verdict depends on the cases before it."""
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


def run_case(path: str | Path, env: RunEnv | None = None) -> Verdict:
    """Run the case at ``path``; whatever goes wrong ends in the verdict, never in an exception."""
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
    except (Exception, SystemExit) as error:
        verdict.message = f'{type(error).__name__}: {error}'
        verdict.traceback = traceback.format_exc()
    verdict.seconds = time.perf_counter() - started
    return verdict


# --- finding cases ------------------------------------------------------------------------------


def is_case(path: Path) -> bool:
    """Whether a JSON file found in a folder stands for a case.

    It does when it names a family or has an npz beside it.  A file that is no valid JSON counts
    too, so that it is reported; manifests and data files do not.
    """
    if path.name.endswith('.manifest.json'):
        return False
    if path.with_suffix('.npz').exists():
        return True
    try:
        header = _read_json(path)
    except CaseError:
        return True
    return isinstance(header, dict) and 'family' in header


def find_cases(path: str | Path) -> tuple[list[Path], int]:
    """``(cases, skipped)`` below folder ``path``, or the one case that file ``path`` belongs to.

    ``skipped`` counts JSON files that are data, not cases.  An npz whose JSON is missing counts
    as a case (and fails).  Raises :class:`FileNotFoundError` naming a path that does not exist.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f'no such file or folder: {path}')
    if path.is_file():
        return [path.with_suffix('.json')], 0
    found = sorted(path.rglob('*.json'))
    cases = [file for file in found if is_case(file)]
    orphans = [file.with_suffix('.json') for file in path.rglob('*.npz')]
    return sorted({*cases, *orphans}), len(found) - len(cases)
