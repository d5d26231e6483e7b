"""Annotation lists of any length: mapped text, an index of line starts, rows parsed on access."""

import mmap
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from .row_index import cached_index

COLUMN_TYPES = {
    'path': str,
    'source': str,
    'label': int,
    'total_frames': int,
    'start_index': int,
    'duration': float,
    'start': float,
    'end': float,
}
IGNORED_COLUMN = '_'
DELIMITERS = (',', '\t', ' ')

STRETCH_ROWS = 1_000_000
CHUNK_BYTES = 1 << 25


class AnnotationList:
    """One sample per line, columns declared by name, nothing parsed before it is asked for.

    The text is memory-mapped and an int64 array holds where each non-blank line starts, so that
    a list of 10^8 lines costs its index only, once per machine: workers share both.

    Paths may hold the delimiter: the columns before ``path`` are split off from the left, those
    after it from the right.  A path in double quotes loses them.

    Args:
        path: Text file without header.
        columns: Names of the columns in order, from ``path``, ``source``, ``label``,
            ``total_frames``, ``start_index`` (integers), ``duration``, ``start``, ``end`` (seconds)
            and ``_`` (ignored).
        delimiter: ``','``, ``' '``, ``'\\t'``; None finds it from the first line.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: the file is empty, a column is unknown, no delimiter fits the first line.
    """

    def __init__(
        self,
        path: str | Path,
        columns: Sequence[str] = ('path', 'label'),
        delimiter: str | None = None,
    ) -> None:
        self.path = Path(path)
        self.columns = tuple(columns)
        self._check_columns()
        if not self.path.is_file():
            raise FileNotFoundError(
                f'annotation file not found: {self.path} (see docs/datasets.md)'
            )
        if self.path.stat().st_size == 0:
            raise ValueError(f'annotation file is empty: {self.path}')
        self._map()
        self.delimiter = delimiter or self._find_delimiter()

    def _check_columns(self) -> None:
        unknown = set(self.columns) - set(COLUMN_TYPES) - {IGNORED_COLUMN}
        if unknown:
            raise ValueError(
                f'columns of {self.path}: unknown {sorted(unknown)}; '
                f'known: {[*COLUMN_TYPES, IGNORED_COLUMN]}'
            )
        if self.columns.count('path') != 1:
            raise ValueError(f'columns of {self.path} must name `path` once, got {self.columns}')

    def _map(self) -> None:
        with self.path.open('rb') as file:
            self._text = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._starts = cached_index([self.path], 'lines', partial(line_starts, self._text))
        if len(self._starts) == 0:
            raise ValueError(f'annotation file holds no sample: {self.path}')

    def __getstate__(self) -> dict:
        # A map cannot be pickled; a worker process maps the same pages of the file instead.
        return {k: v for k, v in self.__dict__.items() if k not in ('_text', '_starts')}

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state)
        self._map()

    def __len__(self) -> int:
        return len(self._starts)

    def line(self, row: int) -> str:
        """The text of a row without its line end."""
        start = int(self._starts[row])
        end = self._text.find(b'\n', start)
        text = self._text[start : len(self._text) if end < 0 else end].decode().rstrip('\r')
        # Spreadsheets begin a file with a mark of its encoding.
        return text.removeprefix('\ufeff') if start == 0 else text

    def where(self, row: int) -> str:
        """``file:line`` of a row, counting blank lines too, for messages."""
        start = int(self._starts[row])
        before = sum(
            self._text[i : min(i + CHUNK_BYTES, start)].count(b'\n')
            for i in range(0, start, CHUNK_BYTES)
        )
        return f'{self.path}:{before + 1}'

    def __getitem__(self, row: int) -> dict:
        """The row as a dict of its columns.

        Raises:
            ValueError: wrong number of columns or not a number, naming file and line.
        """
        try:
            return parse_row(self.line(row), self.columns, self.delimiter)
        except ValueError as error:
            raise self.located(row, error) from None

    def located(self, row: int, error: ValueError) -> ValueError:
        """``error`` with file and line of a row in front."""
        return ValueError(f'{self.where(row)}: {error}')

    def _find_delimiter(self) -> str:
        try:
            return find_delimiter(self.line(0), self.columns)
        except ValueError as error:
            raise self.located(0, error) from None

    def check(
        self, num_classes: int | None = None, of_row: Callable[[dict], object] | None = None
    ) -> None:
        """Check every row: its columns and, with ``num_classes``, that labels are in range.

        Lines that plainly hold a path and a label in range are passed over by array operations
        (about 10^7 lines a second); any other line is parsed, and all are with ``of_row``, which
        raises ValueError for a row that it refuses.

        Raises:
            ValueError: naming file, line and fault of the first bad row.
        """
        for row in self._suspects(num_classes) if of_row is None else range(len(self)):
            info = self[row]
            try:
                _check_label(info.get('label'), num_classes)
                if of_row is not None:
                    of_row(info)
            except ValueError as error:
                raise self.located(row, error) from None

    def largest_label(self) -> int | None:
        """Largest label of the list, or None when it has no labels."""
        if 'label' not in self.columns:
            return None
        if self.columns != ('path', 'label'):
            return max(self[row]['label'] for row in range(len(self)))
        return max(int(labels.max()) for _, labels in self._plain_labels())

    def _suspects(self, num_classes: int | None) -> Iterator[int]:
        if self.columns != ('path', 'label'):
            yield from range(len(self))
            return
        limit = np.iinfo(np.int64).max if num_classes is None else num_classes
        for first, labels in self._plain_labels():
            yield from first + np.flatnonzero((labels < 0) | (labels >= limit))

    def _plain_labels(self) -> Iterator[tuple[int, np.ndarray]]:
        """First row and labels of each block of the list, -1 where a line is not plain."""
        # A view of the map, not a copy: pages are read as they are needed.
        text = np.frombuffer(self._text, np.uint8)
        for first in range(0, len(self), STRETCH_ROWS):
            starts = np.asarray(self._starts[first : first + STRETCH_ROWS])
            following = np.append(starts[1:], self._end_after(first + len(starts) - 1))
            yield first, _trailing_integers(text, starts, following, ord(self.delimiter))

    def _end_after(self, row: int) -> int:
        end = self._text.find(b'\n', int(self._starts[row]))
        return len(self._text) if end < 0 else end + 1


def parse_row(line: str, columns: Sequence[str], delimiter: str) -> dict:
    """A line of a list as a dict of its columns.

    Raises:
        ValueError: wrong number of columns, or not a number.
    """
    before = columns.index('path')
    after = len(columns) - before - 1
    head = line.split(delimiter, before)
    fields = head[:-1] + head[-1].rsplit(delimiter, after)
    if len(head) <= before or len(fields) != len(columns):
        raise ValueError(
            f'expected {len(columns)} columns {columns} separated by {delimiter!r}, got {line!r}'
        )
    return {
        name: _convert(name, field.strip())
        for name, field in zip(columns, fields, strict=True)
        if name != IGNORED_COLUMN
    }


def find_delimiter(line: str, columns: Sequence[str]) -> str:
    """The first of comma, tab and blank by which a line holds the columns.

    Raises:
        ValueError: none does.
    """
    for delimiter in DELIMITERS:
        try:
            parse_row(line, columns, delimiter)
        except ValueError:
            continue
        return delimiter
    raise ValueError(
        f'{line!r} does not hold the columns {columns} separated by a comma, a tab or a blank; '
        'set `columns` (and `delimiter`)'
    )


def _convert(name: str, field: str) -> str | int | float:
    kind = COLUMN_TYPES[name]
    if kind is str:
        quoted = len(field) > 1 and field[0] == field[-1] == '"'
        field = field[1:-1] if quoted else field
        if not field:
            raise ValueError(f'column {name!r} is empty')
        return field
    try:
        return kind(field)
    except ValueError:
        raise ValueError(f'column {name!r} is not a number: {field!r}') from None


def _trailing_integers(
    text: np.ndarray, starts: np.ndarray, following: np.ndarray, delimiter: int
) -> np.ndarray:
    """Integer that ends each line, -1 where a line needs a closer look.

    ``following`` is where the next line starts; digits must reach back to ``delimiter``.
    """
    last = following - 1
    last = last - (text[last] == ord('\n'))
    last = last - (text[np.maximum(last, starts)] == ord('\r'))
    values, open_ = np.zeros(len(starts), np.int64), np.ones(len(starts), bool)
    good = np.zeros(len(starts), bool)
    # Up to nine digits and the delimiter before them; what is longer counts as not plain.
    for power in range(10):
        byte = text[np.maximum(last - power, starts)]
        digit = (byte >= ord('0')) & (byte <= ord('9'))
        good |= open_ & (byte == delimiter) & (power > 0) & (last - power > starts)
        open_ &= digit
        if not open_.any():
            break
        values += np.where(open_, byte.astype(np.int64) - ord('0'), 0) * 10**power
    return np.where(good, values, -1)


def _check_label(label: int | None, num_classes: int | None) -> None:
    if None not in (label, num_classes) and not 0 <= label < num_classes:
        raise ValueError(
            f'label {label} is not in 0..{num_classes - 1} (num_classes={num_classes})'
        )


def line_starts(text: mmap.mmap) -> np.ndarray:
    """Offsets of the non-blank lines."""
    return np.concatenate(list(_scan(text)))


def _scan(text: mmap.mmap) -> Iterator[np.ndarray]:
    start_of_line = 0
    for begin in range(0, len(text), CHUNK_BYTES):
        chunk = np.frombuffer(text[begin : begin + CHUNK_BYTES], np.uint8)
        ends = np.flatnonzero(chunk == ord('\n')) + begin
        starts = np.concatenate([[start_of_line], ends + 1])
        # The line after the last break of this chunk is opened by the next one.
        start_of_line, starts = int(starts[-1]), starts[:-1]
        yield starts[_not_blank(text, starts, ends)].astype(np.int64)
    last = text[start_of_line:]
    yield np.array([start_of_line] if last.strip() else [], np.int64)


def _not_blank(text: mmap.mmap, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    keep = ends > starts
    # Stripping each of 10^8 lines is slow: only short ones are suspected of being blank.
    for row in np.flatnonzero(keep & (ends - starts < 4)):
        keep[row] = bool(text[int(starts[row]) : int(ends[row])].strip())
    return keep
