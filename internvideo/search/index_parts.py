"""Parts of an index of videos: written whole, never changed, mapped from the disk."""

import json
import os
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from internvideo.fileio.feature_files import NpyWriter

PART_ROWS, PART_BYTES = 4096, 1 << 28
"""Where a part ends."""
PART_SECONDS = 60.0
"""After so long a part ends as it is: no more than that is lost when a process is killed."""


class IndexedFile(NamedTuple):
    """A video file as it was when it was encoded."""

    path: str
    size: int
    time_ns: int

    @classmethod
    def of(cls, path: str) -> 'IndexedFile':
        """The file as it is now.  Raises OSError."""
        state = os.stat(path)  # noqa: PTH116, many of them: Path would double the time
        return cls(path, state.st_size, state.st_mtime_ns)


@dataclass(frozen=True)
class IndexPart:
    """A complete part of an index.

    Attributes:
        file: the array of its features; that of its tokens has the same name.
        rows: videos in it.
    """

    file: Path
    rows: int

    @classmethod
    def open(cls, record: Path, has_tokens: bool) -> 'IndexPart':
        """The part of a record.

        Raises:
            OSError, ValueError, EOFError: its arrays are damaged, or have gone.
        """
        part = cls(record.with_suffix('.npy'), 0)
        rows = len(part.features())
        if has_tokens and len(part.tokens()) != rows:
            raise ValueError(f'{part.tokens_file} has not the rows of {part.file}')
        return cls(part.file, rows)

    @property
    def tokens_file(self) -> Path:
        return self.file.parents[1] / 'tokens' / self.file.name

    def features(self) -> np.ndarray:
        """float16 (rows, width), mapped from the disk."""
        return np.load(self.file, mmap_mode='r')

    def tokens(self) -> np.ndarray:
        """float16 (rows, tokens, width), mapped from the disk."""
        return np.load(self.tokens_file, mmap_mode='r')

    def record(self) -> dict[str, list]:
        """``paths``, ``sizes`` and ``times_ns`` of the videos, row by row."""
        return json.loads(self.file.with_suffix('.json').read_text('utf-8'))

    def files(self) -> list[IndexedFile]:
        """The video of every row."""
        record = self.record()
        columns = (record['paths'], record['sizes'], record['times_ns'])
        return [IndexedFile(*fields) for fields in zip(*columns, strict=True)]

    def remove(self) -> None:
        """Delete the part, its record first."""
        # Without its record a part does not exist: readers never see one that is half removed.
        for file in (self.file, self.tokens_file):
            file.with_suffix('.json').unlink(missing_ok=True)
            file.unlink(missing_ok=True)


class PartWriter:
    """Adds videos to an index, part by part.

    Args:
        folder: of the index.
        has_tokens: whether it stores tokens.
        seconds: a part ends after so long, however small it is; None: ``PART_SECONDS``.
    """

    def __init__(self, folder: Path, has_tokens: bool, seconds: float | None = None) -> None:
        self.folder, self.has_tokens = folder, has_tokens
        self.seconds = PART_SECONDS if seconds is None else seconds
        self._files: list[IndexedFile] = []
        self._writers: list[NpyWriter] = []
        self._started, self._bytes = 0.0, 0

    def add(
        self, files: Sequence[IndexedFile], features: np.ndarray, tokens: np.ndarray | None = None
    ) -> None:
        """Add videos: features (n, width), and tokens (n, N, D) where the index stores them."""
        arrays = [features, *([tokens] if self.has_tokens else [])]
        halves = [np.asarray(array, np.float16) for array in arrays]
        if not self._writers:
            self._start()
        for writer, half in zip(self._writers, halves, strict=True):
            writer.append(half)
        self._files += files
        self._bytes += sum(half.nbytes for half in halves)
        is_late = time.monotonic() - self._started > self.seconds
        if len(self._files) >= PART_ROWS or self._bytes >= PART_BYTES or is_late:
            self.commit()

    def _start(self) -> None:
        # Random names: several processes add parts at a time without asking each other.
        part = IndexPart(self.folder / 'features' / f'{uuid.uuid4().hex[:16]}.npy', 0)
        targets = [part.file, *([part.tokens_file] if self.has_tokens else [])]
        self._writers = [NpyWriter(target) for target in targets]
        self._started, self._bytes = time.monotonic(), 0

    def commit(self) -> None:
        """Complete the part that is being written, if any."""
        writers, files = self._writers, self._files
        # First of all: should this fail, leaving the context commits again, and not the same part.
        self._writers, self._files = [], []
        if any(len(files) != writer.shape[0] for writer in writers if writer.shape):
            files = []  # interrupted amid a batch
        if not files:
            for writer in writers:
                writer.abandon()
            return
        paths, sizes, times = zip(*files, strict=True)
        # The features' record comes last: it makes the part exist.
        for writer in writers[1:]:
            writer.finish({})
        for writer in writers[:1]:
            writer.finish(dict(paths=paths, sizes=sizes, times_ns=times))

    def __enter__(self) -> 'PartWriter':
        return self

    def __exit__(self, *_: object) -> None:
        self.commit()  # whatever happened: what is encoded is good
