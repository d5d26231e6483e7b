"""Check a config on a laptop before it is queued: internvideo rehearse CONFIG... [options].

Finds mistakes, prints parameters, FLOPs, memory per GPU and GPU-hours of the real thing, then
trains, validates, saves and resumes a shrunken copy on generated media.  Exit status: 0 no fault,
1 faults, 2 bad arguments.
"""

import argparse
import os
import tempfile
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('configs', nargs='*', metavar='CONFIG', help='config files, or names')
    parser.add_argument(
        '--all', nargs='+', metavar='DIR', help='every config below these folders, as a table'
    )
    parser.add_argument(
        '--exclude', nargs='+', default=[], metavar='GLOB', help='of --all, leave these paths out'
    )
    parser.add_argument('--gpus', type=int, metavar='N', help='instead of num_gpus of the config')
    parser.add_argument('--gpu', default='A100-80', metavar='NAME', help='default: A100-80')
    parser.add_argument('--mfu', type=float, default=0.4, help='share of its peak (default: 0.4)')
    parser.add_argument('--samples', type=int, metavar='N', help='training videos, if not counted')
    parser.add_argument('--strict', action='store_true', help='missing files are faults')
    parser.add_argument('--no-trial', action='store_true', help='do not run the shrunken copy')
    parser.add_argument('--no-facts', action='store_true', help='do not trace memory and FLOPs')
    parser.add_argument('--jobs', type=int, default=2, metavar='N', help='at a time (default: 2)')
    parser.add_argument('--json', metavar='FILE', help='write everything to FILE as well')
    return parser


def config_paths(args: argparse.Namespace) -> list[Path]:
    """The configs that the arguments name.

    Raises:
        ValueError: none.
        UsageError: one that does not exist.
    """
    from internvideo.cli.config_names import named_config
    from internvideo.rehearsal.rehearsal import leaves

    if not args.configs and not args.all:
        raise ValueError('name a CONFIG, or --all DIR')
    found = leaves(*args.all) if args.all else []
    found = [path for path in found if not any(fnmatch(str(path), glob) for glob in args.exclude)]
    paths = [Path(named_config(name)) for name in args.configs] + found
    if not 0 < args.mfu <= 1:
        raise ValueError(f'--mfu {args.mfu} must lie in (0, 1]')
    return paths


def command(arguments: Sequence[str]) -> int:
    """Rehearse and report."""
    # Before torch is imported: idle threads of OpenMP spin otherwise.
    os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')
    parser = build_parser()
    args = parser.parse_args(arguments)
    from internvideo.engine.command_line import UsageError, make_projects_importable
    from internvideo.rehearsal.examples import MediaCache
    from internvideo.rehearsal.options import Options
    from internvideo.rehearsal.rehearsal import rehearse_all
    from internvideo.rehearsal.report import as_json, describe, sweep_table

    make_projects_importable()
    options = Options(
        gpus=args.gpus,
        gpu=args.gpu,
        mfu=args.mfu,
        samples=args.samples,
        strict=args.strict,
        trial=not args.no_trial,
        facts=not args.no_facts,
        all_layouts=not args.all,
    )
    results = []
    try:
        paths = config_paths(args)
        # One folder for all configs, whose processes share the generated media.
        with tempfile.TemporaryDirectory(prefix='rehearsal-media-') as media:
            for result in rehearse_all(paths, options, MediaCache(media), args.jobs):
                results.append(result)
                if not args.all or not result.passed:
                    print('\n'.join(describe(result)), flush=True)
    except (ValueError, FileNotFoundError, UsageError) as error:
        parser.exit(2, f'{parser.prog}: {error}\n')
    if args.all:
        print('\n'.join(sweep_table(results)))
    if args.json:
        from internvideo.fileio.json_files import write_json

        write_json(args.json, [as_json(r) for r in results], indent=1)
    failed = sum(not result.passed for result in results)
    print(f'{len(results) - failed} passed, {failed} failed')
    return 1 if failed else 0
