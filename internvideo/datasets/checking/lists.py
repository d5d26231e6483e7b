"""Lists that are checked: of media with labels, of media with texts, and of plain files."""

import dataclasses
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from internvideo.datasets.formats.annotations import AnnotationList
from internvideo.datasets.formats.text_annotations import TextAnnotations, path_of
from internvideo.datasets.media_sources import MediaSource, MediaSources


@dataclass(frozen=True, kw_only=True)
class Reading:
    """Settings of how the files of a list are read and judged.

    Attributes:
        backend: reader, or ``'frames'`` for folders of images.
        min_frames: fewer are a problem.
        full: decode every frame.
        speed: measure how many frames a second are decoded.
        deadline: seconds that one decoding may take.
    """

    backend: str = 'auto'
    min_frames: int = 1
    full: bool = False
    speed: bool = False
    deadline: float = 60.0


@dataclass(frozen=True)
class MediaList(Reading):
    """Annotation list and the reading of its media, with fields as in ``VideoDataset``."""

    ann_file: str
    data_prefix: str = ''
    columns: tuple[str, ...] = ('path', 'label')
    delimiter: str | None = None
    num_classes: int | None = None
    filename_tmpl: str = 'img_{:05}.jpg'
    path_suffix: str = ''
    sources: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] | None = None


@dataclass(frozen=True)
class TextList(Reading):
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


@dataclass(frozen=True)
class FileList(Reading):
    """Media files by themselves."""

    files: tuple[str, ...]


AnyList = MediaList | TextList | FileList


class Problem(NamedTuple):
    """Finding at ``where`` (``list:line``, or a file), of one of the kinds of ``KINDS``."""

    where: str
    path: str
    kind: str
    detail: str


class Chunk(NamedTuple):
    """Rows ``first`` to ``last`` (exclusive) of the list of that number."""

    number: int
    first: int
    last: int


@cache
def annotations_of(media: MediaList | TextList) -> AnnotationList | TextAnnotations:
    """The rows of a list, opened once in a process."""
    if isinstance(media, TextList):
        return TextAnnotations(media.ann_file)
    return AnnotationList(media.ann_file, media.columns, media.delimiter)


@cache
def sources_of(media: MediaList) -> MediaSources:
    """Folders and readers of the media of a list."""
    default = MediaSource(media.data_prefix, media.backend, media.filename_tmpl, media.path_suffix)
    if media.sources is None:
        return MediaSources(default)
    return MediaSources(default, {tag: dict(entry) for tag, entry in media.sources})


def count_rows(media: AnyList) -> int:
    """Number of rows, or of files."""
    return len(media.files if isinstance(media, FileList) else annotations_of(media))


def where_of(media: AnyList, row: int) -> str:
    """Place of a row for messages."""
    return media.files[row] if isinstance(media, FileList) else annotations_of(media).where(row)


def media_path(media: AnyList, row: int) -> str:
    """The file, or folder of frames, of a row.

    Raises:
        ValueError: the row does not say.
    """
    if isinstance(media, FileList):
        return media.files[row]
    info = annotations_of(media)[row]
    if isinstance(media, TextList):
        return path_of(info, media.data_prefix, media.media_type)
    return sources_of(media).of(info).resolve(info['path'])


def identity_of(media: AnyList) -> list[Any]:
    """Plain values that change with the list, its settings and its contents."""
    if isinstance(media, FileList):
        files = list(media.files)
    else:
        files = [media.ann_file] if isinstance(media.ann_file, str) else list(media.ann_file)
    # A list that was edited has other rows under the numbers of the chunks that are done.
    states = [Path(file).stat() for file in files]
    return [dataclasses.asdict(media), *((state.st_size, state.st_mtime_ns) for state in states)]
