"""Decoder libraries, imported when a reader needs them and kept quiet."""

import importlib
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from .errors import MediaError, decoder_reason

LISTS = frozenset({'concat', 'hls', 'dash', 'imf', 'sdp', 'webm_dash_manifest', 'image2', 'lavfi'})
"""FFmpeg's formats of files that refer to other files or addresses."""


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


def open_container(path: str, options: Mapping[str, str] | None = None, **more: Any) -> Any:
    """Open a file for reading with PyAV, in whatever encoding its titles and tags are.

    Raises:
        MediaError: it cannot be opened, or only names other files, whose frames would pass for its
            own.
    """
    av, options = import_av(), dict(options or {}, protocol_whitelist='file')
    try:
        container = av.open(local_name(path), options=options, metadata_errors='replace', **more)
    except (av.FFmpegError, OSError, ValueError) as error:
        raise MediaError(path, decoder_reason(error, 'cannot be opened')) from None
    name = container.format.name
    if name in LISTS:
        container.close()
        raise MediaError(path, f'is a list of other files ({name}); give those')
    return container


def local_name(path: str) -> str:
    """Name by which libraries find a file, and do not take ``12:30.mp4`` for an address."""
    return str(Path(path).absolute())


def library_version(name: str) -> str:
    """Name and version of a decoder package, such as ``'pyav 18.1.0'``."""
    from importlib.metadata import version

    package = dict(pyav='av').get(name, name)
    return f'{name} {version(package)}'
