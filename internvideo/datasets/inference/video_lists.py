"""Lists of videos to work on, the names of their outputs, and shares of jobs."""

import os
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from .clip_loader import VIDEO_SUFFIXES, find_videos

LIST_SUFFIXES = ('.txt', '.csv', '.tsv', '.lst')


class NamedVideo(NamedTuple):
    """A video and the relative path, without suffix, of what is made from it."""

    path: Path
    name: str


def collect_videos(
    sources: Sequence[str | os.PathLike], root: str | os.PathLike | None = None
) -> list[NamedVideo]:
    """:func:`list_videos` whose names all differ, as files made from them need.

    Raises:
        FileNotFoundError: a source does not exist, or a folder holds no video.
        ValueError: two videos would have the same name, or a list is empty.
    """
    videos = list_videos(sources, root)
    _check_names(videos)
    return videos


def list_videos(
    sources: Sequence[str | os.PathLike],
    root: str | os.PathLike | None = None,
    suffixes: Collection[str] = VIDEO_SUFFIXES,
) -> list[NamedVideo]:
    """Videos of files, folders and lists, in order, each once.

    A list (``.txt``, ``.csv``, ``.tsv``, ``.lst``) holds a path first on each line, columns behind
    it separated by a comma, a tab or a blank.  A video is named by its path below its folder, below
    ``root``, or as its list has it; a file given by itself by its stem.

    Args:
        sources: files, folders, lists.
        root: folder that relative paths of lists start from, and that names are relative to.
        suffixes: of files that are taken from folders.

    Raises:
        FileNotFoundError: a source does not exist, or a folder holds no video.
        ValueError: a list is empty.
    """
    found: dict[Path, str] = {}
    for source in map(Path, sources):
        for path, name in _expand(source, None if root is None else Path(root), suffixes):
            # A video that several sources name keeps its first name.
            found.setdefault(path, name)
    return [NamedVideo(path, name) for path, name in found.items()]


def _expand(source: Path, root: Path | None, suffixes: Collection[str]) -> list[tuple[Path, str]]:
    if source.is_dir():
        return [(path, _name(path, root or source)) for path in find_videos(source, suffixes)]
    if not source.is_file():
        raise FileNotFoundError(f'no such video, folder or list: {source}')
    if source.suffix.lower() in LIST_SUFFIXES:
        return _read_list(source, root)
    return [(source, _name(source, root))]


def _name(path: Path, root: Path | None) -> str:
    if root is None:
        return path.stem
    absolute, base = path.absolute(), root.absolute()
    inside = absolute.is_relative_to(base)
    return (absolute.relative_to(base) if inside else Path(path.name)).with_suffix('').as_posix()


def _read_list(source: Path, root: Path | None) -> list[tuple[Path, str]]:
    lines = [line.strip() for line in source.read_text('utf-8').splitlines()]
    entries = [_path_of_line(line, root) for line in lines if line and not line.startswith('#')]
    if not entries:
        raise ValueError(f'list of videos is empty: {source}')
    base = root or Path()
    return [(base / entry, _listed_name(base / entry, entry, root)) for entry in entries]


def _listed_name(path: Path, entry: str, root: Path | None) -> str:
    relative = not Path(entry).is_absolute() and '..' not in Path(entry).parts
    return Path(entry).with_suffix('').as_posix() if relative else _name(path, root)


def _path_of_line(line: str, root: Path | None) -> str:
    """First column, or the whole line if that is a file, since paths may hold separators."""
    if ((root or Path()) / line).is_file():
        return line
    if line.startswith('"'):
        return line[1:].partition('"')[0]
    return re.split(r'[,\t]', line)[0].strip() if re.search(r'[,\t]', line) else line.split()[0]


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
