"""Media with texts: rows of JSON lists, JSON Lines and SQLite tables, read on access."""

import json
import mmap
import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from .annotations import line_starts
from .row_index import cached_index

TABLE_SUFFIXES = ('.sqlite', '.sqlite3', '.db')
LINE_SUFFIXES = ('.jsonl', '.ndjson')
SUFFIXES = ('.json', *LINE_SUFFIXES, *TABLE_SUFFIXES)
MEDIA_KEYS = ('video', 'image', 'audio')
PATH_KEYS = (*MEDIA_KEYS, 'path', 'filename')

LIST_COLUMNS = ('crop_bbox', 'option', 'answer')

STRETCH_ROWS = 1 << 16
CHUNK_BYTES = 1 << 24
MAX_ROW_BYTES = 1 << 28
BLANKS = b' \t\r\n'
BYTE_ORDER_MARK = b'\xef\xbb\xbf'
DECODER = json.JSONDecoder()
LAYOUTS = (
    'annotations are a JSON list of objects, JSON Lines (.jsonl) or an SQLite table (.sqlite): see '
    'docs/datasets.md#annotations'
)


class TextAnnotations:
    """Rows of one annotation file or several as dicts, read on access.

    A JSON list and JSON Lines (``.jsonl``) are memory-mapped and parsed row by row; an SQLite
    file holds one table, whose rows are asked for one by one.  Files of hundreds of millions of
    rows cost an int64 each, once per machine.  Objects can be pickled and survive forks.

    Args:
        path: the file, or several, whose rows follow each other.

    Raises:
        FileNotFoundError: a file does not exist.
        ValueError: a file is no list, or holds no table or several.
    """

    def __init__(self, path: str | Path | Sequence[str | Path]) -> None:
        files = [path] if isinstance(path, str | Path) else list(path)
        if not files:
            raise ValueError('no annotation file is given')
        self.files = [Path(file) for file in files]
        for file in self.files:
            if not file.is_file():
                raise FileNotFoundError(f'annotation file not found: {file} (see docs/datasets.md)')
        self._parts = [
            SqliteRows(file) if file.suffix in TABLE_SUFFIXES else JsonRows(file)
            for file in self.files
        ]
        self._ends = np.cumsum([len(part) for part in self._parts])

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, row: int) -> dict[str, Any]:
        """Raises ValueError, naming file and row, for a row that is no dict or has no path."""
        number, inner = self._locate(row)
        try:
            info = self._parts[number][inner]
        except ValueError as error:
            raise self.located(row, error) from None
        return self._checked(row, info)

    def scan(self) -> Iterator[dict[str, Any] | ValueError]:
        """Read all rows in order, with an error in place of a bad one."""
        for row, info in enumerate(chain.from_iterable(self._parts)):
            try:
                yield self._checked(row, info)
            except ValueError as error:
                yield error

    def _checked(self, row: int, info: Any) -> dict[str, Any]:
        if isinstance(info, ValueError):
            raise self.located(row, info)
        if not isinstance(info, Mapping):
            raise self.located(row, f'no object but {str(info)[:40]!r}')
        if not any(isinstance(info.get(key), str) and info[key] for key in PATH_KEYS):
            raise self.located(row, f'none of {", ".join(PATH_KEYS)} is a path')
        return dict(info)

    def _locate(self, row: int) -> tuple[int, int]:
        # A negative row counts from the end, one out of range raises IndexError.
        row = range(len(self))[row]
        number = int(np.searchsorted(self._ends, row, side='right'))
        return number, row - (int(self._ends[number - 1]) if number else 0)

    def where(self, row: int) -> str:
        """``file:row``, counted from 1, for messages."""
        number, inner = self._locate(row)
        return f'{self.files[number]}:{inner + 1}'

    def located(self, row: int, fault: ValueError | str) -> ValueError:
        """``fault`` with file and row in front."""
        return ValueError(f'{self.where(row)}: {fault}')


class JsonRows:
    """Elements of a JSON list, or of JSON Lines, parsed from the mapped text on access.

    Raises:
        ValueError: the file is no JSON, or no list.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._map()

    def _map(self) -> None:
        self._is_lines = self.path.suffix in LINE_SUFFIXES
        if self.path.stat().st_size == 0:
            raise ValueError(f'{self.path} is no JSON: it is empty')
        with self.path.open('rb') as file:
            self._text = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        if self._is_lines:
            self.index = cached_index([self.path], 'lines', partial(line_starts, self._text))
        else:
            build = partial(element_starts, self.path, self._text)
            self.index = cached_index([self.path], 'json', build)

    def __getstate__(self) -> dict:
        return dict(path=self.path)

    def __setstate__(self, state: dict) -> None:
        self.path = state['path']
        self._map()

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, row: int) -> Any:
        end = int(self.index[row + 1]) if row + 1 < len(self) else len(self._text)
        return self._parse(int(self.index[row]), end)

    def _parse(self, start: int, end: int) -> Any:
        text = self._text[start:end].removeprefix(BYTE_ORDER_MARK).decode()
        try:
            # The text reaches to the next element; decoding stops at the end of the value.
            value, stop = DECODER.raw_decode(text)
        except ValueError as error:  # which tells lines and columns of the element
            raise ValueError(f'no JSON: {str(error).partition(":")[0]} in {text[:40]!r}') from None
        if self._is_lines and text[stop:].strip():
            raise ValueError(f'more than one value in a line: {text[stop:][:40]!r}')
        return value

    def __iter__(self) -> Iterator[Any]:
        for first in range(0, len(self), STRETCH_ROWS):
            starts = self.index[first : first + STRETCH_ROWS + 1].tolist()
            ends = starts[1:] if first + STRETCH_ROWS < len(self) else [*starts[1:], None]
            for start, end in zip(starts, ends, strict=False):
                try:
                    yield self._parse(start, len(self._text) if end is None else end)
                except ValueError as error:
                    yield error


def element_starts(path: Path, text: mmap.mmap) -> np.ndarray:
    """Offsets of the elements of a JSON list, found by parsing it piece by piece.

    Raises:
        ValueError: it is no JSON, or no list.
    """
    begin = len(BYTE_ORDER_MARK) if text[:3] == BYTE_ORDER_MARK else 0
    begin = _after_blanks(text, begin)
    if text[begin : begin + 1] != b'[':
        kind = 'is no JSON' if text[begin : begin + 1] not in (b'{', b'"') else 'holds no JSON list'
        raise ValueError(f'{path} {kind}; {LAYOUTS}')
    return np.fromiter(_elements(path, text, begin + 1), np.int64)


def _elements(path: Path, text: mmap.mmap, place: int) -> Iterator[int]:
    # In Latin-1 a character is a byte, and JSON's own characters are the same as in UTF-8.
    first, window = place, ''
    place = _after_blanks(text, place)
    if text[place : place + 1] == b']':
        return
    while True:
        if place - first >= len(window):
            first, window = place, text[place : place + CHUNK_BYTES].decode('latin-1')
        try:
            _, end = DECODER.raw_decode(window, place - first)
        except ValueError as error:
            end = None
            if first + len(window) >= len(text):
                raise ValueError(f'{path} is no JSON: {error}') from None
        # A value at the end of the window may go on beyond it.
        if end is None or (end == len(window) and first + end < len(text)):
            first, window = place, _wider(path, text, place, len(window) - (place - first))
            continue
        yield place
        place, is_last = _next_element(path, text, first + end)
        if is_last:
            return


def _wider(path: Path, text: mmap.mmap, place: int, seen: int) -> str:
    """Text from ``place`` on, twice as much as was seen of it."""
    if seen > MAX_ROW_BYTES:
        raise ValueError(f'{path} is no JSON: nothing that ends within {seen} bytes of {place}')
    return text[place : place + max(2 * seen, CHUNK_BYTES)].decode('latin-1')


def _next_element(path: Path, text: mmap.mmap, place: int) -> tuple[int, bool]:
    """(where the next element starts, whether there was none) after one that ends at ``place``."""
    place = _after_blanks(text, place)
    mark = text[place : place + 1]
    if mark not in (b',', b']'):
        raise ValueError(f'{path} is no JSON: a comma is missing at byte {place}')
    place = _after_blanks(text, place + 1)
    if mark == b']' and place < len(text):
        raise ValueError(f'{path} is no JSON: something follows the list at byte {place}')
    return place, mark == b']'


def _after_blanks(text: mmap.mmap, place: int) -> int:
    while text[place : place + 1] and text[place] in BLANKS:
        place += 1
    return place


class SqliteRows:
    """Rows of the one table of an SQLite file, in the order of their row ids.

    Every process has its own connection, opened when it first asks.

    Raises:
        ValueError: the file is no database, or holds no table or several.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._forget_connection()
        self._table = self._find_table()
        self._load_index()

    def _forget_connection(self) -> None:
        self._owner, self._open_connection = 0, None
        # A connection of the parent process must neither be used nor closed in a fork.
        self._inherited: list[sqlite3.Connection] = []

    def _load_index(self) -> None:
        self.index = cached_index([self.path], 'rowids', self._row_ids)

    def __getstate__(self) -> dict:
        return dict(path=self.path, table=self._table)

    def __setstate__(self, state: dict) -> None:
        self.path, self._table = state['path'], state['table']
        self._forget_connection()
        self._load_index()

    @property
    def _connection(self) -> sqlite3.Connection:
        if self._owner != os.getpid():
            if self._open_connection is not None:
                self._inherited.append(self._open_connection)
            self._open_connection = self._connect()
            self._owner = os.getpid()
        return self._open_connection

    def _connect(self) -> sqlite3.Connection:
        # Threads of a process share it: SQLite itself makes them take turns.
        # Read-only, or SQLite would make an empty file of a path that is gone.
        address = f'{self.path.resolve().as_uri()}?mode=ro'
        connection = sqlite3.connect(address, uri=True, check_same_thread=False)
        connection.row_factory = sqlite3.Row
        return connection

    def _query(self, text: str, *values: Any) -> sqlite3.Cursor:
        try:
            return self._connection.execute(text, values)
        except sqlite3.Error as error:
            raise ValueError(f'{self.path}: {error}') from None

    def _find_table(self) -> str:
        found = self._query("SELECT name FROM sqlite_master WHERE type = 'table'")
        # SQLite keeps tables of its own beside the user's.
        names = [row['name'] for row in found if not row['name'].startswith('sqlite_')]
        if len(names) != 1:
            raise ValueError(f'{self.path} must hold one table, it holds {names}')
        # Within a quoted name SQL wants quotes doubled.
        return names[0].replace('"', '""')

    def _row_ids(self) -> np.ndarray:
        found = self._query(f'SELECT rowid AS number FROM "{self._table}" ORDER BY rowid')
        return np.fromiter((row['number'] for row in found), np.int64)

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, row: int) -> dict[str, Any]:
        query = f'SELECT * FROM "{self._table}" WHERE rowid = ?'
        found = self._query(query, int(self.index[row])).fetchone()
        if found is None:
            raise ValueError('the row is gone: the table was changed')
        return _unpacked(found)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return map(_unpacked, self._query(f'SELECT * FROM "{self._table}" ORDER BY rowid'))


def _unpacked(found: sqlite3.Row) -> dict[str, Any]:
    """Convert a table's row to a dict without NULL, with JSON lists where they may be."""
    info = {key: found[key] for key in found.keys() if found[key] is not None}  # noqa: SIM118
    return {key: _unlisted(key, value) for key, value in info.items()}


def _unlisted(key: str, value: Any) -> Any:
    is_text = 'caption' in key
    if not isinstance(value, str) or value[:1] != '[' or not (is_text or key in LIST_COLUMNS):
        return value
    try:
        values = json.loads(value)
    except ValueError:  # a text that begins with a bracket
        return value
    return value if is_text and not all(isinstance(each, str) for each in values) else values


def path_of(info: Mapping[str, Any], prefix: str | Path, media_type: str = 'video') -> str:
    """Path of a row under ``prefix``, of its modality where it has several.

    Raises:
        KeyError: there is none.
    """
    for key in (media_type, *PATH_KEYS):
        if isinstance(info.get(key), str) and info[key]:
            return str(Path(prefix, info[key]))
    raise KeyError(f'none of {", ".join(PATH_KEYS)}')


def texts_of(info: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """(field, text) of everything that a model reads of a row."""
    for key, value in info.items():
        if 'caption' in key or key in ('option', 'question'):
            for text in value if isinstance(value, list | tuple) else [value]:
                yield key, text
