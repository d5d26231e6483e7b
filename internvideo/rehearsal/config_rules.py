"""Rules about loaders, classes and what the parts of a config say of themselves."""

from collections.abc import Iterator

from internvideo.registry import MODELS
from internvideo.structures.rehearsal import Finding

from .examples import class_count
from .findings import one_line
from .parts import class_of, is_own, parts_of
from .rehearsed_config import TRAIN, RehearsedConfig


def parts(rehearsed: RehearsedConfig) -> Iterator[Finding]:
    """Findings of the parts themselves (their offer ``check_config``)."""
    for part in parts_of(rehearsed.config):
        check = part.offer('check_config')
        if check is None:
            continue
        try:
            yield from check(part.config, part.field, rehearsed)
        except (KeyError, TypeError, AttributeError) as error:
            # A field is missing or of another kind than every config has.
            yield Finding(part.field, f'cannot be judged: {one_line(error)}')


def sizes(rehearsed: RehearsedConfig) -> Iterator[Finding]:
    """Batches and workers are whole, sensible numbers."""
    for name, loader in rehearsed.loaders.items():
        if (loader.get('batch_size') or 1) < 1:
            yield Finding(f'{name}.batch_size', f'{loader["batch_size"]} clips')
        if loader.get('num_workers', 0) < 0:
            yield Finding(f'{name}.num_workers', f'{loader["num_workers"]} workers')


def order(rehearsed: RehearsedConfig) -> Iterator[Finding]:
    """Training data is shuffled."""
    sampler = (rehearsed.loaders.get(TRAIN) or {}).get('sampler') or {}
    if sampler.get('shuffle', True) is False:
        yield Finding(
            f'{TRAIN}.sampler', f'{sampler.get("type")} gives training data in one fixed order'
        )


def draws(rehearsed: RehearsedConfig) -> Iterator[Finding]:
    """Check that evaluation is repeatable and repeated augmentation draws."""
    for name, item in rehearsed.observed.items():
        repeats = rehearsed.loaders[name]['dataset'].get('num_repeats', 1)
        if name == TRAIN and repeats > 1 and item.is_random is False:
            yield Finding(
                f'{name}.dataset.num_repeats',
                f'num_repeats={repeats}, but nothing in the pipeline is drawn at random: '
                'the same clip again',
            )
        is_test = rehearsed.loaders[name]['dataset'].get(
            'test_mode'
        )  # it says that it repeats itself
        if name != TRAIN and item.is_random and is_test:
            yield Finding(f'{name}.dataset.pipeline', 'draws at random: results differ each time')


def classes(rehearsed: RehearsedConfig) -> Iterator[Finding]:
    """The model's head has the classes of the data."""
    place, own = class_count(rehearsed.config['model'])
    if own is None:
        return
    head = class_of((rehearsed.at(place.rpartition('.')[0]) or {}).get('type'), MODELS)
    for name, loader in rehearsed.loaders.items():
        given = _classes_of(rehearsed, name)
        if given is None or given == own:
            continue
        # A head that others wrote may keep a class for the background.
        if given > own or is_own(head) or own - given > 1:
            field = 'num_classes' if 'num_classes' in loader['dataset'] else 'classes'
            yield Finding(
                f'{name}.dataset.{field}', f'{given} classes, the head ({place}) has {own}'
            )


def _classes_of(rehearsed: RehearsedConfig, loader: str) -> int | None:
    """Classes of a loader's data: what the built data set declares, else what its config says."""
    found = rehearsed.observed.get(loader)
    if found is not None:
        return found.num_classes
    dataset = rehearsed.loaders[loader]['dataset']
    names = dataset.get('classes')
    given = len(names) if isinstance(names, list | tuple) else None
    return dataset.get('num_classes', given)


CONFIG_RULES = (parts, sizes, order, draws, classes)
