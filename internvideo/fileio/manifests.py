"""Frame manifests: files that say, sample by sample, what a run has seen of which file.

The first record is the header, with the versions of all that reads media; each other one is a
sample with the fields of :data:`FIELDS` that it has.

- ``.jsonl``: a record a line, the header first;
- ``.parquet``: a row a sample, the header as JSON under the key ``internvideo_manifest``.
"""

import hashlib
import json
import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from internvideo import __version__

from .atomic import PendingFile

FrameRecord = dict[str, Any]

FORMAT = 1
FIELDS = dict(
    set_name='text',
    sample_index='number',
    path='text',
    window='number',
    file_hash='text',
    backend='text',
    orientation='text',
    frame_size='numbers',
    sampling='text',
    frame_inds='table of numbers',
    frame_times='table of seconds',
    repeated='table of numbers',
    lost_frames='number',
    pipeline='texts',
    clip_hash='text',
    input_shape='numbers',
    input_hash='text',
    audio_file_hash='text',
    audio_seconds='seconds',
    audio_shape='numbers',
    audio_hash='text',
    unreadable='text',
)
"""Fields of a record and their kinds, see docs/evaluation.md."""
PARQUET_KEY = b'internvideo_manifest'
ROWS_AT_ONCE = 1000
LIBRARIES = ('av', 'decord', 'torchcodec', 'torch', 'numpy')
OPENCV = ('opencv-python', 'opencv-python-headless', 'opencv-contrib-python')
RUN_FIELDS = ('work_dir', 'launcher', 'load_from', 'resume', 'custom_hooks', 'log_level')
"""Fields of a config that say where and how it runs, not what is computed."""


class Manifest(NamedTuple):
    """Header and records of a file."""

    header: dict[str, Any]
    records: list[FrameRecord]


def manifest_header(config: Mapping[str, Any] | None = None, **facts: Any) -> dict[str, Any]:
    """The header of a manifest: versions, the config's file and hash, and ``facts``."""
    header: dict[str, Any] = dict(manifest=FORMAT, versions=dict(software_versions()))
    if config is not None:
        kept = {key: value for key, value in config.items() if key not in RUN_FIELDS}
        text = json.dumps(kept, sort_keys=True, default=repr)
        header['config'] = getattr(config, 'filename', None)
        header['config_hash'] = hashlib.sha256(text.encode()).hexdigest()
    return header | {key: value for key, value in facts.items() if value is not None}


@cache
def software_versions() -> dict[str, str]:
    """Versions of this package and of the libraries that read media, as far as they are there."""
    found = dict(internvideo=__version__)
    for name, choices in [*((name, (name,)) for name in LIBRARIES), ('opencv', OPENCV)]:
        for choice in choices:
            try:
                found.setdefault(name, version(choice))
            except PackageNotFoundError:
                continue
    return found


class ManifestWriter(ABC):
    """A manifest that appears, whole, when its ``with`` block ends without an error.

    Args:
        path: file to write, ``.jsonl`` or ``.parquet``.
        header: from :func:`manifest_header`.
    """

    def __init__(self, path: Path, header: Mapping[str, Any]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._pending = PendingFile(path)
        self._start(dict(header))

    @abstractmethod
    def _start(self, header: dict[str, Any]) -> None:
        """Open the file and write the header."""

    @abstractmethod
    def add(self, record: Mapping[str, Any]) -> None:
        """Add the record of a sample."""

    @abstractmethod
    def _close(self) -> None:
        """Write what is left and close the file."""

    def __enter__(self) -> 'ManifestWriter':
        return self

    def __exit__(self, kind: type | None, *_: Any) -> None:
        try:
            self._close()
        except BaseException:
            self._pending.discard()
            raise
        if kind is None:
            self._pending.commit()
        else:
            self._pending.discard()


class JsonLinesManifest(ManifestWriter):
    """A manifest of a JSON record a line."""

    def _start(self, header: dict[str, Any]) -> None:
        self._file = self._pending.path.open('w', encoding='utf-8')
        self._write(header)

    def add(self, record: Mapping[str, Any]) -> None:
        self._write(plain_record(record))

    def _write(self, values: dict[str, Any]) -> None:
        self._file.write(json.dumps(values, ensure_ascii=False) + '\n')

    def _close(self) -> None:
        self._file.close()


class ParquetManifest(ManifestWriter):
    """A manifest of a Parquet row a sample."""

    def _start(self, header: dict[str, Any]) -> None:
        arrow, parquet = import_pyarrow()
        self._arrow = arrow
        self._schema = _parquet_schema(arrow, header)
        self._file = parquet.ParquetWriter(self._pending.path, self._schema)
        self._rows: list[FrameRecord] = []

    def add(self, record: Mapping[str, Any]) -> None:
        self._rows.append(plain_record(record))
        if len(self._rows) == ROWS_AT_ONCE:
            self._flush()

    def _flush(self) -> None:
        self._file.write_table(self._arrow.Table.from_pylist(self._rows, self._schema))
        self._rows = []

    def _close(self) -> None:
        self._flush()
        self._file.close()


WRITERS = {'.jsonl': JsonLinesManifest, '.parquet': ParquetManifest}


def check_manifest_path(path: str | os.PathLike) -> None:
    """Raise what :func:`open_manifest` would raise, before a long run."""
    suffix = Path(path).suffix
    if Path(path).is_dir():
        raise ValueError(f'{path} is a folder: name a file')
    if suffix not in WRITERS:
        raise ValueError(f'{path}: the file must end in {" or ".join(WRITERS)}')
    if suffix == '.parquet':
        import_pyarrow()


def open_manifest(path: str | os.PathLike, header: Mapping[str, Any]) -> ManifestWriter:
    """A manifest to be filled in a ``with`` block, of the kind that its suffix says.

    Raises:
        ValueError: another suffix.
        ImportError: Parquet without pyarrow.
    """
    check_manifest_path(path)
    return WRITERS[Path(path).suffix](Path(path), header)


def shard_file(path: str | os.PathLike, shard: tuple[int, int]) -> Path:
    """The file of share ``(i, n)``: ``x-0of8.jsonl`` for ``x.jsonl``, itself for the whole."""
    path, (index, count) = Path(path), shard
    return path if count == 1 else path.with_name(f'{path.stem}-{index}of{count}{path.suffix}')


def write_manifest(
    path: str | os.PathLike, header: Mapping[str, Any], records: Iterable[Mapping[str, Any]]
) -> None:
    """Write a manifest in one go, see :func:`open_manifest`."""
    with open_manifest(path, header) as manifest:
        for record in records:
            manifest.add(record)


def plain_record(record: Mapping[str, Any]) -> FrameRecord:
    """A record as JSON has it: lists for arrays, in the order of the fields, without empty ones.

    Raises:
        ValueError: a field that records do not have.
    """
    if unknown := sorted(set(record) - set(FIELDS)):
        raise ValueError(f'a frame record has no field {unknown[0]!r}; known: {", ".join(FIELDS)}')
    values = {key: _plain(record[key]) for key in FIELDS if record.get(key) is not None}
    return {key: value for key, value in values.items() if value != []}


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value


def read_manifest(path: str | os.PathLike) -> Manifest:
    """Read a manifest.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is no manifest or is not whole; the message names file and line.
        ImportError: Parquet without pyarrow.
    """
    path = Path(path)
    if path.suffix not in WRITERS:
        raise ValueError(f'{path} is no manifest: it does not end in {" or ".join(WRITERS)}')
    if not path.is_file():
        raise FileNotFoundError(f'{path}: no such file')
    header, records = (_read_parquet if path.suffix == '.parquet' else _read_lines)(path)
    _check_header(path, header)
    records = [_checked(path, number, record) for number, record in enumerate(records, start=1)]
    return Manifest(header, records)


def _check_header(path: Path, header: Any) -> None:
    found = header.get('manifest') if isinstance(header, dict) else None
    if found is None:
        raise ValueError(f'{path} is no frame manifest: it does not begin with the header of one')
    if found != FORMAT:
        raise ValueError(
            f'{path} is a manifest of format {found}, this build reads {FORMAT}: use the version '
            'of internvideo that its header names'
        )


def _checked(path: Path, number: int, record: Any) -> FrameRecord:
    if not isinstance(record, dict) or 'path' not in record:
        raise ValueError(f'{path}: sample {number} is no record of a sample: it has no `path`')
    for name, kind in FIELDS.items():
        if name in record and not _fits(kind, record[name]):
            raise ValueError(f'{path}: sample {number}: {name} is no {kind}')
    return record


def _fits(kind: str, value: Any) -> bool:
    """Whether a value is of a kind of :data:`FIELDS`."""
    if kind.startswith('table'):
        return isinstance(value, list) and all(isinstance(row, list) for row in value)
    return isinstance(value, dict(text=str, number=int).get(kind, list))


def _read_lines(path: Path) -> tuple[Any, list[Any]]:
    try:
        with path.open(encoding='utf-8') as file:
            header, *records = list(_parsed_lines(path, file)) or [None]
    except UnicodeDecodeError:
        raise ValueError(f'{path} is no frame manifest: it is not text') from None
    return header, records


def _parsed_lines(path: Path, lines: Iterable[str]) -> Iterator[Any]:
    for number, line in enumerate(lines, start=1):
        try:
            value = json.loads(line)
        except ValueError:
            fault = 'no JSON record' if line.endswith('\n') else 'cut off'
            raise ValueError(f'{path}: line {number} is {fault}') from None
        yield value


def _read_parquet(path: Path) -> tuple[Any, list[Any]]:
    arrow, parquet = import_pyarrow()
    try:
        table = parquet.read_table(path)
    except arrow.ArrowException as error:
        raise ValueError(f'{path} cannot be read as Parquet: {str(error)[:200]}') from None
    text = (table.schema.metadata or {}).get(PARQUET_KEY)
    rows = table.to_pylist()
    records = [{key: value for key, value in row.items() if value is not None} for row in rows]
    try:
        return (None if text is None else json.loads(text)), records
    except ValueError:
        raise ValueError(f'{path}: the header of the manifest is no JSON') from None


def _parquet_schema(arrow: Any, header: Mapping[str, Any]) -> Any:
    text, number, seconds = arrow.string(), arrow.int64(), arrow.float64()
    kinds = {
        'text': text,
        'texts': arrow.list_(text),
        'number': number,
        'numbers': arrow.list_(number),
        'seconds': arrow.list_(seconds),
        'table of numbers': arrow.list_(arrow.list_(number)),
        'table of seconds': arrow.list_(arrow.list_(seconds)),
    }
    fields = [(name, kinds[kind]) for name, kind in FIELDS.items()]
    return arrow.schema(fields, metadata={PARQUET_KEY: json.dumps(dict(header))})


def import_pyarrow() -> tuple[Any, Any]:
    """``pyarrow`` and ``pyarrow.parquet``, or an ImportError that says how to get them."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise ImportError(
            "manifests in Parquet need the package pyarrow: pip install 'internvideo[manifest]'"
        ) from error
    return pyarrow, pyarrow.parquet
