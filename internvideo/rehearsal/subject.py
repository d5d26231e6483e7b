"""What the rules look at: a config, one item of each of its data sets, and its dry model."""

import copy
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from internvideo.registry import DATASETS

from .dry_model import ClipShape, DryModel
from .findings import Finding, one_line
from .generated_data import LOADERS, MediaCache, generated_dataset
from .generated_media import is_multimodal
from .media_items import DEFAULT_LENGTH, MediaShape, testing_shapes, training_shapes
from .memory import layout_of
from .question_items import QuestionShape, asks, question_shape
from .vocabularies import FIXED_CONTEXT

PASSES = 5
"""Epochs of which the same row is compared, to see whether a pipeline draws at random."""


@dataclass(frozen=True)
class Item:
    """What a data set gives for one row.

    Attributes:
        shape: (V, C, T, H, W).
        repeats: clips made of one row.
        is_random: other epochs give other clips.
        has_label: whether it carries a class.
    """

    shape: tuple[int, ...]
    repeats: int
    is_random: bool
    has_label: bool


@dataclass
class Subject:
    """A config under rehearsal.

    Attributes:
        config: the config, resolved.
        world_size: processes it is meant for.
        items: one generated item per loader; loaders whose data set fails are absent.
        dry: the model without memory, None when it cannot be built.
        clip: shape of a training clip, None when unknown.
        shapes: of media with texts: one shape a medium, by loader.
    """

    config: Mapping[str, Any]
    world_size: int
    items: dict[str, Item] = field(default_factory=dict)
    dry: DryModel | None = None
    clip: ClipShape | QuestionShape | None = None
    shapes: dict[str, list[MediaShape]] = field(default_factory=dict)

    @property
    def trains(self) -> bool:
        """Whether the config trains; others only test."""
        return self.config.get('train_dataloader') is not None

    @property
    def is_multimodal(self) -> bool:
        """Whether the data are media with texts."""
        return is_multimodal(self.config)

    @property
    def loaders(self) -> dict[str, Mapping[str, Any]]:
        """The loaders that the config has, by name."""
        found = {name: self.config.get(name) for name in LOADERS}
        return {name: loader for name, loader in found.items() if loader and 'dataset' in loader}

    @property
    def num_classes(self) -> int | None:
        """Classes of the model's head, if it has such a head."""
        return (self.config['model'].get('head') or {}).get('num_classes')

    @property
    def clips_per_batch(self) -> int:
        """Clips of one training batch on one process."""
        loader = self.config['train_dataloader']
        return loader['batch_size'] * loader['dataset'].get('num_repeats', 1)

    @property
    def asks(self) -> bool:
        """Whether the data are questions about clips."""
        return any(asks(loader['dataset']) for loader in self.loaders.values())

    def batch_shape(self, name: str, item: Item) -> ClipShape | QuestionShape:
        """What a batch of the loader ``name``, of whose items ``item`` is one, consists of."""
        dataset = self.loaders[name]['dataset']
        if asks(dataset):
            return question_shape(dataset, self.config['model'], item.shape[1:])
        return ClipShape(*item.shape, num_classes=self.num_classes)

    def batch_of(self, media: str) -> int:
        """Items of one training batch of a medium on one process."""
        sizes = self.config['train_dataloader']['batch_sampler']['batch_size']
        return sizes[media] if isinstance(sizes, Mapping) else sizes


def load_item(dataset_config: Mapping[str, Any]) -> Item:
    """The first item of a data set whose files are there.

    Raises:
        ValueError: it is not what :func:`~internvideo.datasets.collate.collate_clips` takes.
        Exception: what building the data set, or its pipeline, raises.
    """
    dataset = DATASETS.build(copy.deepcopy(dict(dataset_config)))
    passes = (_repeats(dataset[(epoch, 0)]) for epoch in range(PASSES))
    group = next(passes)
    first = group[0]
    inputs = _clip_of(first)
    if isinstance(inputs, torch.Tensor) and inputs.ndim == 5 and inputs.dtype == torch.uint8:
        others = itertools.chain(group[1:], itertools.chain.from_iterable(passes))
        return Item(
            shape=tuple(inputs.shape),
            repeats=len(group),
            is_random=any(not torch.equal(inputs, _clip_of(other)) for other in others),
            has_label='gt_label' in first['data_samples'],
        )
    if isinstance(first, Mapping) and 'data_samples' in first and inputs is None:
        raise ValueError(
            f'generated media cannot be read: {first["data_samples"].get("unreadable")}'
        )
    raise ValueError(
        'the pipeline does not end in uint8 clips (V, C, T, H, W); is PackInputs last?'
    )


def _clip_of(item: Any) -> torch.Tensor | None:
    """The clip of an item, with an axis of views; None when it has none."""
    inputs = item.get('inputs') if isinstance(item, Mapping) else None
    return inputs['video'][None] if isinstance(inputs, Mapping) else inputs


def _repeats(item: Any) -> list[Any]:
    return item if isinstance(item, list) else [item]


def load_items(subject: Subject, cache: MediaCache, folder: Path) -> Iterator[Finding]:
    """Fill ``subject.items``; a data set that fails is a finding."""
    for name, loader in subject.loaders.items():
        try:
            generated = generated_dataset(
                loader['dataset'], subject.config['model'], 2, cache, folder
            )
            if subject.is_multimodal:
                subject.shapes[name] = load_shapes(subject, name, generated)
            else:
                subject.items[name] = load_item(generated)
        except Exception as error:  # a part of any kind may refuse in any way
            yield Finding(f'{name}.dataset', one_line(error))


def load_shapes(subject: Subject, name: str, dataset: Mapping[str, Any]) -> list[MediaShape]:
    """Shapes of what a loader of media and texts gives from the generated ``dataset``.

    Raises what building or reading the data raises.
    """
    tokenizer = (subject.config['model'].get('data_preprocessor') or {}).get('tokenizer') or {}
    length = tokenizer.get('max_length', DEFAULT_LENGTH)
    loader = dict(subject.loaders[name], dataset=dataset)
    if name != 'train_dataloader':
        return testing_shapes(loader, length)
    sampler = dict(loader['batch_sampler'], batch_size=1)
    is_fixed = tokenizer.get('type') in FIXED_CONTEXT
    return training_shapes(dict(loader, batch_sampler=sampler), length, is_fixed)


def build_dry_model(subject: Subject) -> Iterator[Finding]:
    """Fill ``subject.dry`` and ``subject.clip``; a model that cannot be built is a finding."""
    item = subject.items.get('train_dataloader')
    if item is not None:
        subject.clip = subject.batch_shape('train_dataloader', item)
    precision = 'amp'
    if subject.is_multimodal and subject.trains:  # several traces: only those that count
        precision = layout_of(subject.config.get('strategy'), subject.world_size).trace_precision
    try:
        subject.dry = DryModel(subject.config['model'], precision)
    except Exception as error:
        yield Finding('model', one_line(error))
