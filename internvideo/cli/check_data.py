"""Check a copy of a data set: missing, broken, short and mislabelled media, on all cores.

Examples: internvideo check-data k400
          internvideo check-data my/train.csv --root my/videos --num-classes 12
          internvideo check-data msrvtt_1k_test            # a corpus or an evaluation set
          internvideo check-data my/captions.json --root my/videos --max-text-length 40
"""

import argparse
import dataclasses
import json
import multiprocessing
import os
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

from internvideo.datasets.bad_samples import MediaError
from internvideo.datasets.formats.annotations import AnnotationList
from internvideo.datasets.formats.text_annotations import SUFFIXES, TextAnnotations, path_of
from internvideo.datasets.formats.text_checks import duplicates, text_faults
from internvideo.datasets.media.readers import FrameFolderReader, Reader, open_video
from internvideo.datasets.media_sources import MediaSource, MediaSources
from internvideo.engine.command_line import UsageError, guarded
from internvideo.fileio.atomic import atomic_write

CHUNK_ROWS = 32
DECODE_FRAMES = 32
PRINT_SECONDS = 10
CORES = len(os.sched_getaffinity(0))
SPLITS = ('train', 'val', 'test')
MEDIA_TYPES = ('image', 'video', 'audio', 'audio_video')
KINDS = ('malformed', 'mislabelled', 'missing', 'broken', 'short')
TEXT_KINDS = ('malformed', 'duplicate', 'caption', 'missing', 'broken', 'short', 'silent')
TABLES = ('corpora', 'evaluation_table', 'evaluation_sets')
"""Config files below ``_base_/datasets`` with a table of media and texts."""


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add('source', help='data set (k400, msrvtt_1k_test, ...), config file, or annotation list')
    add('--split', nargs='+', choices=SPLITS, default=SPLITS, help='lists of a config to check')
    add('--root', help='folder that paths start from (default: the config says)')
    add('--columns', nargs='+', help='columns of a list (default: path label)')
    add('--max-text-length', type=int, help='tokens of a text (default: the table says, or 32)')
    add('--media-type', choices=MEDIA_TYPES, help='of a JSON or SQLite list (default: video)')
    add('--num-classes', type=int, help='number of classes (default: the config says)')
    add('--min-frames', type=int, help='fewer are short (default: what the config samples, or 1)')
    add('--backend', help='auto, pyav, decord, torchcodec, or frames for folders of images')
    add('--full', action='store_true', help='decode every frame, not just the first and last')
    add(
        '--workers', type=int, default=len(os.sched_getaffinity(0)), help='processes (default: all)'
    )
    add('--report', type=Path, help='JSON lines, one per problem (default: check_NAME.jsonl)')
    add('--restart', action='store_true', help='forget an unfinished check of the same report')
    add('--debug', action='store_true', help='show the traceback of every error')
    return parser


@dataclass(frozen=True)
class MediaList:
    """Annotation list and the reading of its media, with fields as in ``VideoDataset``."""

    ann_file: str
    data_prefix: str = ''
    columns: tuple[str, ...] = ('path', 'label')
    delimiter: str | None = None
    num_classes: int | None = None
    backend: str = 'auto'
    filename_tmpl: str = 'img_{:05}.jpg'
    path_suffix: str = ''
    sources: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] | None = None
    min_frames: int = 1
    full: bool = False


@dataclass(frozen=True)
class TextList:
    """Annotations of media with texts, with fields as in the tables of corpora and sets.

    Attributes:
        is_set: an evaluation set, in which every medium stands once.
    """

    ann_file: str | tuple[str, ...]
    data_prefix: str = ''
    media_type: str = 'video'
    max_text_length: int = 32
    paragraph: bool = False
    pad_missing_audio: bool = False
    is_set: bool = False
    backend: str = 'auto'
    min_frames: int = 1
    full: bool = False


AnyList = MediaList | TextList


class Problem(NamedTuple):
    """Finding at ``where`` (``list:line``), with a ``kind`` of ``KINDS`` or ``TEXT_KINDS``."""

    where: str
    path: str
    kind: str
    detail: str


class Chunk(NamedTuple):
    """Rows ``first`` to ``last`` (exclusive) of the list of that number."""

    number: int
    first: int
    last: int


def find_lists(args: argparse.Namespace) -> list[AnyList]:
    """The lists to check, from a config or from the command line.

    Raises ValueError or FileNotFoundError when ``source`` is neither, or a list is not there.
    """
    entry = _find_entry(args.source)
    config = None if entry else _find_config(args.source)
    if entry is not None:
        lists = [entry]
    elif config is None:
        lists = [MediaList(args.source)]
    else:
        lists = list(dict.fromkeys(_config_lists(config, args.split)))
    given = dict(
        data_prefix=args.root,
        columns=tuple(args.columns) if args.columns else None,
        num_classes=args.num_classes,
        backend=args.backend,
        min_frames=args.min_frames,
        full=args.full or None,
        max_text_length=args.max_text_length,
        media_type=args.media_type,
    )
    return [_changed(media, given) for media in lists]


def _changed(media: AnyList, given: dict) -> AnyList:
    known = {field.name for field in dataclasses.fields(media)}
    changes = {name: value for name, value in given.items() if value is not None and name in known}
    return dataclasses.replace(media, **changes)


def _find_entry(source: str) -> TextList | None:
    """A list of texts: a file by its suffix, or an entry of the tables by its name."""
    if Path(source).suffix in SUFFIXES:
        return TextList(source)
    from mmengine.config import Config

    from internvideo.hub.model_zoo import configs_root

    for name in TABLES:
        file = configs_root() / '_base_' / 'datasets' / f'{name}.py'
        loaders = Config.fromfile(file).values() if file.is_file() else ()
        for loader in loaders:
            dataset = loader.get('dataset') if isinstance(loader, dict) else None
            entry = (dataset or {}).get('table', {}).get(source)
            if entry is not None:
                known = {field.name for field in dataclasses.fields(TextList)}
                fields = {key: value for key, value in entry.items() if key in known}
                if not isinstance(entry['ann_file'], str):
                    fields['ann_file'] = tuple(entry['ann_file'])
                return TextList(**fields, is_set=entry.get('type') == 'RetrievalSet')
    return None


def _find_config(source: str) -> Path | None:
    if Path(source).suffix == '.py':
        return Path(source)
    if Path(source).is_file():
        return None
    from internvideo.hub.model_zoo import configs_root

    folder = configs_root() / '_base_' / 'datasets'
    if (folder / f'{source}.py').is_file():
        return folder / f'{source}.py'
    known = sorted(path.stem for path in folder.glob('*.py'))
    raise FileNotFoundError(
        f'{source} is no annotation list, config or data set; data sets: {", ".join(known)}'
    )


def _config_lists(config: Path, splits: Iterable[str]) -> Iterator[MediaList]:
    from mmengine.config import Config

    loaders = Config.fromfile(config)
    known = {field.name for field in dataclasses.fields(MediaList)}
    for split in splits:
        dataset = (loaders.get(f'{split}_dataloader') or {}).get('dataset', {})
        if 'ann_file' in dataset:
            fields = {name: dataset[name] for name in known & set(dataset)}
            # Tuples, to be hashable: a process keeps the reader of a list by its MediaList.
            if 'columns' in fields:
                fields['columns'] = tuple(fields['columns'])
            if fields.get('sources') is not None:
                table = fields['sources'].items()
                fields['sources'] = tuple((tag, tuple(entry.items())) for tag, entry in table)
            yield MediaList(**fields, min_frames=_sampled_frames(dataset))


def _sampled_frames(dataset: dict) -> int:
    sampling = dataset.get('sampling') or {}
    return sampling.get('num_frames', 1) * sampling.get('stride', 1)


@cache
def _annotations(media: AnyList) -> AnnotationList | TextAnnotations:
    if isinstance(media, TextList):
        return TextAnnotations(media.ann_file)
    return AnnotationList(media.ann_file, media.columns, media.delimiter)


@cache
def _sources(media: MediaList) -> MediaSources:
    default = MediaSource(media.data_prefix, media.backend, media.filename_tmpl, media.path_suffix)
    if media.sources is None:
        return MediaSources(default)
    return MediaSources(default, {tag: dict(entry) for tag, entry in media.sources})


def check_rows(media: AnyList, first: int, last: int) -> list[Problem]:
    """Check the media, and the texts, of some rows."""
    check = _check_text_row if isinstance(media, TextList) else _check_row
    return [problem for row in range(first, last) for problem in check(media, row)]


def _check_text_row(media: TextList, row: int) -> Iterator[Problem]:
    annotations = _annotations(media)
    where = annotations.where(row)
    try:
        info = annotations[row]
    except ValueError as error:
        yield Problem(where, '', 'malformed', str(error).removeprefix(f'{where}: '))
        return
    path = path_of(info, media.data_prefix, media.media_type)
    for detail in text_faults(info, media.max_text_length, media.paragraph):
        yield Problem(where, path, 'caption', detail)
    fault = _check_file(media, path)
    if fault is not None:
        yield Problem(where, path, *fault)


def _check_file(media: TextList, path: str) -> tuple[str, str] | None:
    """Kind and detail of the fault of one image, audio file or video, its audio included."""
    if not Path(path).exists():
        return 'missing', 'no such file or folder'
    try:
        if media.media_type == 'image':
            _decode_image(path)
            return None
        if media.media_type in ('audio', 'audio_video'):
            has_audio = _has_audio_track(path)
            if not has_audio and media.media_type == 'audio':
                return 'silent', 'no audio track'
    except (OSError, ValueError, EOFError) as error:
        return 'broken', str(error)
    if media.media_type == 'audio':
        return None
    fault = _check_media(media, MediaSource(backend=media.backend), path, None)
    if fault is None and media.media_type == 'audio_video' and not has_audio:
        padded = ', zeros take its place' if media.pad_missing_audio else ''
        return 'silent', f'no audio track{padded}'
    return fault


def _decode_image(path: str) -> None:
    from PIL import Image

    with Image.open(path) as image:
        image.load()


def _has_audio_track(path: str) -> bool:
    """Whether there is an audio track that begins with something decodable."""
    import av

    with av.open(path) as container:
        if not container.streams.audio:
            return False
        return next(container.decode(audio=0), None) is not None


def _path_of(media: AnyList, row: int) -> str:
    info = _annotations(media)[row]
    if isinstance(media, TextList):
        return path_of(info, media.data_prefix, media.media_type)
    return _sources(media).of(info).resolve(info['path'])


def _check_row(media: MediaList, row: int) -> Iterator[Problem]:
    annotations = _annotations(media)
    try:
        info = annotations[row]
    except ValueError as error:
        text = str(error).removeprefix(f'{annotations.where(row)}: ')
        yield Problem(annotations.where(row), '', 'malformed', text)
        return
    try:
        source = _sources(media).of(info)
    except ValueError as error:
        yield Problem(annotations.where(row), info['path'], 'malformed', str(error))
        return
    path = source.resolve(info['path'])
    label = info.get('label')
    if None not in (label, media.num_classes) and not 0 <= label < media.num_classes:
        detail = f'label {label} is not in 0..{media.num_classes - 1}'
        yield Problem(annotations.where(row), path, 'mislabelled', detail)
    fault = _check_media(media, source, path, info.get('total_frames'))
    if fault is not None:
        yield Problem(annotations.where(row), path, *fault)


def _check_media(
    media: AnyList, source: MediaSource, path: str, announced: int | None
) -> tuple[str, str] | None:
    """Kind and detail of what is wrong with one video or folder of frames."""
    if not Path(path).exists():
        return 'missing', 'no such file or folder'
    try:
        reader = _open(source, path)
        count = len(reader)
        if count > 0:
            _decode(reader, count, media.full)
    except MediaError as error:
        return 'broken', error.reason
    # A list may announce how many frames there are: fewer mean that some are lost.
    wanted = max(media.min_frames, announced or 0)
    return ('short', f'{count} of {wanted} frames') if count < wanted else None


def _open(source: MediaSource, path: str) -> Reader:
    if source.backend == 'frames':
        return FrameFolderReader(path, source.filename_tmpl)
    return open_video(path, source.backend)


def _decode(reader: Reader, count: int, full: bool) -> None:
    if not full:
        reader.get_batch(sorted({0, count - 1}))
        return
    for first in range(0, count, DECODE_FRAMES):
        reader.get_batch(range(first, min(first + DECODE_FRAMES, count)))


def find_conflicts(media: AnyList) -> Iterator[Problem]:
    """Rows that give a file another label than an earlier row does, or repeat its id."""
    if isinstance(media, TextList):
        for row, detail in duplicates(_annotations(media), media.is_set):
            yield Problem(_annotations(media).where(row), _path_of(media, row), 'duplicate', detail)
        return
    # Segments of one video may well have different labels.
    if 'label' not in media.columns or 'start' in media.columns:
        return
    annotations, seen = _annotations(media), {}
    for row in range(len(annotations)):
        try:
            info = annotations[row]
            path = _sources(media).of(info).resolve(info['path'])
        except ValueError:
            continue
        other = seen.setdefault(path, (info['label'], row))
        if other[0] != info['label']:
            detail = f'label {info["label"]}, but {other[0]} in {annotations.where(other[1])}'
            yield Problem(annotations.where(row), path, 'mislabelled', detail)


class Report:
    """Problems as JSON lines, and beside them, until the check is complete, what is done.

    Args:
        path: the report.
        lists: what is checked; a check is only continued when nothing of it has changed.
        restart: forget an unfinished check.

    Raises:
        ValueError: an unfinished check of something else is in the way.
    """

    def __init__(self, path: Path, lists: list[AnyList], restart: bool) -> None:
        self.path, self.progress = path, path.with_name(f'{path.name}.progress')
        self.done: set[Chunk] = set()
        self.problems: dict[Problem, None] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        identity = json.dumps([_identity(media) for media in lists])
        if self.progress.is_file() and not restart:
            self._resume(identity)
        else:
            path.write_text('')
            self.progress.write_text(identity + '\n')

    def _resume(self, identity: str) -> None:
        found, *chunks = self.progress.read_text().split('\n')
        if found != identity:
            raise ValueError(
                f'{self.progress} belongs to an unfinished check of other lists or settings; '
                'give another --report, or --restart'
            )
        # The last lines may be cut off where the earlier check was stopped.
        self.done = {Chunk(*json.loads(line)) for line in chunks if line.endswith(']')}
        records = [line for line in self.path.read_text().split('\n') if line.endswith('}')]
        self.problems = dict.fromkeys(Problem(**json.loads(line)) for line in records)
        atomic_write(self.path, ''.join(f'{line}\n' for line in records))
        atomic_write(self.progress, '\n'.join([found, *map(json.dumps, self.done), '']))

    def add(self, problems: Iterable[Problem], chunk: Chunk | None = None) -> None:
        """Record what was found, and that a chunk is done."""
        # Problems first, then the chunk: killed in between, the chunk is checked again and what it
        # finds is known already.
        with self.path.open('a') as file:
            for problem in problems:
                if problem not in self.problems:
                    self.problems[problem] = None
                    file.write(json.dumps(problem._asdict(), ensure_ascii=False) + '\n')
        if chunk is not None:
            with self.progress.open('a') as file:
                file.write(json.dumps(chunk) + '\n')

    def complete(self) -> None:
        """Sort the report, so that the next check starts anew."""
        ordered = sorted(self.problems, key=lambda p: (p.where.rpartition(':')[0], _line(p)))
        records = [json.dumps(problem._asdict(), ensure_ascii=False) for problem in ordered]
        atomic_write(self.path, ''.join(f'{record}\n' for record in records))
        # Last: as long as this file is there, the check counts as unfinished.
        self.progress.unlink()


def _line(problem: Problem) -> int:
    return int(problem.where.rpartition(':')[2])


def _identity(media: AnyList) -> list:
    files = [media.ann_file] if isinstance(media.ann_file, str) else media.ann_file
    # A list that was edited has other rows under the numbers of the chunks that are done.
    states = [Path(file).stat() for file in files]
    return [dataclasses.asdict(media), *((state.st_size, state.st_mtime_ns) for state in states)]


def run_chunks(
    lists: list[AnyList], chunks: list[Chunk], workers: int
) -> Iterator[tuple[Chunk, list[Problem]]]:
    """Check chunks in several processes, surviving files that kill a decoder."""
    waiting = iter(chunks)
    running: dict[Future, Chunk] = {}
    pool = _new_pool(workers)
    try:
        while True:
            # Few at a time, so that a crash takes few along.
            while len(running) < 2 * workers and (chunk := next(waiting, None)) is not None:
                media = lists[chunk.number]
                running[pool.submit(check_rows, media, chunk.first, chunk.last)] = chunk
            if not running:
                return
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            if any(isinstance(future.exception(), BrokenProcessPool) for future in done):
                pool.shutdown(wait=True)
                # A broken pool does not tell which row it was, so all that were under way are
                # checked apart.
                for chunk in running.values():
                    yield chunk, _check_apart(lists[chunk.number], chunk)
                running, pool = {}, _new_pool(workers)
                continue
            for future in done:
                yield running.pop(future), future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _new_pool(workers: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(workers, multiprocessing.get_context('spawn'))


def _check_apart(media: AnyList, chunk: Chunk) -> list[Problem]:
    """Check row by row, each that kills its process in another."""
    problems: list[Problem] = []
    pool = _new_pool(1)
    for row in range(chunk.first, chunk.last):
        try:
            # One row at a time in one process: a crash then belongs to this row.
            problems += pool.submit(check_rows, media, row, row + 1).result()
        except BrokenProcessPool:
            pool.shutdown()
            pool = _new_pool(1)
            where = _annotations(media).where(row)
            problem = Problem(where, _path_of(media, row), 'broken', 'crashes the decoder')
            problems.append(problem)
    pool.shutdown()
    return problems


def make_chunks(lists: list[AnyList]) -> list[Chunk]:
    """Split the rows of all lists into pieces."""
    return [
        Chunk(number, first, min(first + CHUNK_ROWS, len(_annotations(media))))
        for number, media in enumerate(lists)
        for first in range(0, len(_annotations(media)), CHUNK_ROWS)
    ]


def main(args: argparse.Namespace) -> None:
    """Check the lists and exit with 1 when there are problems."""
    if args.workers < 1:
        raise UsageError(f'--workers must be positive, got {args.workers}')
    lists = find_lists(args)
    if not lists:
        raise ValueError(f'{args.source} names no annotation list for {", ".join(args.split)}')
    path = args.report or Path(f'check_{Path(args.source).stem}.jsonl')
    chunks = make_chunks(lists)
    report = Report(path, lists, args.restart)
    for media in lists:
        # In every run, since nothing is decoded; what the report has already is not added again.
        report.add(find_conflicts(media))
    left = [chunk for chunk in chunks if chunk not in report.done]
    total, done = sum(c.last - c.first for c in chunks), sum(c.last - c.first for c in report.done)
    if done:
        print(f'{done} of {total} rows were checked before', flush=True)
    start = printed = time.perf_counter()
    fresh = 0
    for chunk, problems in run_chunks(lists, left, args.workers):
        report.add(problems, chunk)
        # The rate counts rows of this run alone: those checked before take no time now.
        fresh += chunk.last - chunk.first
        if time.perf_counter() - printed > PRINT_SECONDS:
            printed = time.perf_counter()
            _print_progress(done + fresh, total, fresh / (printed - start), len(report.problems))
    report.complete()
    has_texts = any(isinstance(media, TextList) for media in lists)
    _print_summary(report, total, TEXT_KINDS if has_texts else KINDS)
    if report.problems:
        sys.exit(1)


def _print_progress(done: int, total: int, rate: float, problems: int) -> None:
    minutes = (total - done) / rate / 60
    print(
        f'{done}/{total} rows, {problems} problems, {rate:.1f} rows/s, {minutes:.0f} min left',
        flush=True,
    )


def _print_summary(report: Report, total: int, kinds: Iterable[str]) -> None:
    counts = Counter(problem.kind for problem in report.problems)
    found = ', '.join(f'{counts[kind]} {kind}' for kind in kinds)
    print(f'{total} rows: {found}' + (f'; see {report.path}' if counts else ''))


def command(arguments: Sequence[str]) -> int:
    """Run with these arguments and return the exit status."""
    return guarded(main, build_parser(), arguments)
