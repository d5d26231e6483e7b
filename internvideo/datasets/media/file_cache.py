"""Results of files, remembered as long as their content does not change."""

import os
from collections import OrderedDict
from pathlib import Path
from threading import Lock
from typing import Any

from .errors import MediaError

CACHED_FILES = 1024

FileKey = tuple[int, ...]


def file_key(path: str | os.PathLike) -> FileKey:
    """Numbers that change whenever the content of a file does.

    Raises:
        MediaError: there is no such file, or it is empty.
    """
    try:
        state = Path(path).stat()
    except (OSError, ValueError) as error:
        missing = isinstance(error, FileNotFoundError | NotADirectoryError)
        raise MediaError(path, 'file not found' if missing else f'{error}') from None
    if Path(path).is_dir():
        raise MediaError(path, 'is a folder, not a file')
    if state.st_size == 0:
        raise MediaError(path, 'file is empty')
    # The time of the last change of the inode cannot be set back, unlike that of the content.
    return (state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns)


class FileCache:
    """The latest results of files by their content, for all threads of a process."""

    def __init__(self, size: int = CACHED_FILES) -> None:
        self.size = size
        self._kept: OrderedDict[Any, Any] = OrderedDict()
        self._lock = Lock()

    def get(self, key: Any) -> Any:
        """Get the result of a key, or None."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def put(self, key: Any, value: Any) -> None:
        """Keep a result, and forget what was not asked for the longest."""
        with self._lock:
            self._kept[key] = value
            while len(self._kept) > self.size:
                self._kept.popitem(last=False)
