"""Run reference cases against this build: the command line of ``internvideo verify``.

:func:`main` is the entry point of ``tools/verify.py`` and of the console script.  Nothing heavy is
imported before the arguments are parsed.

Prints one line per case (verdict, case, family, worst error as a share of its tolerance) and last
``N passed, M failed``.  Exit status: 0 all passed, 1 a case missed, 2 bad arguments.
"""

import argparse
import dataclasses
import importlib
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .judging import Verdict

DTYPE_NAMES = {
    'float32': 'float32',
    'fp32': 'float32',
    'float64': 'float64',
    'fp64': 'float64',
    'bfloat16': 'bfloat16',
    'bf16': 'bfloat16',
    'float16': 'float16',
    'fp16': 'float16',
}


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description='Run reference cases against this build.')
    parser.add_argument('paths', nargs='+', metavar='PATH', help='case file or folder of cases')
    parser.add_argument('--device', default='cpu', help='torch device (default: cpu)')
    parser.add_argument(
        '--attn-backend', default='auto', choices=['auto', 'sdpa', 'flash_attn', 'eager']
    )
    parser.add_argument('--dtype', default='float32', choices=sorted(DTYPE_NAMES))
    parser.add_argument('--json', metavar='FILE', help='write the verdicts to FILE as well')
    parser.add_argument(
        '--runners',
        nargs='+',
        default=[],
        metavar='MODULE',
        help='modules with more runners, such as projects.NAME.runners',
    )
    parser.add_argument('--debug', action='store_true', help='print the traceback of each miss')
    return parser


def check_device(name: str) -> None:
    """Fail early, and by name, where the device cannot be used."""
    import torch

    try:
        torch.zeros(1, device=name)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f'--device {name}: {str(error).splitlines()[0]}') from error
    torch.backends.cudnn.allow_tf32 = False  # on by default, and far outside float32's tolerance
    torch.backends.cuda.matmul.allow_tf32 = False


def collect(paths: list[str]) -> tuple[list[Path], int]:
    """Return the cases that the paths name, and the number of data files among them."""
    from .cases import find_cases

    # As keys: a case that two paths name runs once, and the order stays.
    cases: dict[Path, None] = {}
    skipped = 0
    for path in paths:
        found, others = find_cases(path)
        if not found:
            raise ValueError(f'no reference cases below {path}')
        cases.update(dict.fromkeys(found))
        skipped += others
    return list(cases), skipped


def import_runners(names: list[str]) -> None:
    """Import modules of runners that are no part of the package, from the repository as well."""
    if names:
        from internvideo.engine.command_line import make_projects_importable

        make_projects_importable()
    for name in names:
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise ValueError(f'--runners {name}: {error}') from error


def describe(verdict: 'Verdict') -> str:
    parts = ['PASS' if verdict.passed else 'FAIL', verdict.case, f'[{verdict.family}]']
    if verdict.worst_output is not None:
        parts.append(
            f'worst {verdict.worst:.3g} of tolerance, {verdict.worst_abs:.3g} absolute '
            f'({verdict.worst_output})'
        )
    if verdict.message:
        parts.append(f'-- {" ".join(verdict.message.split())}')
    return '  '.join(parts)


def write_report(path: Path, verdicts: 'list[Verdict]') -> None:
    """Write the verdicts as JSON, with null for an infinite error."""
    from internvideo.fileio.json_files import write_json

    cases = [
        {
            key: None if isinstance(value, float) and not math.isfinite(value) else value
            for key, value in dataclasses.asdict(verdict).items()
        }
        for verdict in verdicts
    ]
    passed = sum(verdict.passed for verdict in verdicts)
    summary = {'passed': passed, 'failed': len(verdicts) - passed, 'cases': cases}
    write_json(path, summary, indent=1)


def run(args: argparse.Namespace) -> int:
    """Run, print and count the cases, or raise :class:`ValueError` for unusable arguments."""
    from .cases import RunEnv
    from .judging import run_case
    from .runner_registry import discover_runners

    cases, skipped = collect(args.paths)
    check_device(args.device)
    # Now, and not after the last case has run.
    if args.json and not Path(args.json).absolute().parent.is_dir():
        raise ValueError(f'--json {args.json}: its folder does not exist')
    discover_runners()
    import_runners(args.runners)
    env = RunEnv(args.device, args.attn_backend, DTYPE_NAMES[args.dtype])
    verdicts = []
    for path in cases:
        verdict = run_case(path, env)
        verdicts.append(verdict)
        print(describe(verdict), flush=True)
        if args.debug and verdict.traceback:
            print(verdict.traceback)
    if skipped:
        print(f'{skipped} data files that are not cases were skipped')
    passed = sum(verdict.passed for verdict in verdicts)
    failed = len(verdicts) - passed
    if args.json:
        write_report(Path(args.json), verdicts)
    print(f'{passed} passed, {failed} failed')
    return 1 if failed else 0


def main(argv: list[str] | None = None) -> int:
    """Run the command line ``argv`` (by default the process's) and return the exit status."""
    # Before torch is imported: idle threads of OpenMP spin otherwise.
    os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')
    parser = build_parser()
    args = parser.parse_args(argv)
    try:
        return run(args)
    except (ValueError, FileNotFoundError) as error:
        parser.exit(2, f'{parser.prog}: {error}\n')
