"""A copy of a config that is small in everything but its structure.

Types, transforms, losses, frames, classes and views stay; widths, depths, pictures, batches, data
and epochs shrink.  Every part of a model says itself what it is when it is small (its offer
``shrink``), in sizes that all parts share, so that what fitted together still does.
"""

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from internvideo.registry import DATASETS, MODELS
from internvideo.structures.rehearsal import SmallSizes

from .examples import LOADERS, ConfigExamples, MediaCache, with_example_vocabularies, with_examples
from .fake_model import build_on_meta, parameter_counts, wants_numbers
from .parts import class_of, is_own, parts_below
from .rehearsed_config import TRAIN, missing_files

SIZES = SmallSizes()
BATCH, STEPS, VALIDATED = 2, 2, 3
PIXEL_FIELDS = ('size', 'short_side', 'img_size')
SMALL_ENOUGH = 50_000_000
"""Parameters of a model that is tried as it is when parts of it do not say how they shrink."""
WORKERS_ONLY = ('persistent_workers', 'prefetch_factor')
SILENT_KEYS = ('data_preprocessor', 'init_cfg')


class NotRehearsedError(Exception):
    """Reason why a trial is not possible here without a fault."""


@dataclass(frozen=True)
class SmallConfig:
    """A config for a trial.

    Attributes:
        config: the config.
        notes: what is not as in a trial of parts that offer everything.
        is_shrunken: whether the model is.
    """

    config: dict[str, Any]
    notes: list[str]
    is_shrunken: bool


def small_config(
    config: Mapping[str, Any],
    work_dir: Path,
    cache: MediaCache,
    name: str,
    keeps_model: bool | None = None,
) -> SmallConfig:
    """The small copy, with example data, for one process.

    Args:
        config: the config.
        work_dir: where the run may write.
        cache: generated media.
        name: name of the run, unlike any other of this process.
        keeps_model: leave the model as it is; None: only where parts of a model that is small do
            not say how they shrink.

    Raises:
        NotRehearsedError: data that offer no example rows are not here.
    """
    small = copy.deepcopy(dict(config))
    silent = silent_parts(small['model'])
    if keeps_model is None:
        keeps_model = bool(silent) and is_small(small['model'])
    notes = [_silence(silent, keeps_model)] if silent else []
    model = without_weights(small['model']) if keeps_model else shrink_model(small['model'])
    small['model'] = with_example_vocabularies(model, cache)
    for key in LOADERS:
        if small.get(key):
            small[key] = _small_loader(small, key, work_dir, cache, not keeps_model)
    if small.get(TRAIN):
        _shrink_training(small)
    small.update(
        # One process without a group; the study has checked the strategy that the config names.
        strategy=dict(type='SingleDevice'),
        launcher='none',
        work_dir=str(work_dir / 'run'),
        experiment_name=name,
        load_from=None,
        resume=False,
        log_level='ERROR',
    )
    if small.get('compile'):
        small['compile'] = dict(backend='eager')  # code is still captured; compiling takes minutes
    return SmallConfig(small, notes, not keeps_model)


def shrink(
    config: Mapping[str, Any], work_dir: Path, cache: MediaCache, name: str
) -> dict[str, Any]:
    """The config of :func:`small_config`."""
    return small_config(config, work_dir, cache, name).config


def _silence(silent: list[str], keeps_model: bool) -> str:
    names = ', '.join(silent)
    verb = 'do not say how they shrink' if len(silent) > 1 else 'does not say how it shrinks'
    kept = 'the model is tried as it is' if keeps_model else 'it is tried in its own sizes'
    return f'{names} {verb}: {kept}'


def silent_parts(model: Mapping[str, Any]) -> list[str]:
    """Names of the parts of a model that others wrote and that do not say how they shrink."""
    kept = {key: value for key, value in model.items() if key not in SILENT_KEYS}
    found = [
        part.part_class.__name__
        for part in parts_below(kept, 'model', MODELS)
        if part.part_class is not None
        and not is_own(part.part_class)
        and part.offer('shrink') is None
        and isinstance(part.part_class, type)
    ]
    return list(dict.fromkeys(found))


def has_foreign_parts(model: Mapping[str, Any]) -> bool:
    """Whether some part of a model is not of this package."""
    return any(not is_own(part.part_class) for part in parts_below(model, 'model', MODELS))


def is_small(model: Mapping[str, Any]) -> bool:
    """Whether a model can be tried as it is."""
    try:
        return parameter_counts(build_on_meta(model))[0] <= SMALL_ENOUGH
    except Exception as error:  # what cannot be built is told elsewhere
        return wants_numbers(error)


def _shrink_training(small: dict[str, Any]) -> None:
    epochs = small['train_cfg'].get('max_epochs')
    small['train_cfg'] = _shrink_loop(small['train_cfg'])
    if isinstance(epochs, int) and epochs > 0:
        _shrink_schedule(small, epochs)
    if (small.get('optim_wrapper') or {}).get('dtype') == 'float16':
        small['optim_wrapper']['dtype'] = 'bfloat16'  # no GPU here


def without_weights(model: Any) -> Any:
    """A model's config with no weights to load."""
    if isinstance(model, list | tuple):
        return type(model)(without_weights(part) for part in model)
    if not isinstance(model, Mapping):
        return model
    kept = {key: without_weights(value) for key, value in model.items()}
    return kept | (dict(init_cfg=None) if 'init_cfg' in kept else {})


def shrink_model(model: Any, sizes: SmallSizes = SIZES) -> Any:
    """A model's config with small parts and no weights to load."""
    if isinstance(model, list | tuple):
        return type(model)(shrink_model(part, sizes) for part in model)
    if not isinstance(model, Mapping):
        return model
    kind = model.get('type')
    part_class = class_of(kind, MODELS) if kind is not None else None
    # A parent may ask for layers by number, as alignment does: all parts below it get deep enough.
    if hasattr(part_class, 'needed_depth'):
        sizes = replace(sizes, depth=max(sizes.depth, part_class.needed_depth(model)))
    # Inner parts first: what a part offers sees its children in their small sizes.
    small = {key: shrink_model(value, sizes) for key, value in model.items()}
    if 'init_cfg' in small:
        small['init_cfg'] = None
    return part_class.shrink(small, sizes) if hasattr(part_class, 'shrink') else small


def small_pictures(value: Any) -> Any:
    """A config whose transforms make small pictures."""
    if isinstance(value, Mapping):
        return {
            key: SIZES.side(item) if key in PIXEL_FIELDS else small_pictures(item)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return type(value)(small_pictures(item) for item in value)
    return value


def _small_loader(
    config: Mapping[str, Any], key: str, work_dir: Path, cache: MediaCache, shrinks_pictures: bool
) -> dict[str, Any]:
    loader = dict(config[key])
    trains = key == TRAIN
    accumulation = (config.get('optim_wrapper') or {}).get('accumulative_counts', 1)
    # Each member of a mixture gives a batch at least; one alone gives all steps.
    per_part = BATCH * (1 if len(_members(loader['dataset'])) > 1 else STEPS)
    rows = per_part * accumulation if trains else VALIDATED
    dataset = _small_dataset(loader['dataset'], config['model'], rows, work_dir, cache)
    if shrinks_pictures:
        dataset = small_pictures(dataset)
    # One worker shows whether items can be sent between processes; more would only cost start-up.
    workers = min(loader.get('num_workers', 0), 1) if trains else 0
    loader |= dict(dataset=dataset, num_workers=workers)
    if not workers:
        loader = {key: value for key, value in loader.items() if key not in WORKERS_ONLY}
    if isinstance(loader.get('batch_sampler'), Mapping):
        sampler = dict(loader['batch_sampler'])
        if 'batch_size' in sampler:
            sampler['batch_size'] = _small_batches(sampler['batch_size'])
        loader['batch_sampler'] = sampler
    if isinstance(loader.get('batch_size'), int) or not loader.get('batch_sampler'):
        loader['batch_size'] = min(loader.get('batch_size') or 1, BATCH)
    return loader


def _members(dataset: Mapping[str, Any]) -> list[Any]:
    """Parts that a data set is made of, if it says."""
    part_class = class_of(dataset.get('type'), DATASETS)
    return part_class.members(dataset) if hasattr(part_class, 'members') else []


def _small_dataset(
    dataset: Mapping[str, Any],
    model: Mapping[str, Any],
    rows: int,
    work_dir: Path,
    cache: MediaCache,
) -> dict[str, Any]:
    examples = ConfigExamples(model, cache, work_dir, rows)
    made = with_examples(dataset, examples)
    if not made.silent and not made.may_fail:
        return made.config
    if made.may_fail and _builds(made.config) is None:
        return made.config
    # The data set offers no rows that suit it: its own files may be here.
    error = _builds(dataset)
    lost = missing_files(dataset, 'dataset')
    if error is not None and (lost or isinstance(error, FileNotFoundError)):
        reason = f'{dataset["type"]} offers no example rows, and its files are not here'
        raise NotRehearsedError(reason)
    return dict(type='FirstRows', dataset=dict(dataset), rows=rows)


def _builds(dataset: Mapping[str, Any]) -> Exception | None:
    """Reason why a data set or its first item cannot be had, or None."""
    try:
        built = DATASETS.build(copy.deepcopy(dict(dataset)))
        _first(built)
    except Exception as error:  # a part of any kind may refuse in any way
        return error
    return None


def _first(dataset: Any) -> Any:
    try:
        return dataset[0]
    except (TypeError, IndexError):  # keys of another kind
        return dataset[0, 0]


def _small_batches(sizes: Any) -> Any:
    if isinstance(sizes, Mapping):
        return {kind: min(size, BATCH) for kind, size in sizes.items()}
    return min(sizes, BATCH)


def _shrink_loop(loop: Mapping[str, Any]) -> dict[str, Any]:
    changed = dict(loop)
    # All 1, so that the one epoch is validated whatever the config's interval is.
    for key in ('max_epochs', 'val_interval', 'val_begin'):
        if key in changed:
            changed[key] = 1
    if 'max_iters' in changed:
        changed['max_iters'] = STEPS
        changed['val_interval'] = STEPS
    return changed


def _shrink_schedule(config: dict[str, Any], epochs: int) -> None:
    for schedule in schedules_of(config):
        # The same share of the run: a warm-up longer than the one epoch would be refused.
        if schedule.get('warmup_epochs'):
            schedule['warmup_epochs'] = schedule['warmup_epochs'] / epochs
        if schedule.get('warmup_steps'):
            schedule['warmup_steps'] = 1


def schedules_of(config: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Every schedule of a config."""
    schedules = config.get('param_scheduler') or []
    yield from schedules if isinstance(schedules, list) else [schedules]
