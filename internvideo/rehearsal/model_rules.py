"""Rules about the model, and about what is fed to it."""

from collections.abc import Iterator, Mapping
from typing import Any

from .data_rules import TRAIN
from .dry_model import parameter_counts, trunk_of
from .findings import Finding, one_line
from .subject import Subject


def items_fit(subject: Subject) -> Iterator[Finding]:
    """Clips of every loader have the frames and the size that the model is built for."""
    if subject.dry is None:
        return
    seen: set[tuple[int, ...]] = set()
    for name, item in subject.items.items():
        if item.shape[1:] in seen:
            continue
        seen.add(item.shape[1:])
        shape = subject.batch_shape(name, item)
        try:
            if name == TRAIN:
                subject.dry.trace(shape, 2)
            else:
                subject.dry.predict(shape)
        except Exception as error:  # a model of any kind may refuse in any way
            yield Finding(f'{name}.dataset', f'the model refuses its clips: {one_line(error)}')


def trains_something(subject: Subject) -> Iterator[Finding]:
    """Some parameter takes gradients."""
    if subject.dry is not None and parameter_counts(subject.dry.model)[1] == 0:
        yield Finding('model.freeze', 'no parameter is trainable')


def recomputation(subject: Subject) -> Iterator[Finding]:
    """Activation checkpointing names blocks that there are."""
    for path, part in _parts(subject.config['model'], 'model'):
        number = part.get('checkpoint_num')
        if number is None:
            continue
        if number and part.get('use_checkpoint') is False:
            yield Finding(
                f'{path}.checkpoint_num', f'{number} has no effect with use_checkpoint=False'
            )
        depth = getattr(trunk_of(subject.dry and subject.dry.model), 'depth', None)
        if (
            path in ('model.backbone', 'model.vision_encoder')
            and depth is not None
            and not 0 <= number <= depth
        ):
            yield Finding(f'{path}.checkpoint_num', f'{number} of {depth} blocks')


def _parts(value: Any, path: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if isinstance(value, Mapping):
        yield path, value
        for key, item in value.items():
            yield from _parts(item, f'{path}.{key}')
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _parts(item, f'{path}.{index}')


MODEL_RULES = (items_fit, trains_something, recomputation)
