"""Comparison of the videos of an index with those on the disk."""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from .index_parts import IndexedFile


def file_states(paths: Iterable[str]) -> dict[str, IndexedFile | None]:
    """Size and time of files as they are now, None for missing ones."""
    states: dict[str, IndexedFile | None] = {}
    for path in paths:
        try:
            states[path] = IndexedFile.of(path)
        except OSError:
            states[path] = None
    return states


class OutOfDate:
    """Compares videos of an index with the files on disk."""

    def __init__(
        self, files: Mapping[str, IndexedFile | None], sources: Sequence[str | os.PathLike]
    ) -> None:
        self.files = files
        folders = [os.path.abspath(source) for source in sources if Path(source).is_dir()]  # noqa: PTH100
        # With a separator at the end: /videos is not the beginning of /videos_old.
        self.folders = tuple(os.path.join(folder, '') for folder in folders)  # noqa: PTH118

    def __call__(self, file: IndexedFile) -> bool:
        if file.path in self.files:
            return self.files[file.path] != file
        is_inside = file.path.startswith(self.folders) if self.folders else False
        return is_inside and not Path(file.path).exists()
