"""Rules about checkpoints, as far as they are on this machine."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from internvideo.registry import WEIGHT_INITIALIZERS
from internvideo.structures.rehearsal import Finding

from .fake_model import build_on_meta
from .findings import one_line
from .parts import class_of, is_own
from .rehearsed_config import RehearsedConfig


def checkpoints(rehearsed: RehearsedConfig) -> Iterator[Finding]:
    """Weights to start from are there, and fit."""
    config = rehearsed.config
    for field, path in _checkpoint_fields(config['model'], 'model'):
        if not _is_remote(path) and not Path(path).is_file():
            yield Finding(field, f'{path} does not exist', True)
    for field in ('load_from', 'resume'):
        path = config.get(field)
        if isinstance(path, str) and path != 'auto' and not _is_remote(path):
            if not Path(path).is_file():
                yield Finding(field, f'{path} does not exist', True)
            else:
                yield from _own_weights(field, path, config['model'])
    if rehearsed.fake is not None:
        yield from _published_weights(rehearsed)


def _checkpoint_fields(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            if (
                key in ('checkpoint', 'extra', 'text')
                and isinstance(item, str)
                and 'init_cfg' in path
            ):
                yield f'{path}.{key}', item
            yield from _checkpoint_fields(item, f'{path}.{key}')


def _is_remote(path: str) -> bool:
    return '://' in path


def _own_weights(field: str, path: str, model: Mapping[str, Any]) -> Iterator[Finding]:
    from internvideo.checkpoint import load_checkpoint

    try:
        load_checkpoint(build_on_meta(model), path)
    except Exception as error:
        yield Finding(field, one_line(error))


def _published_weights(rehearsed: RehearsedConfig) -> Iterator[Finding]:
    built = build_on_meta(rehearsed.config['model'])
    places = [('model.init_cfg', built)]
    for name, teacher in getattr(built, 'frozen_teachers', {}).items():
        places.append((f'model.{name}.init_cfg', teacher.encoder))
    for field, module in places:
        init = rehearsed.at(field)
        if not isinstance(init, Mapping):
            continue
        if not is_own(class_of(init.get('type'), WEIGHT_INITIALIZERS)):
            continue
        path = init.get('checkpoint')
        if not isinstance(path, str) or _is_remote(path) or not Path(path).is_file():
            continue
        for part in module.modules():
            part._is_init = True  # there are no numbers to draw on the meta device
        try:
            WEIGHT_INITIALIZERS.build(dict(init))(module)
        except Exception as error:
            yield Finding(field, one_line(error))


FILE_RULES = (checkpoints,)
