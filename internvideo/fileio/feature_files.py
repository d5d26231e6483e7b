"""Feature files: written as they are computed, whole or not there, and saying how they were made.

Every format holds ``features`` (windows first) and the same metadata:

- ``npy``: ``x.npy``, and ``x.json`` beside it;
- ``npz``: ``x.npz`` with ``features`` and ``metadata`` (JSON text);
- ``hdf5``: ``x.h5`` with a dataset ``features`` and one attribute per field (JSON text), but
  ``window_seconds`` a dataset (windows, 2), since attributes are short.
"""

import json
import shutil
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from .atomic import PendingFile, atomic_path
from .json_files import write_json

HDF5_DATASETS = ('window_seconds',)
"""Metadata that are as long as the features."""

SUFFIXES = {'npy': '.npy', 'npz': '.npz', 'hdf5': '.h5'}


class FeatureWriter(Protocol):
    """Writer of features in pieces to a file that appears when :meth:`finish` returns."""

    def append(self, features: np.ndarray) -> None:
        """Add windows (n, ...)."""

    def finish(self, metadata: Mapping[str, Any]) -> None:
        """Complete the file with its metadata and give it its name."""

    def abandon(self) -> None:
        """Remove what was written so far."""


class NpyWriter:
    """An ``.npy`` file that grows, and its metadata as JSON beside it."""

    def __init__(self, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        self.target, self.pending = target, PendingFile(target, single_writer=True)
        self._file = self.pending.path.open('w+b')
        self.shape: tuple[int, ...] = ()
        self.dtype = np.dtype(np.float32)

    def append(self, features: np.ndarray) -> None:
        if not self.shape:
            self.shape, self.dtype = (0, *features.shape[1:]), features.dtype
            self._write_header()
        self.shape = (self.shape[0] + len(features), *self.shape[1:])
        self._file.write(np.ascontiguousarray(features).tobytes())

    def _write_header(self) -> None:
        # numpy pads headers for a growing first axis: the final one takes the same room.
        descr = np.lib.format.dtype_to_descr(self.dtype)
        header = dict(descr=descr, fortran_order=False, shape=self.shape)
        np.lib.format.write_array_header_1_0(self._file, header)

    def close(self) -> None:
        """Complete the array under its temporary name."""
        self._file.seek(0)
        self._write_header()
        self._file.close()

    def finish(self, metadata: Mapping[str, Any]) -> None:
        self.close()
        record = self.target.with_suffix('.json')
        record.unlink(missing_ok=True)  # never a record of other features beside new ones
        self.pending.commit()
        # Last, because the record is what says that the features are complete.
        write_json(record, metadata)

    def abandon(self) -> None:
        self._file.close()
        self.pending.discard()


class NpzWriter:
    """An ``.npz`` file: the array grows in a temporary file and is copied in at the end."""

    def __init__(self, target: Path) -> None:
        self.target = target
        self._array = NpyWriter(target.with_name(f'{target.name}.features'))

    def append(self, features: np.ndarray) -> None:
        self._array.append(features)

    def finish(self, metadata: Mapping[str, Any]) -> None:
        self._array.close()
        with (
            atomic_path(self.target, single_writer=True) as temporary,
            zipfile.ZipFile(temporary, 'w', allowZip64=True) as archive,
        ):
            with (
                self._array.pending.path.open('rb') as source,
                # The header comes before the size is known, and must allow for more than 2 GiB.
                archive.open('features.npy', 'w', force_zip64=True) as member,
            ):
                shutil.copyfileobj(source, member, 1 << 20)
            with archive.open('metadata.npy', 'w') as member:
                np.lib.format.write_array(member, np.array(json.dumps(metadata)))
        self._array.abandon()

    def abandon(self) -> None:
        self._array.abandon()


class Hdf5Writer:
    """An HDF5 file with a resizable dataset."""

    def __init__(self, target: Path) -> None:
        h5py = import_h5py()
        target.parent.mkdir(parents=True, exist_ok=True)
        self.target, self.pending = target, PendingFile(target, single_writer=True)
        self._file = h5py.File(self.pending.path, 'w')
        self._features = None

    def append(self, features: np.ndarray) -> None:
        if self._features is None:
            shape = features.shape[1:]
            # Only a dataset in chunks can grow.
            self._features = self._file.create_dataset(
                'features', (0, *shape), features.dtype, maxshape=(None, *shape), chunks=True
            )
        count = len(self._features)
        self._features.resize(count + len(features), axis=0)
        self._features[count:] = features

    def finish(self, metadata: Mapping[str, Any]) -> None:
        for name, value in metadata.items():
            if name in HDF5_DATASETS:
                self._file[name] = np.asarray(value, np.float64)
            else:
                self._file.attrs[name] = json.dumps(value)
        self._file.close()
        self.pending.commit()

    def abandon(self) -> None:
        self._file.close()
        self.pending.discard()


WRITERS = {'npy': NpyWriter, 'npz': NpzWriter, 'hdf5': Hdf5Writer}


def open_writer(target: Path, kind: str) -> FeatureWriter:
    """A writer of ``kind`` for the file ``target`` (its suffix included).

    Raises:
        ValueError: unknown kind.
        ImportError: ``hdf5`` without h5py.
    """
    if kind not in WRITERS:
        raise ValueError(f'unknown feature format {kind!r}; known: {", ".join(WRITERS)}')
    return WRITERS[kind](target)


def read_metadata(target: Path, kind: str) -> dict[str, Any] | None:
    """Metadata of a complete feature file, or None where there is none or it is damaged."""
    with suppress(OSError, ValueError, KeyError, zipfile.BadZipFile):
        if not target.is_file():
            return None
        if kind == 'npy':
            return json.loads(target.with_suffix('.json').read_text('utf-8'))
        if kind == 'npz':
            with np.load(target) as archive:
                return json.loads(str(archive['metadata']))
        with import_h5py().File(target, 'r') as file:
            found = {name: json.loads(value) for name, value in file.attrs.items()}
            return found | {name: file[name][()].tolist() for name in HDF5_DATASETS if name in file}
    return None


def import_h5py() -> Any:
    """h5py, or an ImportError that says how to get it."""
    try:
        import h5py
    except ImportError as error:
        raise ImportError(
            "feature files in HDF5 need the package h5py: pip install 'internvideo[features]'"
        ) from error
    return h5py
