"""Check a copy of a data set, or any media files: what is missing, broken, short or mislabelled.

Examples: internvideo check-data k400
          internvideo check-data my/train.csv --root my/videos --num-classes 12
          internvideo check-data msrvtt_1k_test            # a corpus or an evaluation set
          internvideo check-data my/captions.json --root my/videos --max-text-length 40
          internvideo check-data videos/ more.mkv --speed --json files.json

Exits with 1 when there are problems, with --strict when there are warnings, too.
"""

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from internvideo.cli.check_sources import find_lists
from internvideo.datasets.checking.file_facts import FileFacts
from internvideo.datasets.checking.lists import (
    AnyList,
    Chunk,
    FileList,
    MediaList,
    Problem,
    TextList,
    count_rows,
)
from internvideo.datasets.checking.processes import run_chunks
from internvideo.datasets.checking.report import Report
from internvideo.datasets.checking.rows import check_rows, find_conflicts
from internvideo.engine.command_line import (
    BACKENDS,
    UsageError,
    add_reading_arguments,
    guarded,
    reading_limits,
    refuse_overwriting,
)
from internvideo.fileio.json_files import write_json

__all__ = [
    'Chunk',
    'MediaList',
    'Problem',
    'Report',
    'TextList',
    'check_rows',
    'find_conflicts',
    'find_lists',
    'main',
]

CHUNK_ROWS = 32
PRINT_SECONDS = 10
SHOWN_FILES = 3
"""Files named for each finding, and problems at the end."""
SHOWN_PROBLEMS = 10
SPLITS = ('train', 'val', 'test')
MEDIA_TYPES = ('image', 'video', 'audio', 'audio_video')
KINDS = ('malformed', 'mislabelled', 'missing', 'broken', 'short')
TEXT_KINDS = ('malformed', 'duplicate', 'caption', 'missing', 'broken', 'short', 'silent')
FILE_KINDS = ('broken', 'short', 'silent')


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add('sources', nargs='+', help='data set (k400, msrvtt_1k_test, ...), config file, annotation '
        'list, media files, folders of them')  # fmt: skip
    add('--split', nargs='+', choices=SPLITS, default=SPLITS, help='lists of a config to check')
    add('--root', help='folder that paths start from (default: the config says)')
    add('--columns', nargs='+', help='columns of a list (default: path label)')
    add('--max-text-length', type=int, help='tokens of a text (default: the table says, or 32)')
    add('--media-type', choices=MEDIA_TYPES, help='of a JSON or SQLite list (default: video)')
    add('--num-classes', type=int, help='number of classes (default: the config says)')
    add('--min-frames', type=int, help='fewer are short (default: what the config samples, or 1)')
    add_reading_arguments(parser, (*BACKENDS, 'frames'))
    add('--full', action='store_true', help='decode every frame, not just the first and last')
    add('--speed', action='store_true', help='measure how many frames a second are decoded')
    add(
        '--workers', type=int, default=len(os.sched_getaffinity(0)), help='processes (default: all)'
    )
    add('--report', type=Path, help='JSON lines, one per problem (default: check_NAME.jsonl)')
    add('--json', type=Path, metavar='FILE', help='write what is known of every file')
    add('--strict', action='store_true', help='warnings make the exit status 1, too')
    add('--restart', action='store_true', help='forget an unfinished check of the same report')
    add('--debug', action='store_true', help='show the traceback of every error')
    return parser


def make_chunks(lists: list[AnyList]) -> list[Chunk]:
    """Split the rows of all lists into pieces."""
    return [
        Chunk(number, first, min(first + CHUNK_ROWS, count_rows(media)))
        for number, media in enumerate(lists)
        for first in range(0, count_rows(media), CHUNK_ROWS)
    ]


def main(args: argparse.Namespace) -> None:
    """Check the lists and exit with 1 when there are problems."""
    if args.workers < 1:
        raise UsageError(f'--workers must be positive, got {args.workers}')
    reading_limits(args)  # for its error alone
    lists = find_lists(args)
    if not lists:
        raise ValueError(f'{args.sources[0]} names no annotation list for {", ".join(args.split)}')
    path = args.report or Path(f'check_{Path(args.sources[0]).resolve().stem}.jsonl')
    inputs = [file for media in lists if isinstance(media, FileList) for file in media.files]
    refuse_overwriting([path, *filter(None, [args.json])], [*args.sources, *inputs])
    report = Report(path, lists, args.restart)
    for media in lists:
        # In every run, since nothing is decoded; what the report has already is not added again.
        report.add(find_conflicts(media))
    total = _check(lists, report, args.workers)
    report.complete()
    _print_summary(report, total, _kinds_of(lists))
    if args.json is not None:
        write_json(args.json, [facts.to_dict() for facts in report.files.values()])
    warned = args.strict and any(facts.warnings() for facts in report.files.values())
    if report.problems or warned:
        sys.exit(1)


def _check(lists: list[AnyList], report: Report, workers: int) -> int:
    """Check what the report does not have yet and return the number of rows."""
    chunks = make_chunks(lists)
    left = [chunk for chunk in chunks if chunk not in report.done]
    total, done = sum(c.last - c.first for c in chunks), sum(c.last - c.first for c in report.done)
    if done:
        print(f'{done} of {total} rows were checked before', flush=True)
    start = printed = time.perf_counter()
    fresh = 0
    for chunk, problems, files in run_chunks(lists, left, workers):
        report.add(problems, chunk, files)
        # The rate counts rows of this run alone: those checked before take no time now.
        fresh += chunk.last - chunk.first
        if time.perf_counter() - printed > PRINT_SECONDS:
            printed = time.perf_counter()
            _print_progress(done + fresh, total, fresh / (printed - start), len(report.problems))
    return total


def _kinds_of(lists: list[AnyList]) -> tuple[str, ...]:
    kinds = {MediaList: KINDS, TextList: TEXT_KINDS, FileList: FILE_KINDS}
    return tuple(dict.fromkeys(kind for media in lists for kind in kinds[type(media)]))


def _print_progress(done: int, total: int, rate: float, problems: int) -> None:
    minutes = (total - done) / rate / 60
    print(
        f'{done}/{total} rows, {problems} problems, {rate:.1f} rows/s, {minutes:.0f} min left',
        flush=True,
    )


def _print_summary(report: Report, total: int, kinds: Iterable[str]) -> None:
    files = report.files.values()
    _print_findings({name: _having(files, name) for name in _findings(files)})
    _print_speed(files)
    problems = list(report.problems)
    for problem in problems[:SHOWN_PROBLEMS]:
        print(f'{problem.path or problem.where}: {problem.kind}: {problem.detail}')
    if len(problems) > SHOWN_PROBLEMS:
        print(f'... and {len(problems) - SHOWN_PROBLEMS} more problems')
    counts = Counter(problem.kind for problem in problems)
    found = ', '.join(f'{counts[kind]} {kind}' for kind in kinds)
    print(f'{total} rows: {found}' + (f'; see {report.path}' if counts else ''))


def _findings(files: Iterable[FileFacts]) -> list[str]:
    """Warnings, notes and readers that are wrong, most frequent first."""
    counts = Counter(name for facts in files for name in _names_of(facts))
    return [name for name, _ in counts.most_common()]


def _names_of(facts: FileFacts) -> list[str]:
    return [*facts.warnings(), *facts.notes(), *(f'not with {name}' for name in facts.wrong_with)]


def _having(files: Iterable[FileFacts], name: str) -> list[str]:
    return [facts.path for facts in files if name in _names_of(facts)]


def _print_findings(findings: dict[str, list[str]]) -> None:
    if not findings:
        return
    print(f'{"finding":24} {"files":>7}  such as')
    for name, paths in findings.items():
        shown = ', '.join(min(path, os.path.relpath(path), key=len) for path in paths[:SHOWN_FILES])
        print(f'{name:24} {len(paths):7}  {shown}')


def _print_speed(files: Iterable[FileFacts]) -> None:
    speeds = sorted((f.frames_per_second, f.path) for f in files if f.frames_per_second)
    if speeds:
        (slowest, path), (median, _) = speeds[0], speeds[len(speeds) // 2]
        print(f'decoded frames a second: median {median:g}, slowest {slowest:g} ({path})')


def command(arguments: Sequence[str]) -> int:
    """Run with these arguments and return the exit status."""
    return guarded(main, build_parser(), arguments)
