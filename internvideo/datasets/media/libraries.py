"""Decoder libraries, imported when a reader needs them and kept quiet."""

import importlib
from pathlib import Path
from types import ModuleType
from typing import Any


def optional_library(module: str, package: str) -> ModuleType:
    """Import a package that a reader needs, or raise ImportError with how to install it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(
            f'this reader needs the package {package!r}: pip install {package}'
        ) from error


def import_av() -> ModuleType:
    """Import PyAV, without the warnings that FFmpeg prints about media on standard error."""
    av = optional_library('av', 'av')
    # What matters of them comes back as an exception; the rest would flood the console.
    av.logging.set_libav_level(av.logging.PANIC)
    return av


def open_container(path: str, **options: Any) -> Any:
    """Open a file for reading with PyAV, in whatever encoding its titles and tags are."""
    return import_av().open(local_name(path), metadata_errors='replace', **options)


def local_name(path: str) -> str:
    """Name by which libraries find a file, and do not take ``12:30.mp4`` for an address."""
    return str(Path(path).absolute())


def library_version(name: str) -> str:
    """Name and version of a decoder package, such as ``'pyav 18.1.0'``."""
    from importlib.metadata import version

    package = dict(pyav='av').get(name, name)
    return f'{name} {version(package)}'
