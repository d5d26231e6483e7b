"""Print where two runs have seen something else: compare_manifests.py A B [--json FILE].

Exits with 0 when both have seen the same, 1 when they differ, 2 when a file is no manifest.
"""

import argparse
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from internvideo.engine.command_line import UsageError, guarded

Record = dict[str, Any]

ROWS_SHOWN = 20
TIME_TOLERANCE = 1e-6
"""Seconds by which times may differ and be the same: clocks tick far more slowly."""
HARMLESS = ('same', 'other reader, same pixels', 'unreadable in both')
ORDER = (
    *HARMLESS,
    *('only in A', 'only in B', 'other file', 'unreadable', 'other frames', 'other times'),
    *('other pixels', 'other geometry', 'other audio'),
)
"""Verdicts of a sample: the first difference on the way from the file to the model."""


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        description='Print where two runs have seen something else, from their frame manifests.'
    )
    parser.add_argument('a', metavar='A', type=Path, help='manifest (.jsonl, .parquet)')
    parser.add_argument('b', metavar='B', type=Path, help='manifest to compare with it')
    parser.add_argument('--json', type=Path, metavar='FILE', help='write all samples that differ')
    parser.add_argument('--debug', action='store_true', help='show the traceback of every error')
    return parser


@dataclass(frozen=True)
class Difference:
    """Verdict on a sample.

    Attributes:
        verdict: one of :data:`ORDER`.
        path: the file, as the first manifest that has it names it.
        row: its ``sample_index``.
        detail: where the two part, in words.
    """

    verdict: str
    path: str
    row: int | None = None
    detail: str = ''

    @property
    def place(self) -> str:
        """Path and row, for people."""
        return self.path if self.row is None else f'{self.path} (row {self.row})'


# --- which samples belong together -------------------------------------------------------------


def paired(first: Sequence[Record], second: Sequence[Record]) -> Iterator[tuple[Record, ...]]:
    """Pairs of records of one sample, with None for one that only the other manifest has.

    Files are recognised by their content, wherever they lie and in whatever order they were read.
    What is left is paired by row and name, then by name: the content of these files differs.
    """
    rest_a, rest_b = list(first), list(second)
    for key in (_content_and_row, _content, _row_and_name, _name):
        pairs, rest_a, rest_b = _match(rest_a, rest_b, key)
        yield from pairs
    yield from ((record, None) for record in rest_a)
    yield from ((None, record) for record in rest_b)


def _match(
    first: Sequence[Record], second: Sequence[Record], key: Callable[[Record], Hashable]
) -> tuple[list[tuple[Record, Record]], list[Record], list[Record]]:
    """Pairs of equal keys in order, and what is left of both.

    A key of None matches nothing.
    """
    waiting = defaultdict(list)
    for record in second:
        waiting[key(record)].append(record)
    waiting.pop(None, None)
    pairs, rest = [], []
    for record in first:
        if found := waiting.get(key(record)):
            pairs.append((record, found.pop(0)))
        else:
            rest.append(record)
    taken = {id(partner) for _, partner in pairs}
    return pairs, rest, [record for record in second if id(record) not in taken]


def _content(record: Record) -> Hashable:
    if record.get('file_hash') is None:
        return None
    return record['file_hash'], record.get('set_name'), record.get('window')


def _content_and_row(record: Record) -> Hashable:
    content = _content(record)
    return None if content is None else (content, record.get('sample_index'))


def _name(record: Record) -> Hashable:
    # Without the suffix: the same videos may have been written anew in another container.
    return Path(record['path']).stem, record.get('set_name'), record.get('window')


def _row_and_name(record: Record) -> Hashable:
    return _name(record), record.get('sample_index')


# --- what differs ------------------------------------------------------------------------------


def compare(first: Sequence[Record], second: Sequence[Record]) -> list[Difference]:
    """A verdict for each sample, in the order of rows."""
    found = [_judge(a, b) for a, b in paired(first, second)]
    return sorted(found, key=lambda each: (each.row is None, each.row or 0, each.path))


def _judge(a: Record | None, b: Record | None) -> Difference:
    known = a or b
    row = known.get('sample_index')
    if a is None or b is None:
        return Difference('only in A' if b is None else 'only in B', known['path'], row)
    for verdict, check in CHECKS.items():
        detail = check(a, b)
        if detail:
            return Difference(verdict, known['path'], row, detail)
    return Difference('same', known['path'], row)


def _other_file(a: Record, b: Record) -> str:
    # Of a file that was not there nothing is known, which `_unreadable` tells.
    known = a.get('file_hash'), b.get('file_hash')
    if None in known or known[0] == known[1]:
        return ''
    return f'its content differs from {b["path"]}'


def _unreadable(a: Record, b: Record) -> str:
    reasons = a.get('unreadable'), b.get('unreadable')
    if (reasons[0] is None) == (reasons[1] is None):
        return ''
    return _of_both(*('readable' if reason is None else reason for reason in reasons))


def _lost(a: Record, b: Record) -> str:
    reasons = a.get('unreadable'), b.get('unreadable')
    return '' if None in reasons else _of_both(*reasons)


def _other_frames(a: Record, b: Record) -> str:
    frames = a.get('frame_inds') or [], b.get('frame_inds') or []
    if frames[0] == frames[1]:
        return ''
    rule = _settings('sampling', a, b)
    if [*map(len, frames[0])] != [*map(len, frames[1])]:
        return _of_both(*(f'{_size(each)} frames' for each in frames)) + rule
    places = _differing(*frames)
    shown = [_frame(record, *places[0]) for record in (a, b)]
    return f'{len(places)} of {_size(frames[0])} frames, first {_of_both(*shown)}{rule}'


def _frame(record: Record, view: int, place: int) -> str:
    times = record.get('frame_times')
    second = '' if times is None else f' ({times[view][place]:.3f} s)'
    return f'{record["frame_inds"][view][place]}{second}'


def _other_times(a: Record, b: Record) -> str:
    times = a.get('frame_times'), b.get('frame_times')
    if None in times:  # a reader that knows none says nothing against the other
        return ''
    gaps = [abs(x - y) for pair in zip(*times, strict=True) for x, y in zip(*pair, strict=True)]
    largest = max(gaps, default=0)
    return f'same frames, times differ by up to {largest:g} s' if largest > TIME_TOLERANCE else ''


def _other_pixels(a: Record, b: Record) -> str:
    if a.get('clip_hash') == b.get('clip_hash'):
        return ''
    facts = [
        _settings(key, a, b)
        for key in ('backend', 'frame_size', 'orientation', 'repeated', 'lost_frames')
    ]
    return 'same frames decoded otherwise' + ''.join(facts)


def _other_geometry(a: Record, b: Record) -> str:
    if a.get('input_hash') == b.get('input_hash'):
        return ''
    steps = a.get('pipeline') or [], b.get('pipeline') or []
    changed = next((pair for pair in zip(*steps, strict=False) if pair[0] != pair[1]), None)
    if changed is None and len(steps[0]) != len(steps[1]):
        changed = tuple(f'{len(each)} steps' for each in steps)
    step = f'; {_of_both(*changed)}' if changed else ''
    return f'same pixels, other input{_settings("input_shape", a, b)}{step}'


def _other_audio(a: Record, b: Record) -> str:
    if a.get('audio_hash') == b.get('audio_hash'):
        return ''
    names = ('audio_seconds', 'audio_shape', 'audio_file_hash')
    return 'other audio input' + ''.join(_settings(key, a, b) for key in names)


def _other_reader(a: Record, b: Record) -> str:
    backends = a.get('backend'), b.get('backend')
    return '' if backends[0] == backends[1] else _of_both(*backends)


CHECKS: dict[str, Callable[[Record, Record], str]] = {
    'other file': _other_file,
    'unreadable': _unreadable,
    'unreadable in both': _lost,
    'other frames': _other_frames,
    'other times': _other_times,
    'other pixels': _other_pixels,
    'other geometry': _other_geometry,
    'other audio': _other_audio,
    'other reader, same pixels': _other_reader,
}
"""Verdict -> what says in words whether it holds; the first that does is taken."""


def _settings(key: str, a: Record, b: Record) -> str:
    """A field that differs, in words."""
    values = a.get(key), b.get(key)
    return '' if values[0] == values[1] else f'; {key}: {_of_both(*values)}'


def _of_both(first: Any, second: Any) -> str:
    return f'A {first}, B {second}'


def _size(frames: Sequence[Sequence[int]]) -> str:
    return f'{len(frames)} x {len(frames[0]) if frames else 0}'


def _differing(first: list[list[int]], second: list[list[int]]) -> list[tuple[int, int]]:
    """(view, place) of the frames that differ."""
    rows = enumerate(zip(first, second, strict=True))
    return [
        (v, p) for v, pair in rows for p, (x, y) in enumerate(zip(*pair, strict=True)) if x != y
    ]


# --- report ------------------------------------------------------------------------------------


def lines(args: argparse.Namespace, manifests: Sequence[Any], found: list[Difference]) -> list[str]:
    """The report as text."""
    described = [
        f'{name}  {path}: {_described(manifest)}'
        for name, path, manifest in zip('AB', (args.a, args.b), manifests, strict=True)
    ]
    parted = [each for each in found if each.verdict not in HARMLESS]
    shown = [f'{each.place}: {each.verdict}; {each.detail}'.rstrip('; ') for each in parted]
    if len(shown) > ROWS_SHOWN:
        rest = f'... and {len(shown) - ROWS_SHOWN} more; --json FILE lists all'
        shown = [*shown[:ROWS_SHOWN], rest]
    counts = Counter(each.verdict for each in found)
    table = [f'{name:27}{counts[name]:8}' for name in ORDER if counts[name]]
    verdict = f'{len(parted)} of {len(found)} samples differ' if parted else 'no sample differs'
    return [
        *described,
        *_other_facts(manifests),
        '',
        *shown,
        *([''] if shown else []),
        *table,
        '',
        verdict,
    ]


def _described(manifest: Any) -> str:
    damaged = sum('repeated' in each or 'lost_frames' in each for each in manifest.records)
    lost = sum('unreadable' in record for record in manifest.records)
    return f'{len(manifest.records)} samples, {damaged} with damaged frames, {lost} unreadable'


def _other_facts(manifests: Sequence[Any]) -> list[str]:
    """Facts of the headers that differ, a line each."""
    first, second = (dict(_leaves(each.header)) for each in manifests)
    told = (_settings(name, first, second) for name in dict.fromkeys([*first, *second]))
    return [text.removeprefix('; ') for text in told if text]


def _leaves(node: Record, prefix: str = '') -> Iterator[tuple[str, Any]]:
    """Dotted names and values below a dict."""
    for name, value in node.items():
        if isinstance(value, dict):
            yield from _leaves(value, f'{prefix}{name}.')
        else:
            yield f'{prefix}{name}', value


def as_json(found: Iterable[Difference]) -> dict[str, Any]:
    """Counts of all verdicts, and the samples that are not the same."""
    found = list(found)
    counts = Counter(each.verdict for each in found)
    return dict(
        counts={name: counts[name] for name in ORDER},
        samples=[asdict(each) for each in found if each.verdict != 'same'],
    )


def main(args: argparse.Namespace) -> None:
    """Compare, and exit with 1 when the runs differ."""
    from internvideo.fileio.json_files import write_json
    from internvideo.fileio.manifests import read_manifest

    try:
        manifests = [read_manifest(path) for path in (args.a, args.b)]
    except (OSError, ValueError, ImportError) as error:
        raise UsageError(str(error)) from error
    found = compare(*(manifest.records for manifest in manifests))
    print('\n'.join(lines(args, manifests, found)))
    if args.json is not None:
        write_json(args.json, as_json(found))
    if any(each.verdict not in HARMLESS for each in found):
        sys.exit(1)


def command(arguments: Sequence[str]) -> int:
    """Run with these arguments and return the exit status."""
    return guarded(main, build_parser(), arguments)
