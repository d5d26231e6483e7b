"""Hashes of media files and of arrays, which say whether two runs read the same."""

import hashlib
import os
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

import numpy as np

CACHED_FILES = 4096


def file_hash(path: str | os.PathLike) -> str | None:
    """SHA-256 of a whole file, or None where there is none that can be read.

    It is kept until the file changes: several samples may be of one file.
    """
    try:
        state = Path(path).stat()
        return _hash_of_file(
            os.fspath(path),
            (state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns),
        )
    except OSError:
        return None


@lru_cache(CACHED_FILES)
def _hash_of_file(path: str, state: tuple[int, ...]) -> str:
    with Path(path).open('rb') as file:
        return hashlib.file_digest(file, 'sha256').hexdigest()


def files_hash(paths: Iterable[Path]) -> str:
    """SHA-256 of the names and contents of files, such as the frames that were read of a folder."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(f'{path.name} {file_hash(path)}\n'.encode())
    return digest.hexdigest()


def array_hash(array: np.ndarray) -> str:
    """SHA-256 of type, shape and values of an array, whatever its layout in memory."""
    digest = hashlib.sha256(f'{array.dtype.str} {array.shape}\n'.encode())
    digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def clip_hash(frame_hashes: Iterable[str]) -> str:
    """SHA-256 of the :func:`array_hash` of each frame, in order.

    Frame by frame, so that a stream needs to hold no clip, and frames of several views are hashed
    once.
    """
    return hashlib.sha256('\n'.join(frame_hashes).encode()).hexdigest()
