"""Lists of videos to work on, the names of their outputs, and shares of jobs."""

import logging
import os
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from mmengine.logging import print_log

from internvideo.datasets.formats.annotations import (
    DELIMITERS,
    IGNORED_COLUMN,
    AnnotationList,
    find_delimiter,
    parse_row,
)
from internvideo.datasets.media.suffixes import AUDIO_SUFFIXES, VIDEO_SUFFIXES, count_suffixes
from internvideo.fileio.atomic import is_temporary

LIST_SUFFIXES = ('.txt', '.csv', '.tsv', '.lst')
TRAINING_COLUMNS = ('path', 'label')


class NamedVideo(NamedTuple):
    """A video and the relative path, without suffix, of what is made from it."""

    path: Path
    name: str


def collect_videos(
    sources: Sequence[str | os.PathLike],
    root: str | os.PathLike | None = None,
    columns: Sequence[str] | None = None,
) -> list[NamedVideo]:
    """:func:`list_videos` whose names all differ, as files made from them need.

    Videos that differ in their suffixes alone keep them in their names.

    Raises:
        FileNotFoundError: a source does not exist, or a folder holds no video.
        ValueError: two videos would have the same name, or a list is empty.
    """
    videos = list_videos(sources, root, columns=columns)
    counts = Counter(video.name for video in videos)
    videos = [
        video if counts[video.name] == 1 else video._replace(name=video.name + video.path.suffix)
        for video in videos
    ]
    _check_names(videos)
    return videos


def list_videos(
    sources: Sequence[str | os.PathLike],
    root: str | os.PathLike | None = None,
    suffixes: Collection[str] = VIDEO_SUFFIXES,
    columns: Sequence[str] | None = None,
) -> list[NamedVideo]:
    """Videos of files, folders and lists, in order, each once.

    A list (``.txt``, ``.csv``, ``.tsv``, ``.lst``) is read as in training, by
    :class:`AnnotationList`; without ``columns`` its first row tells them, see
    :func:`listed_columns`.  A line ``# ...`` that names no file is a comment.  A video is named by
    its path below its folder, below ``root``, or as its list has it; a file given by itself by its
    stem.

    Args:
        sources: files, folders, lists.
        root: folder that relative paths of lists start from, and that names are relative to.
        suffixes: of files that are taken from folders.
        columns: of lists, names as of :class:`AnnotationList`.

    Raises:
        FileNotFoundError: a source does not exist, or a folder holds no video.
        ValueError: a list is empty, or a row does not hold its columns, naming file and line.
    """
    found: dict[Path, str] = {}
    base = None if root is None else Path(root)
    for source in map(Path, sources):
        for path, name in _expand(source, base, suffixes, columns):
            # A video that several sources name keeps its first name.
            found.setdefault(path, name)
    return [NamedVideo(path, name) for path, name in found.items()]


def find_videos(
    folder: str | os.PathLike, suffixes: Collection[str] = VIDEO_SUFFIXES
) -> list[Path]:
    """Video files below ``folder``, sorted.

    How many files have other suffixes, and which, is logged.

    Args:
        folder: searched with all folders in it.
        suffixes: of the files, in lower case.

    Raises:
        FileNotFoundError: there is none.
    """
    # What another process is still writing is no video yet.
    files = sorted(f for f in Path(folder).rglob('*') if f.is_file() and not is_temporary(f))
    found = [path for path in files if path.suffix.lower() in suffixes]
    others = count_suffixes(path.name for path in files if path.suffix.lower() not in suffixes)
    if not found:
        kind = 'video or audio' if suffixes & AUDIO_SUFFIXES else 'video'
        there = f', only {others}' if others else ''
        raise FileNotFoundError(f'no {kind} file below {folder}{there}')
    if others:
        text = f'{folder}: {len(files) - len(found)} files passed over for their suffixes: {others}'
        print_log(text, logger='current', level=logging.WARNING)
    return found


def _expand(
    source: Path, root: Path | None, suffixes: Collection[str], columns: Sequence[str] | None
) -> list[tuple[Path, str]]:
    if source.is_dir():
        return [(path, _name(path, root or source)) for path in find_videos(source, suffixes)]
    if not source.is_file():
        raise FileNotFoundError(f'no such video, folder or list: {source}')
    if source.suffix.lower() in LIST_SUFFIXES:
        return _read_list(source, root, columns)
    return [(source, _name(source, root))]


def _name(path: Path, root: Path | None) -> str:
    if root is None:
        return path.stem
    absolute, base = path.absolute(), root.absolute()
    inside = absolute.is_relative_to(base)
    return (absolute.relative_to(base) if inside else Path(path.name)).with_suffix('').as_posix()


def _read_list(
    source: Path, root: Path | None, columns: Sequence[str] | None
) -> list[tuple[Path, str]]:
    base = root or Path()
    lines = AnnotationList(source, ('path',))
    # The first row and not the first line, which may be a comment, tells the delimiter.
    first = next((row for row in range(len(lines)) if not _has_mark(lines.line(row))), 0)
    delimiter = None
    if columns is None:
        columns, delimiter = listed_columns(lines.line(first), base)
    try:
        delimiter = delimiter or find_delimiter(lines.line(first), columns)
    except ValueError as error:
        raise lines.located(first, error) from None
    rows = AnnotationList(source, columns, delimiter)
    kept = [row for row in range(len(rows)) if not _is_comment(rows, row, base)]
    if not kept:
        raise ValueError(f'list of videos holds only comments: {source}')
    entries = [rows[row]['path'] for row in kept]
    return [(base / entry, _listed_name(base / entry, entry, root)) for entry in entries]


def _has_mark(line: str) -> bool:
    return line.startswith('# ')


def _is_comment(rows: AnnotationList, row: int, base: Path) -> bool:
    """Whether a row begins with ``# `` and names no file: files may be called so, too."""
    if not _has_mark(rows.line(row)):
        return False
    try:
        return not _is_file(base / rows[row]['path'])
    except ValueError:
        return True


def _is_file(path: Path) -> bool:
    # Path.is_file raises for a line that is too long for a name.
    return os.path.isfile(path)  # noqa: PTH113


def listed_columns(line: str, base: Path) -> tuple[tuple[str, ...], str]:
    """Columns and delimiter of a list whose first row is ``line`` and whose first column a path.

    The first of these whose path is a file below ``base``: the whole line, ``path`` and ``label``
    as training has them by default, ``path`` and any columns behind it.  Where none is, as when
    that file is missing: the first of them that fits the text.
    """
    known = [(('path',), DELIMITERS[0])]
    with suppress(ValueError):
        known.append((TRAINING_COLUMNS, find_delimiter(line, TRAINING_COLUMNS)))
    known += [
        (('path', *[IGNORED_COLUMN] * count), delimiter)
        for delimiter in DELIMITERS
        for count in range(1, line.count(delimiter) + 1)
    ]
    for columns, delimiter in known:
        with suppress(ValueError):
            if _is_file(base / parse_row(line, columns, delimiter)['path']):
                return columns, delimiter
    whole = Path(line.strip().strip('"')).suffix.lower() in VIDEO_SUFFIXES | AUDIO_SUFFIXES
    return known[0] if whole or len(known) == 1 else known[1]


def _listed_name(path: Path, entry: str, root: Path | None) -> str:
    relative = not Path(entry).is_absolute() and '..' not in Path(entry).parts
    return Path(entry).with_suffix('').as_posix() if relative else _name(path, root)


def _check_names(videos: Sequence[NamedVideo]) -> None:
    counts = Counter(video.name for video in videos)
    name, count = counts.most_common(1)[0] if counts else ('', 0)
    if count > 1:
        clashing = [str(video.path) for video in videos if video.name == name]
        raise ValueError(
            f'outputs of {clashing[0]} and {clashing[1]} would both be called {name!r}; '
            'give their common folder as root, or rename one'
        )


def shard_of(text: str | None, environment: Mapping[str, str] = os.environ) -> tuple[int, int]:
    """(i, n): this job works on every n-th video from the i-th on, counted from 0.

    Args:
        text: ``'i/n'``, or None: then a SLURM array job's place in its array, else (0, 1).
        environment: where SLURM's variables are.

    Raises:
        ValueError: not of the form i/n with 0 <= i < n.
    """
    if text is None and 'SLURM_ARRAY_TASK_ID' in environment:
        # Arrays may begin anywhere and leave numbers out, as `--array=10-40:5` does.
        first = int(environment.get('SLURM_ARRAY_TASK_MIN', 0))
        step = int(environment.get('SLURM_ARRAY_TASK_STEP', 1))
        task = int(environment['SLURM_ARRAY_TASK_ID'])
        text = f'{(task - first) // step}/{environment.get("SLURM_ARRAY_TASK_COUNT", 1)}'
    match = re.fullmatch(r'(\d+)/(\d+)', text or '0/1')
    if match is None or int(match[1]) >= int(match[2]):
        raise ValueError(f'shard must be i/n with 0 <= i < n, got {text!r}')
    return int(match[1]), int(match[2])


def failures_file(shard: tuple[int, int]) -> str:
    """Name of a share's list of videos that could not be read."""
    index, count = shard
    return 'failed.jsonl' if count == 1 else f'failed-{index}of{count}.jsonl'
