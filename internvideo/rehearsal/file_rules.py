"""Rules about files: lists, media and checkpoints, as far as they are on this machine."""

import copy
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from internvideo.datasets.formats.annotations import AnnotationList
from internvideo.registry import DATASETS, WEIGHT_INITIALIZERS

from .dry_model import build_on_meta, teachers_of
from .findings import Finding, one_line
from .subject import Subject

PROBED_ROWS = 5


def lists_and_media(subject: Subject) -> Iterator[Finding]:
    """Annotation lists parse, their labels are in range, and their media are where they say."""
    for name, loader in subject.loaders.items():
        dataset = loader['dataset']
        if 'ann_file' not in dataset:
            continue
        names, path = dataset.get('classes'), Path(str(dataset['ann_file']))
        if isinstance(names, str) and not Path(names).is_file():
            yield Finding(f'{name}.dataset.classes', f'{names} does not exist', True)
        if not path.is_file():
            yield Finding(f'{name}.dataset.ann_file', f'{path} does not exist', True)
            continue
        try:
            rows = AnnotationList(
                path, dataset.get('columns', ('path', 'label')), dataset.get('delimiter')
            )
            rows.check(dataset.get('num_classes'))
        except ValueError as error:
            yield Finding(f'{name}.dataset.ann_file', one_line(error))
            continue
        yield from _media(name, dataset, len(rows))


def _media(name: str, dataset: Mapping[str, Any], count: int) -> Iterator[Finding]:
    """Open a few rows spread over the list."""
    try:
        built = DATASETS.build(copy.deepcopy(dict(dataset)) | dict(test_mode=True, num_repeats=1))
    except Exception as error:
        yield Finding(f'{name}.dataset', one_line(error))
        return
    yield from readable_media(name, built, count)


def readable_media(name: str, built: Any, count: int) -> Iterator[Finding]:
    """Media of a few of the ``count`` items of a test's data set can be read."""
    try:
        step = max(count // PROBED_ROWS, 1)
        items = [built[row] for row in range(0, count, step)[:PROBED_ROWS]]
    except Exception as error:
        yield Finding(f'{name}.dataset', one_line(error))
        return
    reasons = [
        f'{item["data_samples"].path}: {item["data_samples"].unreadable}'
        for item in items
        if isinstance(item, Mapping) and item.get('inputs') is None
    ]
    if reasons:
        yield Finding(
            f'{name}.dataset.data_prefix',
            f'{len(reasons)} of {len(items)} media tried cannot be read, first {reasons[0]}',
        )


def checkpoints(subject: Subject) -> Iterator[Finding]:
    """Weights to start from are there, and fit."""
    config = subject.config
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
    if subject.dry is not None:
        yield from _published_weights(config['model'])


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


def _published_weights(model: Mapping[str, Any]) -> Iterator[Finding]:
    built = build_on_meta(model)
    places = [('model.init_cfg', model.get('init_cfg'), built)]
    for teacher in teachers_of(built):
        name = next(key for key, value in vars(built.targets).items() if value is teacher)
        places.append(
            (f'model.targets.{name}.init_cfg', model['targets'][name]['init_cfg'], teacher.encoder)
        )
    for field, init, module in places:
        path = (init or {}).get('checkpoint')
        if not isinstance(path, str) or _is_remote(path) or not Path(path).is_file():
            continue
        try:
            WEIGHT_INITIALIZERS.build(dict(init))(module)
        except Exception as error:
            yield Finding(field, one_line(error))


FILE_RULES = (lists_and_media, checkpoints)
