"""Index of vectors on disk, in parts that are written whole and searched in blocks.

::

    index.json           how the features were made
    features/NAME.npy    float16 (videos, width), of length 1
    features/NAME.json   paths, sizes and times of these videos; without it there is no such part
    tokens/NAME.npy      float16 (videos, tokens, width) of the same videos, if they are stored
    failed.jsonl         videos that could not be read, and why

Several processes may add parts at a time.  Rows are never changed in place: a part that holds
what is out of date is replaced by another, under a lock.
"""

import json
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from mmengine.logging import print_log
from torch import Tensor

from internvideo.evaluation.scorers import best_of
from internvideo.fileio.atomic import is_temporary
from internvideo.fileio.json_files import write_json

from .index_parts import PART_BYTES, PART_ROWS, IndexedFile, IndexPart, PartWriter

VERSION = 1
ORPHAN_SECONDS = 24 * 3600.0
"""Unfinished files that nobody has touched for so long belong to a process that was killed."""
BLOCK_SCORES = 1 << 22
"""Scores that a search holds at a time, for all queries together."""
MAX_BLOCK_ROWS = 4096
TRIES = 5


class IndexMismatchError(ValueError):
    """Index made by another model or in another way, with the fields that differ."""


class Hit(NamedTuple):
    """A video found: where it stands in the index, which file it is, and its cosine."""

    part: IndexPart
    row: int
    path: str
    cosine: float


class VectorIndex:
    """An index in a folder.

    Args:
        folder: where it is; :meth:`create` makes one.

    Attributes:
        settings: how its features were made.
        has_tokens: whether it stores the tokens that re-ranking reads.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is of another version, or damaged.
    """

    def __init__(self, folder: str | os.PathLike) -> None:
        self.folder = Path(folder)
        header = self.folder / 'index.json'
        if not header.is_file():
            raise FileNotFoundError(f'{self.folder} holds no index of videos (no index.json)')
        try:
            content = json.loads(header.read_text('utf-8'))
            version, self.settings = content['version'], content['settings']
            self.has_tokens = content['has_tokens']
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f'{header} is damaged: {error!r}') from None
        if version != VERSION:
            raise ValueError(f'{self.folder} is an index of version {version}, not {VERSION}')

    @classmethod
    def create(
        cls, folder: str | os.PathLike, settings: Mapping[str, Any], store_tokens: bool = False
    ) -> 'VectorIndex':
        """The index of ``folder``, made if there is none.

        Args:
            folder: a new or empty folder, or that of an index.
            settings: how features are made, plain values.
            store_tokens: a new index stores tokens too.

        Raises:
            ValueError: the folder holds other files, or an index without the tokens wanted.
            IndexMismatchError: the index was made with other settings.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder):
            if not (folder / 'index.json').is_file():
                names = [file.name for file in folder.iterdir() if not is_temporary(file)]
                # The lock is there because this process holds it.
                if set(names) - {'index.lock'}:
                    raise ValueError(f'{folder} holds other files and no index; name a new folder')
                header = dict(version=VERSION, has_tokens=store_tokens, settings=settings)
                write_json(folder / 'index.json', header)
        index = cls(folder)
        index.check(settings)
        if store_tokens and not index.has_tokens:
            raise ValueError(f'{folder} was made without tokens (store_tokens); name a new folder')
        return index

    def check(self, settings: Mapping[str, Any]) -> None:
        """Raise IndexMismatchError unless the index was made with ``settings``.

        ``note`` is not compared.
        """
        names = (settings.keys() | self.settings.keys()) - {'note'}
        pairs = {name: (self.settings.get(name), settings.get(name)) for name in sorted(names)}
        others = [f'{n}: {a} in the index, {b} now' for n, (a, b) in pairs.items() if a != b]
        if others:
            made = self.settings.get('note') or {}
            raise IndexMismatchError(
                f'the index {self.folder} was made by another model or in another way '
                f'({", ".join(f"{k} {v}" for k, v in made.items())}); name another folder.\n  '
                + '\n  '.join(others)
            )

    def parts(self) -> list[IndexPart]:
        """The complete parts, in the order of their names.

        Another process may put one part in the place of others while they are opened.  Then they
        are listed again; where that goes on, it is kept waiting.
        """
        for _ in range(TRIES):
            records = self._records()
            parts = self._open_parts(records)
            if self._records() == records:
                return parts
        with locked(self.folder):
            return self._open_parts(self._records())

    def _open_parts(self, records: Sequence[Path]) -> list[IndexPart]:
        return [part for part in map(self._open_part, records) if part is not None]

    def _records(self) -> list[Path]:
        found = (self.folder / 'features').glob('*.json')
        return sorted(record for record in found if not is_temporary(record))

    def _open_part(self, record: Path) -> IndexPart | None:
        """Open the part of a record, or None when it is damaged or has gone."""
        try:
            return IndexPart.open(record, self.has_tokens)
        except (OSError, ValueError, EOFError):
            return None

    def writer(self, seconds: float | None = None) -> PartWriter:
        """Writer that adds videos (see :class:`PartWriter`)."""
        return PartWriter(self.folder, self.has_tokens, seconds)

    def __len__(self) -> int:
        return sum(part.rows for part in self.parts())

    def files(self) -> Iterator[IndexedFile]:
        """Every video of the index."""
        for part in self.parts():
            yield from part.files()

    def tidy(self, is_stale: Callable[[IndexedFile], bool] = lambda _: False) -> list[IndexedFile]:
        """Take out what is out of date or there twice, and join small parts.

        Args:
            is_stale: says of a video whether its row goes.

        Returns:
            The videos taken out.
        """
        with locked(self.folder):
            self._remove_leftovers()
            # Not parts(), which may want the lock that is held here.
            kept, stale, seen = {}, [], set()
            for part in self._open_parts(self._records()):
                rows = kept[part] = []
                for row, file in enumerate(part.files()):
                    if is_stale(file):
                        stale.append(file)
                    elif file.path not in seen:
                        seen.add(file.path)
                        rows.append(row)
            self._rewrite(kept)
        return stale

    def _rewrite(self, kept: Mapping[IndexPart, list[int]]) -> None:
        small = [part for part, rows in kept.items() if self._is_small(part, len(rows))]
        reduced = [part for part, rows in kept.items() if len(rows) < part.rows]
        # A single small part has nothing to be joined with.
        if not reduced and len(small) < 2:
            return
        chosen = list(dict.fromkeys(small + reduced))
        # Without a limit of time, by which the new parts would be small again.
        with self.writer(float('inf')) as writer:
            for part in chosen:
                _copy_rows(part, kept[part], writer)
        for part in chosen:  # only now: a process killed before has written some rows twice
            part.remove()

    def _is_small(self, part: IndexPart, rows: int) -> bool:
        size = part.file.stat().st_size
        size += part.tokens_file.stat().st_size if self.has_tokens else 0
        return rows < PART_ROWS / 2 and size < PART_BYTES / 2

    def _remove_leftovers(self) -> None:
        """Delete damaged parts, and what killed processes left behind."""
        for record in self._records():
            if self._open_part(record) is None:
                note = f'{record.stem} of {self.folder} is damaged: its videos are encoded again'
                print_log(note, logger='current', level=logging.WARNING)
                IndexPart(record.with_suffix('.npy'), 0).remove()
        oldest = time.time() - ORPHAN_SECONDS
        for file in [*self.folder.glob('features/*'), *self.folder.glob('tokens/*')]:
            record = (self.folder / 'features' / file.name).with_suffix('.json')
            is_complete = record.is_file() and not is_temporary(file)
            with suppress(FileNotFoundError):  # another process has just completed it
                if not is_complete and file.stat().st_mtime < oldest:
                    file.unlink()

    def search(self, queries: Tensor, top_k: int) -> list[list[Hit]]:
        """The ``top_k`` videos of the largest cosine for each query, best first.

        Memory does not depend on the size of the index.  Scores are float32 products with the
        stored float16 features, within 5e-4 of the exact cosine.

        Args:
            queries: (Q, width) of length 1.
            top_k: how many; fewer when the index is smaller.
        """
        queries, wanted = queries.float().cpu(), top_k
        while True:
            parts = self.parts()
            with suppress(FileNotFoundError):  # parts were joined or replaced meanwhile
                found = [list(_distinct(hits)) for hits in _search(parts, queries, wanted)]
                if wanted >= sum(part.rows for part in parts) or all(
                    len(hits) >= top_k for hits in found
                ):
                    return [hits[:top_k] for hits in found]
                wanted *= 2  # videos that are stored twice took the places of others


def _search(parts: Sequence[IndexPart], queries: Tensor, top_k: int) -> list[list[Hit]]:
    """Best rows for each query, in which a video that is stored twice may occur twice."""
    starts = np.cumsum([0, *(part.rows for part in parts)])
    scores = torch.empty(len(queries), 0)
    rows = torch.empty(len(queries), 0, dtype=torch.long)
    for part, start in zip(parts, starts.tolist(), strict=False):
        for first, block in _blocks(part.features(), len(queries)):
            numbers = torch.arange(start + first, start + first + len(block))
            # Only the best so far and one block are held, however large the index is.
            scores = torch.cat([scores, queries @ block.T], dim=1)
            rows = torch.cat([rows, numbers.expand(len(queries), -1)], dim=1)
            # Of equal scores the first row stays first, which topk would leave open.
            places = best_of(scores, min(top_k, scores.shape[1]))
            scores, rows = scores.gather(1, places), rows.gather(1, places)
    places = _places(parts, starts, np.unique(rows.numpy()))
    return [
        [Hit(*places[row], score) for row, score in zip(*pair, strict=True)]
        for pair in zip(rows.tolist(), scores.tolist(), strict=True)
    ]


def _distinct(hits: Sequence[Hit]) -> Iterator[Hit]:
    """Every video once, where two processes have encoded one."""
    seen: set[str] = set()
    for hit in hits:
        if hit.path not in seen:
            seen.add(hit.path)
            yield hit


def _places(
    parts: Sequence[IndexPart], starts: np.ndarray, rows: np.ndarray
) -> dict[int, tuple[IndexPart, int, str]]:
    """Part, row in it and path of rows of the whole, reading each record once."""
    places, owners = {}, np.searchsorted(starts, rows, side='right') - 1
    for number in np.unique(owners).tolist():
        paths = parts[number].record()['paths']
        for row in rows[owners == number].tolist():
            inner = row - int(starts[number])
            places[row] = (parts[number], inner, paths[inner])
    return places


def _blocks(features: np.ndarray, num_queries: int) -> Iterator[tuple[int, Tensor]]:
    """First row and float32 rows of every block."""
    size = max(1, min(MAX_BLOCK_ROWS, BLOCK_SCORES // max(1, num_queries)))
    for first in range(0, len(features), size):
        # A copy in memory: torch warns of mapped arrays, which it may not write to.
        yield first, torch.from_numpy(np.array(features[first : first + size])).float()


def _copy_rows(part: IndexPart, rows: list[int], writer: PartWriter) -> None:
    features, own = part.features(), part.files()
    tokens = part.tokens() if writer.has_tokens else None
    row_bytes = features[:1].nbytes + (0 if tokens is None else tokens[:1].nbytes)
    step = max(1, PART_BYTES // 8 // max(1, row_bytes))
    for first in range(0, len(rows), step):
        chosen = rows[first : first + step]
        files = [own[row] for row in chosen]
        writer.add(files, features[chosen], None if tokens is None else tokens[chosen])


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Alone among the processes that work on the index in ``folder``."""
    from filelock import FileLock

    with FileLock(folder / 'index.lock'):
        yield
