"""Rules about loaders, data sets and what they feed to the model."""

from collections.abc import Iterator, Mapping
from typing import Any

from internvideo.registry import DATA_SAMPLERS

from .findings import Finding
from .run_plan import count_samples
from .subject import Subject

TRAIN = 'train_dataloader'
DRAWN_MODES = ('train', 'rand')
"""Modes of sampling that draw frames at random."""


def roles_of_loaders(subject: Subject) -> Iterator[Finding]:
    """Training data is drawn, replaced when broken and shuffled; evaluation data is none of it."""
    for name, loader in subject.loaders.items():
        dataset, trains = loader['dataset'], name == TRAIN
        if bool(dataset.get('test_mode')) == trains:
            word = 'must not' if trains else 'must'
            yield Finding(f'{name}.dataset.test_mode', f'{name} {word} have test_mode=True')
        mode = (dataset.get('sampling') or {}).get('mode')
        is_even = isinstance(mode, str) and mode.startswith('fps')  # does for both
        if mode is not None and not is_even and (mode in DRAWN_MODES) != trains:
            yield Finding(f'{name}.dataset.sampling.mode', f'mode={mode!r} in {name}')
        if not trains and dataset.get('num_repeats', 1) > 1:
            yield Finding(
                f'{name}.dataset.num_repeats', 'repeated augmentation counts samples twice here'
            )
        yield from _sampler_role(name, loader.get('sampler') or {}, trains)


def _sampler_role(name: str, sampler: Mapping[str, Any], trains: bool) -> Iterator[Finding]:
    kind = sampler.get('type')
    if not isinstance(kind, str) or kind not in DATA_SAMPLERS:
        return
    by_epoch = hasattr(DATA_SAMPLERS.get(kind), 'set_epoch')
    if trains and (not by_epoch or sampler.get('shuffle', True) is False):
        yield Finding(f'{name}.sampler', f'{kind} gives training data in one fixed order')
    if not trains and by_epoch:
        yield Finding(
            f'{name}.sampler', f'{kind} leaves out or repeats samples; evaluate with EvalSampler'
        )


def draws_of_pipelines(subject: Subject) -> Iterator[Finding]:
    """Evaluation repeats itself; training that repeats an augmentation draws one."""
    for name, item in subject.items.items():
        if name == TRAIN and item.repeats > 1 and not item.is_random:
            yield Finding(
                f'{name}.dataset.num_repeats',
                f'num_repeats={item.repeats}, but nothing in the pipeline is drawn at random: '
                'the same clip again',
            )
        if name == TRAIN and item.shape[0] > 1:
            yield Finding(
                f'{name}.dataset.pipeline',
                f'a training clip has {item.shape[0]} views, as only tests have (num_views, crops)',
            )
        if name != TRAIN and item.is_random:
            yield Finding(f'{name}.dataset.pipeline', 'draws at random: results differ each time')


def classes(subject: Subject) -> Iterator[Finding]:
    """Head, mixing, lists and metrics have the same number of classes."""
    own = subject.num_classes
    if own is None:
        return
    for name, loader in subject.loaders.items():
        dataset = loader['dataset']
        given = dataset.get('num_classes')
        names = dataset.get('classes')
        if given is None and isinstance(names, list | tuple):
            given = len(names)
        if given is not None and given != own:
            yield Finding(
                f'{name}.dataset.num_classes', f'{given} classes, the head (model.head) has {own}'
            )
        item = subject.items.get(name)
        if item is not None and not item.has_label:
            yield Finding(f'{name}.dataset.columns', 'the rows have no label, the head needs one')
    for index, augment in enumerate(_augments(subject)):
        if augment.get('num_classes') not in (None, own):
            yield Finding(
                f'model.data_preprocessor.batch_augments.{index}.num_classes',
                f'{augment["num_classes"]} classes, the head has {own}',
            )
    for name in ('val_evaluator', 'test_evaluator'):
        evaluators = subject.config.get(name) or []
        for part in evaluators if isinstance(evaluators, list | tuple) else [evaluators]:
            if max(part.get('topk') or (1,)) > own:
                yield Finding(f'{name}.topk', f'{part["topk"]} among {own} classes')


def _augments(subject: Subject) -> list[Mapping[str, Any]]:
    preprocessor = subject.config['model'].get('data_preprocessor') or {}
    return list(preprocessor.get('batch_augments') or ())


def mixing(subject: Subject) -> Iterator[Finding]:
    """Mixing pairs the clips of a batch, so every batch is even."""
    mixes = any(augment.get('type') == 'MixupCutmix' for augment in _augments(subject))
    loader = subject.loaders.get(TRAIN)
    if not mixes or loader is None:
        return
    size, repeats = loader['batch_size'], loader['dataset'].get('num_repeats', 1)
    if size * repeats % 2:
        yield Finding(
            f'{TRAIN}.batch_size', f'{size} x {repeats} repeats is odd; MixupCutmix pairs the clips'
        )
        return
    try:
        samples, counted = count_samples(loader['dataset'])
    except (ValueError, OSError):
        return  # the rule about files says why
    last = samples // subject.world_size % size
    if counted and not loader.get('drop_last') and last * repeats % 2:
        yield Finding(
            f'{TRAIN}.drop_last',
            f'the last batch of an epoch has {last} clips, an odd number that MixupCutmix refuses',
        )


def splits(subject: Subject) -> Iterator[Finding]:
    """What is evaluated was not trained on."""
    lists = {name: loader['dataset'].get('ann_file') for name, loader in subject.loaders.items()}
    for name, path in lists.items():
        if name != TRAIN and path is not None and path == lists.get(TRAIN):
            yield Finding(f'{name}.dataset.ann_file', f'{path} is the training list')


def mirroring(subject: Subject) -> Iterator[Finding]:
    """Labels of Something-Something tell left from right."""
    loader = subject.loaders.get(TRAIN)
    if loader is None or 'ssv' not in str(loader['dataset'].get('ann_file')).lower():
        return
    for index, step in enumerate(loader['dataset'].get('pipeline') or ()):
        if step.get('type') == 'RandomFlip' and step.get('prob', 0.5) > 0:
            yield Finding(
                f'{TRAIN}.dataset.pipeline.{index}',
                'RandomFlip turns left into right, which the labels of Something-Something name',
            )


def pixel_scale(subject: Subject) -> Iterator[Finding]:
    """Mean and deviation are on the scale of the pixels, 0..255."""
    preprocessor = subject.config['model'].get('data_preprocessor') or {}
    for name in ('mean', 'std'):
        values = preprocessor.get(name)
        if values and max(values) <= 1:
            yield Finding(
                f'model.data_preprocessor.{name}', f'{list(values)} is not on the scale 0..255'
            )


def sizes(subject: Subject) -> Iterator[Finding]:
    """Batches and workers are whole, sensible numbers."""
    for name, loader in subject.loaders.items():
        if loader.get('batch_size', 1) < 1:
            yield Finding(f'{name}.batch_size', f'{loader["batch_size"]} clips')
        if loader.get('num_workers', 0) < 0:
            yield Finding(f'{name}.num_workers', f'{loader["num_workers"]} workers')


DATA_RULES = (
    roles_of_loaders,
    draws_of_pipelines,
    classes,
    mixing,
    splits,
    mirroring,
    pixel_scale,
    sizes,
)
