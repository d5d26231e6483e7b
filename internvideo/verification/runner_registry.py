"""Registry of the functions that run the cases of a family.

A module below ``internvideo/verification/runners`` serves families::

    @parity_runner('internvideo2_single/finetune')
    def run(case: Case, env: RunEnv) -> Result:
        model = build(case.facts['model'], env)
        model.load_state_dict(case.fill_tensors(model.state_dict(), env))
        return Result(outputs={'logits': model(env.tensor(case.inputs['video']))})
"""

import importlib
import pkgutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .cases import Case, CaseError, RunEnv


@dataclass
class Result:
    """Result of a runner.

    ``outputs`` are compared with the stored arrays, ``expected`` with the case's facts of that
    name; what a case lists and a runner does not return is a miss.
    """

    outputs: Mapping[str, Any]
    expected: Mapping[str, Any] = field(default_factory=dict)


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
    """Import every module below ``verification.runners`` and note those that fail."""
    runners = importlib.import_module(f'{__package__}.runners')  # whose modules import this one
    for module in pkgutil.walk_packages(runners.__path__, f'{runners.__name__}.', _note_error):
        try:
            importlib.import_module(module.name)
        # One that lacks a package must not keep the others from running.
        except Exception as error:
            IMPORT_ERRORS[module.name] = f'{type(error).__name__}: {error}'


def _note_error(name: str) -> None:
    """Note a package that cannot be searched: ``walk_packages`` leaves it out without a word."""
    IMPORT_ERRORS.setdefault(name, repr(sys.exc_info()[1]))


def find_runner(family: str) -> Runner:
    """Runner of ``family``, or :class:`CaseError` when there is none."""
    if family not in RUNNERS:
        broken = ''.join(
            f'; {name} failed to import ({why})' for name, why in IMPORT_ERRORS.items()
        )
        raise CaseError(f'unknown family {family!r}{broken}')
    return RUNNERS[family]
