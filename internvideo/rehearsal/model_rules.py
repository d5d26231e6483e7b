"""Rules about the model, and about what is fed to it."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from internvideo.structures.rehearsal import Finding

from .batches import BatchTemplate
from .fake_model import has_own_step, parameter_counts, wants_numbers
from .findings import one_line
from .rehearsed_config import TRAIN, RehearsedConfig


def items_fit(rehearsed: RehearsedConfig) -> Iterator[Finding]:
    """Batches of every loader have the shapes that the model is built for."""
    fake = rehearsed.fake
    if fake is None:
        return
    seen: set[tuple] = set()
    for name, observed in rehearsed.observed.items():
        for template in observed.templates:
            key = (name == TRAIN, *template.signature)
            # Validation and test often give equal batches, and a trace of a large model takes
            # seconds.
            if key in seen:
                continue
            seen.add(key)
            if name == TRAIN and has_own_step(fake.model):
                rehearsed.notes.append(f'{name}: the model has a train_step of its own: not traced')
                rehearsed.untraced.add(name)
                continue
            run = fake.trace if name == TRAIN else fake.predict
            items = 2 * template.per_row if name == TRAIN else template.per_row
            yield from _attempt(rehearsed, name, template, partial(run, template, items))


def _attempt(
    rehearsed: RehearsedConfig, name: str, template: BatchTemplate, run: Callable[[], Any]
) -> Iterator[Finding]:
    try:
        run()
    except Exception as error:  # a model of any kind may refuse in any way
        if wants_numbers(error):
            rehearsed.notes.append(
                f'{name}: a batch is not traced, the model needs its numbers: {one_line(error)}'
            )
            rehearsed.untraced.add(name)
        else:
            rehearsed.untraced.add(name)
            kind = template.kind or 'its clips'
            yield Finding(f'{name}.dataset', f'the model refuses {kind}: {one_line(error)}')


def trains_something(rehearsed: RehearsedConfig) -> Iterator[Finding]:
    """Some parameter takes gradients."""
    if not rehearsed.trains or rehearsed.fake is None:
        return
    if parameter_counts(rehearsed.model)[1] == 0:
        yield Finding('model.freeze', 'no parameter is trainable')


MODEL_RULES = (items_fit, trains_something)
