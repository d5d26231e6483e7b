"""Folders and readers of the media of a list, one for all rows or one per source."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from internvideo.datasets.media.limits import MediaLimits, media_limits
from internvideo.datasets.transforms.loading import OpenVideo

DEFAULT_LIMITS = MediaLimits()


@dataclass(frozen=True)
class MediaSource:
    """Media of one kind below one folder.

    Args:
        data_prefix: Folder that relative paths start from.
        backend: ``'auto'``, ``'pyav'``, ``'decord'``, ``'torchcodec'``, or ``'frames'`` for
            folders of images.
        filename_tmpl: Names of the images of a folder, numbered from 1.
        path_suffix: Appended to paths of files that hold no dot.
        limits: Sizes and times above which a file is refused.
    """

    data_prefix: str = ''
    backend: str = 'auto'
    filename_tmpl: str = 'img_{:05}.jpg'
    path_suffix: str = ''
    limits: MediaLimits = DEFAULT_LIMITS

    def resolve(self, name: str) -> str:
        """Full path of ``name``, without the folder if that is absolute."""
        # Published pretraining lists leave `.mp4` out; names of frame folders have no suffix.
        if self.backend != 'frames' and '.' not in name:
            name += self.path_suffix
        return str(Path(self.data_prefix) / name)


class MediaSources:
    """Source of each row of a list, which opens the media of a sample.

    Args:
        default: How media are read.
        table: For lists with a column ``source``: what differs from ``default`` by tag; an empty
            entry differs in nothing.  None: all rows are read alike.

    Raises:
        ValueError: a field of the table that no source has.
    """

    def __init__(
        self, default: MediaSource, table: Mapping[str, Mapping[str, Any]] | None = None
    ) -> None:
        self.default = default
        self.table = None
        if table is not None:
            self.table = {tag: _changed(default, tag, entry) for tag, entry in table.items()}
        kinds = {default, *(self.table or {}).values()}
        kinds |= {_of_files(kind) for kind in kinds}
        self._openers = {
            kind: OpenVideo(kind.backend, kind.filename_tmpl, kind.limits) for kind in kinds
        }

    def of(self, row: Mapping[str, Any]) -> MediaSource:
        """The source of a row of the list.

        A row of less than 0 ``total_frames`` is a video file where others are folders of frames.

        Raises:
            ValueError: its tag is not in the table.
        """
        source = self._listed(row)
        return _of_files(source) if row.get('total_frames', 0) < 0 else source

    def _listed(self, row: Mapping[str, Any]) -> MediaSource:
        if self.table is None:
            return self.default
        if row.get('source') not in self.table:
            raise ValueError(
                f'unknown source {row.get("source")!r}; known: {", ".join(self.table)} (`sources` '
                'of the data set)'
            )
        return self.table[row['source']]

    def __call__(self, sample: dict) -> dict:
        """Add ``video`` and ``total_frames`` to a sample whose path is resolved."""
        return self._openers[self.of(sample)](sample)


def _of_files(source: MediaSource) -> MediaSource:
    return replace(source, backend='auto') if source.backend == 'frames' else source


def _changed(default: MediaSource, tag: str, entry: Mapping[str, Any]) -> MediaSource:
    known = {field.name for field in fields(MediaSource)}
    unknown = sorted(set(entry) - known)
    if unknown:
        raise ValueError(f'sources.{tag}: unknown {unknown}; known: {sorted(known)}')
    if 'limits' in entry:
        entry = dict(entry, limits=media_limits(entry['limits']))
    return replace(default, **entry)
