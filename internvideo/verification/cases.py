"""Reference cases: their format, their drawn weights and inputs, and where they lie.

A case is a pair ``<case>.json`` / ``<case>.npz``.  The JSON names the family, plain facts of the
model, the checkpoint layout (``state``), the inputs and the outputs; the npz holds the outputs.
Weights and random inputs are not stored: each is drawn from a generator seeded by the CRC-32 of
its own name, so whoever shares the checkpoint layout shares the weights.
"""

import json
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .facts import CaseError, Facts, ReadRecord

DTYPES = {
    'float32': torch.float32,
    'float64': torch.float64,
    'bfloat16': torch.bfloat16,
    'float16': torch.float16,
}
FIELDS = ('facts', 'state', 'inputs', 'outputs', 'rtol', 'atol')


def _generator(name: str) -> np.random.RandomState:
    # NumPy promises that RandomState's stream never changes; that of default_rng may.
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
    """Convert an array-like on any device to NumPy, bfloat16 as float32."""
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu()
        return (value.float() if value.dtype == torch.bfloat16 else value).numpy()
    return np.asarray(value)


@dataclass(frozen=True)
class RunEnv:
    """Settings of a run: device, attention backend and floating-point type (by name)."""

    device: str = 'cpu'
    attn_backend: str = 'auto'
    dtype: str = 'float32'

    @property
    def torch_dtype(self) -> torch.dtype:
        return DTYPES[self.dtype]

    def tensor(self, array: Any) -> torch.Tensor:
        """Move ``array`` to the device, floating-point values in the run's type."""
        tensor = torch.as_tensor(to_numpy(array)).to(self.device)
        return tensor.to(self.torch_dtype) if tensor.is_floating_point() else tensor


@dataclass(frozen=True)
class Case:
    """One reference case, read and with its inputs drawn.

    Facts and inputs remember which of them were read, ``used_state`` which entries of the
    checkpoint: what a runner leaves alone is a miss.
    """

    path: Path
    family: str
    facts: Facts
    state: list[tuple[str, tuple[int, ...], str, str]]
    inputs: ReadRecord
    roles: dict[str, str]
    outputs: dict[str, dict[str, Any]]
    stored: dict[str, np.ndarray]
    expected: dict[str, Any]
    rtol: float
    atol: float
    used_state: set[str] = field(default_factory=set)

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
        self.used_state.update(filled)
        return filled

    def unread(self) -> list[str]:
        """Return, in words, the facts, inputs and checkpoint entries that nobody read."""
        state = [name for name, *_ in self.state if name not in self.used_state]
        parts = dict(facts=self.facts.unread(), inputs=self.inputs.unread(), state=state)
        return [f'{kind} not read: {_first(names)}' for kind, names in parts.items() if names]

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
            raise CaseError(f'state differs: {_first(faults)}')


def _first(names: list[str], count: int = 5) -> str:
    more = f' and {len(names) - count} more' if len(names) > count else ''
    return ', '.join(names[:count]) + more


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
    """Read the JSON of the case at ``path``, or raise :class:`CaseError`."""
    header = _read_json(path)
    if not isinstance(header, dict) or not isinstance(header.get('family'), str):
        raise CaseError(f'{path.name} has no field "family": not a reference case')
    missing = [name for name in FIELDS if name not in header]
    if missing:
        raise CaseError(f'{path.name} lacks the fields {", ".join(missing)}')
    return header


def _read_outputs(path: Path, header: Mapping[str, Any]) -> dict[str, np.ndarray]:
    try:
        # A case is data from anywhere and must not bring code.
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
    """Read the case at ``path`` (json or npz), or raise :class:`CaseError` with the fault."""
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
            inputs=ReadRecord({spec['name']: make_input(spec) for spec in header['inputs']}),
            roles=_role_names(header['inputs']),
            outputs={out['name']: out for out in header['outputs']},
            stored=stored,
            expected=header.get('expected', {}),
            rtol=float(header['rtol']),
            atol=float(header['atol']),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise CaseError(f'{path.name} is malformed: {error!r}') from error


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
