"""JSON files in one piece, and files of one JSON record a line that many processes append to."""

import json
import os
from pathlib import Path
from typing import Any

from .atomic import atomic_write


def write_json(
    path: str | os.PathLike, value: Any, indent: int | None = 2, ensure_ascii: bool = True
) -> None:
    """Write ``value`` to ``path``, whole or not at all, with a line end."""
    text = json.dumps(value, indent=indent, ensure_ascii=ensure_ascii)
    atomic_write(path, f'{text}\n')


def append_json_line(file: str | os.PathLike, record: dict) -> None:
    """Append ``record`` as one line by a single write, so that processes never mix theirs."""
    Path(file).parent.mkdir(parents=True, exist_ok=True)
    line = (json.dumps(record, ensure_ascii=False) + '\n').encode()
    descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        # With O_APPEND the system puts a write at the end; a buffered file may split the line.
        os.write(descriptor, line)
    finally:
        os.close(descriptor)
