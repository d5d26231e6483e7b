"""Faults of annotations that give media their texts: JSON lists and SQLite tables."""

import json
import sqlite3
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from internvideo.datasets.captions import normalise_caption

SUFFIXES = ('.json', '.sqlite', '.sqlite3', '.db')
PATH_KEYS = ('video', 'image', 'audio', 'path', 'filename')
ID_KEYS = ('id', 'question_id', 'pair_id')
SPECIAL_TOKENS = 2
"""Tokens that every text has beside its words."""


class TextAnnotations:
    """Rows of a JSON list or of the one table of an SQLite file, as dicts.

    Args:
        path: the file.

    Raises:
        FileNotFoundError: it does not exist.
        ValueError: it is no list, or holds no table or several.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise FileNotFoundError(f'annotation file not found: {self.path}')
        self.is_table = self.path.suffix != '.json'
        self._rows = self._row_ids() if self.is_table else self._load()

    def _load(self) -> list[Any]:
        try:
            rows = json.loads(self.path.read_text(encoding='utf-8'))
        except ValueError as error:
            raise ValueError(f'{self.path} is no JSON: {error}') from None
        if not isinstance(rows, list):
            raise ValueError(f'{self.path} holds no JSON list')
        return rows

    @cached_property
    def _connection(self) -> sqlite3.Connection:
        connection = sqlite3.connect(f'file:{self.path}?mode=ro', uri=True)
        connection.row_factory = sqlite3.Row
        return connection

    @cached_property
    def _table(self) -> str:
        found = self._query("SELECT name FROM sqlite_master WHERE type = 'table'")
        names = [row['name'] for row in found]
        if len(names) != 1:
            raise ValueError(f'{self.path} must hold one table, it holds {names}')
        return names[0]

    def _query(self, text: str, *values: Any) -> list[sqlite3.Row]:
        try:
            return self._connection.execute(text, values).fetchall()
        except sqlite3.DatabaseError as error:
            raise ValueError(f'{self.path}: {error}') from None

    def _row_ids(self) -> list[int]:
        found = self._query(f'SELECT rowid AS number FROM "{self._table}" ORDER BY rowid')
        return [row['number'] for row in found]

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, row: int) -> dict[str, Any]:
        """Raises ValueError, naming file and row, for a row that is no dict or has no path."""
        info = self._rows[row]
        if self.is_table:
            (found,) = self._query(f'SELECT * FROM "{self._table}" WHERE rowid = ?', info)
            info = dict(found)
        if not isinstance(info, Mapping):
            raise ValueError(f'{self.where(row)}: no object but {str(info)[:40]!r}')
        if not any(isinstance(info.get(key), str) and info[key] for key in PATH_KEYS):
            raise ValueError(f'{self.where(row)}: none of {", ".join(PATH_KEYS)} is a path')
        return dict(info)

    def where(self, row: int) -> str:
        """``file:row``, counted from 1, for messages."""
        return f'{self.path}:{row + 1}'


def path_of(info: Mapping[str, Any], prefix: str) -> str:
    """The medium of a row; raises KeyError when there is none."""
    key = next(key for key in PATH_KEYS if isinstance(info.get(key), str) and info[key])
    return str(Path(prefix, info[key]))


def texts_of(info: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """(field, text) of everything that a model reads of a row."""
    for key, value in info.items():
        if 'caption' in key or key in ('option', 'question'):
            for text in value if isinstance(value, list | tuple) else [value]:
                yield key, text


def text_faults(info: Mapping[str, Any], max_length: int, paragraph: bool) -> Iterator[str]:
    """What is wrong with the texts of a row: absent, empty, too long for ``max_length`` tokens.

    A word takes at least one token, so a text that is said to be too long is cut.
    """
    texts = list(texts_of(info))
    if not texts:
        yield 'no caption, question or option'
    if paragraph and all(isinstance(text, str) for _, text in texts):
        texts = [('caption', ' '.join(text for key, text in texts if key == 'caption'))]
    for key, text in texts:
        normal = normalise_caption(text) if isinstance(text, str) else ''
        least = len(normal.split()) + SPECIAL_TOKENS
        if not isinstance(text, str):
            yield f'{key} is no text but {text!r}'
        elif not normal:
            yield f'{key} is empty'
        elif least > max_length:
            yield f'{key} of at least {least} tokens is cut to {max_length}'


def duplicates(annotations: TextAnnotations, media: bool) -> Iterator[tuple[int, str]]:
    """(row, reason) of rows with the id of an earlier one or, with ``media``, its medium."""
    seen: dict[tuple[str, Any], int] = {}
    for row in range(len(annotations)):
        try:
            info = annotations[row]
        except ValueError:
            continue  # said elsewhere
        keys = [(key, info[key]) for key in ID_KEYS if info.get(key) is not None]
        keys += [('medium', path_of(info, ''))] if media else []
        for key in keys:
            first = seen.setdefault(key, row)
            if first != row:
                yield row, f'{key[0]} {key[1]!r} as in {annotations.where(first)}'
