"""Files and folders that are whole or not there: a temporary name first, then a rename.

A kill at any instant leaves what stood at the target before, never half of something new.
"""

import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

TEMPORARY_PREFIX = '.writing-'
"""Beginning of the names of files that are not whole yet."""


class PendingFile:
    """A file or folder that gets its name once it is whole.

    Args:
        target: its name to be; a link stays one, and the file that it leads to is replaced.
        single_writer: no other process writes this target.  What a killed writer left is then
            overwritten; otherwise every writer has a temporary name of its own.
        sync: flush to the disk before the rename, and the rename itself, so that a power cut
            leaves no empty file either.

    Attributes:
        path: where to write: beside the target, hidden, with the target's suffix.
    """

    def __init__(
        self, target: str | os.PathLike, *, single_writer: bool = False, sync: bool = True
    ) -> None:
        target = Path(target)
        self.target = target.resolve() if target.is_symlink() else target
        # Beside the target, since a rename is atomic only within one file system.
        mark = '' if single_writer else f'{uuid.uuid4().hex[:8]}-'
        self.path = self.target.with_name(f'{TEMPORARY_PREFIX}{mark}{self.target.name}')
        self._sync = sync

    def commit(self) -> None:
        """Give the file its name, or remove it and raise OSError."""
        try:
            _share(self.path)
            if self._sync:
                _sync_tree(self.path)
            self.path.replace(self.target)
        except BaseException:
            # After Ctrl-C as well, hence BaseException.
            self.discard()
            raise
        if self._sync:
            _sync_entry(self.target.parent)  # the rename itself must survive a power cut

    def discard(self) -> None:
        """Remove what was written so far."""
        if self.path.is_dir():
            shutil.rmtree(self.path)
        else:
            self.path.unlink(missing_ok=True)


@contextmanager
def atomic_path(
    target: str | os.PathLike,
    *,
    single_writer: bool = False,
    sync: bool = True,
    make_parents: bool = True,
) -> Iterator[Path]:
    """Give a temporary path to fill with a file or folder, which then becomes ``target``.

    Args:
        target: its name to be.
        single_writer, sync: see :class:`PendingFile`.
        make_parents: make the folders above it that are missing.
    """
    pending = PendingFile(target, single_writer=single_writer, sync=sync)
    if make_parents:
        pending.target.parent.mkdir(parents=True, exist_ok=True)
    # Left by a killed writer. A file needs no removal, it is overwritten.
    if single_writer and pending.path.is_dir():
        pending.discard()
    try:
        yield pending.path
    except BaseException:
        pending.discard()
        raise
    pending.commit()


def atomic_write(
    target: str | os.PathLike,
    content: str | bytes | Callable[[IO[bytes]], Any],
    **options: bool,
) -> None:
    """Write text (UTF-8), bytes, or what a function writes into a binary stream.

    Args:
        target: its name to be.  A pipe or device (``/dev/stdout``) is written to directly.
        content: what to write.
        **options: of :func:`atomic_path`.
    """
    fill = content if callable(content) else _filler(content)
    target = Path(target)
    if target.exists() and not (target.is_file() or target.is_dir()):
        with target.open('wb') as file:
            fill(file)
        return
    with atomic_path(target, **options) as path, path.open('wb') as file:
        fill(file)


def _filler(content: str | bytes) -> Callable[[IO[bytes]], Any]:
    data = content.encode() if isinstance(content, str) else content
    return lambda file: file.write(data)


def is_temporary(path: Path) -> bool:
    """Whether a file (or folder) is not whole yet, or was left by a killed writer."""
    return path.name.startswith(TEMPORARY_PREFIX)


def remove_temporary_files(directory: str | os.PathLike) -> None:
    """Remove the files that killed writers left in ``directory`` while nobody writes there."""
    for leftover in Path(directory).glob(f'{TEMPORARY_PREFIX}*'):
        if leftover.is_file():
            leftover.unlink(missing_ok=True)


def _share(path: Path) -> None:
    """Give a file that a library made private (safetensors does) the mode of any new file."""
    if path.is_dir() or path.stat().st_mode & 0o077:
        return
    # A new file shows the mode; asking for the umask would change it for other threads.
    probe = path.with_name(f'{path.name}.mode')
    probe.touch()
    path.chmod(probe.stat().st_mode & 0o777)
    probe.unlink()


def _sync_tree(path: Path) -> None:
    if path.is_dir():
        for inner in path.iterdir():
            _sync_tree(inner)
    _sync_entry(path)


def _sync_entry(path: Path) -> None:
    # Read-only, the one way to open a folder; fsync does not mind.
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
