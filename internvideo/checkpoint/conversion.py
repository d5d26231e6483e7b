"""Conversion of checkpoint files between a published layout and ours."""

import os
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from torch import nn

from internvideo.registry import CHECKPOINT_ADAPTERS

from .adapters.base import CheckpointAdapter, Direction
from .files import check_suffix, frame_sampling_fields, read_state_dict, write_state_dict
from .loading import build_adapter, load_checkpoint, load_weights
from .report import abbreviate

OURS, PUBLISHED = 'state_dict', 'model'
"""Entries of a ``.pth`` file that hold the weights in our layout, and in a published one."""


def convert(
    source: str | os.PathLike,
    target: str | os.PathLike,
    to: Literal['published', 'internvideo'],
    adapter: str | None = None,
    *,
    build_model: Callable[[], nn.Module] | None = None,
    options: Mapping[str, Any] | None = None,
    overwrite: bool = False,
    trusted_pickle: bool = False,
) -> str:
    """Write the checkpoint ``source`` in another layout to ``target``.

    Its choice of frames, if it says one, is kept.

    Args:
        source: what :func:`~internvideo.checkpoint.files.read_state_dict` reads.
        target: file to write: ``.safetensors``, ``.pth``, ``.pt`` or ``.bin``.
        to: the layout wanted.
        adapter: name of the published layout; None: the default.
        build_model: gives the model that the checkpoint must fit; None: entries are only renamed,
            bit for bit.
        options: of the adapter.
        overwrite: replace a file at ``target``.
        trusted_pickle: accept files with arbitrary Python objects.

    Returns:
        What was done, in a line.

    Raises:
        KeyError, TypeError: unknown adapter or option.
        DirectionError: the adapter lacks the direction; names those that it has.
        FileExistsError: ``target`` exists.
        ValueError: the file is of another layout, or converted already, or cannot be read.
        CheckpointMismatchError: the model does not fit.
    """
    target = _check_target(target, overwrite)
    # What cannot be done is said before a file is read, which may have many gigabytes.
    converter = build_adapter(adapter, **(options or {}))
    if to == 'published':
        converter.check_direction(Direction.PUBLISH)
    elif build_model is None:
        converter.check_direction(Direction.RENAME)
    if build_model is None:
        state = read_state_dict(source, trusted_pickle)
        count = f'{len(state)} entries'
        change = _to_published if to == 'published' else _to_ours
        converted = change(source, state, converter)
    else:
        model = build_model()
        count = type(model).__name__
        if to == 'published':
            load_checkpoint(model, source, trusted_pickle=trusted_pickle)
            converted = converter.to_published(model.state_dict())
        else:
            options = dict(layout='published', trusted_pickle=trusted_pickle)
            load_weights(model, source, converter, **options)
            converted = model.state_dict()
    container = PUBLISHED if to == 'published' else OURS
    write_state_dict(converted, target, container, frame_sampling_fields(source))
    return f'wrote {len(converted)} entries of {count} to {target}'


def directions_of(adapter: str) -> frozenset[Direction]:
    """Directions that the adapter of that name has."""
    return CHECKPOINT_ADAPTERS.get(adapter).directions


def _check_target(target: str | os.PathLike, overwrite: bool) -> Path:
    path = check_suffix(target)
    if path.is_dir():
        raise IsADirectoryError(f'{path} is a folder; name a file')
    if path.exists() and not overwrite:
        raise FileExistsError(f'{path} exists; name another file, or pass --overwrite')
    return path


def _to_ours(source: str | os.PathLike, state: Mapping, converter: CheckpointAdapter) -> dict:
    if converter.is_ours(state):
        raise ValueError(f'checkpoint {source} has the names of internvideo already')
    _check_layout(source, state, state, converter)
    return converter.rename(state)


def _to_published(source: str | os.PathLike, state: Mapping, converter: CheckpointAdapter) -> dict:
    if converter.is_published(state):
        raise ValueError(
            f'checkpoint {source} has the names of the published layout {converter.layout} already'
        )
    converted = converter.to_published(state)
    _check_layout(source, state, converted, converter)
    return converted


def _check_layout(
    source: str | os.PathLike,
    names: Collection[str],
    published: Collection[str],
    converter: CheckpointAdapter,
) -> None:
    if lost := converter.lacks(published):
        others = list(_layouts_like(published))
        hint = f'; it may be of the layout {" or ".join(others)} (--adapter)' if others else ''
        raise ValueError(
            f'checkpoint {source} is not of the layout {converter.layout}: it holds no '
            f'{", ".join(f"{part}*" for part in lost)}; its entries are {abbreviate(names)}{hint}'
        )


def _layouts_like(published: Collection[str]) -> Iterator[str]:
    for name in CHECKPOINT_ADAPTERS.known_names():
        if Direction.RENAME in directions_of(name) and not build_adapter(name).lacks(published):
            yield name
