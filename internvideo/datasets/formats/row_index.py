"""Indices of long annotation files: built once per machine, mapped by all its processes."""

import fcntl
import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from internvideo.fileio.atomic import atomic_write

# Below this an index is rebuilt by each process in about a second; above it, it is kept in a
# file that all processes map.
MIN_CACHED_BYTES = 50_000_000


def cached_index(files: Sequence[Path], kind: str, build: Callable[[], np.ndarray]) -> np.ndarray:
    """Result of ``build`` on ``files``, from the machine's cache when they are long.

    One process of a machine builds it, the others wait.  Changed files are indexed anew.

    Args:
        files: annotation files.
        kind: what the index holds, and all that it depends on besides the files.
        build: makes the index.
    """
    if sum(file.stat().st_size for file in files) < MIN_CACHED_BYTES:
        return build()
    cached = _cache_file(files, kind)
    if not cached.is_file():
        try:
            cached.parent.mkdir(parents=True, exist_ok=True)
            with _locked(cached.with_suffix('.lock')):
                if not cached.is_file():
                    # Still missing: no other process has built it while this one waited.
                    _save(cached, build())
        except OSError:  # no room or no right to write: this process keeps its own copy
            return build()
    return np.load(cached, mmap_mode='r')


def _cache_file(files: Sequence[Path], kind: str) -> Path:
    states = [(str(file.resolve()), file.stat()) for file in files]
    # Size and time stand for the contents, whose reading would cost what the cache saves.
    identity = str([(path, state.st_size, state.st_mtime_ns) for path, state in states]) + kind
    root = Path(os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache')
    name = hashlib.sha256(identity.encode()).hexdigest()[:32]
    return root / 'internvideo' / 'row_index' / f'{name}.npy'


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    with file.open('w') as handle:
        # Given up when the file is closed, even by a process that is killed.
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _save(target: Path, array: np.ndarray) -> None:
    atomic_write(target, lambda file: np.save(file, array))
