"""Batches of the real pipeline, and fake ones like them."""

import copy
import inspect
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from mmengine.structures import BaseDataElement
from torch import Tensor

from internvideo.registry import DATA_SAMPLERS, DATASETS, FUNCTIONS

PASSES = 5
"""Epochs of which the same row is compared, to see whether a pipeline draws at random."""
TRAINED, TESTED = (2, 4), (1, 2)
"""Sizes of the two batches that are compared; some parts of a training want even ones."""
MOST_BATCHES = 64
"""Batches of a batch sampler that are looked at."""


@dataclass(frozen=True)
class _FakeTensor:
    """Shape of a tensor, and which of its axes grow with the items of a batch."""

    shape: tuple[int, ...]
    grows: tuple[bool, ...]
    dtype: torch.dtype


@dataclass(frozen=True)
class _FakeList:
    """Members of a list or tuple, and whether it grows with the items of a batch."""

    kind: type
    members: list[Any]
    grows: bool


class BatchTemplate:
    """Structure of the batches that a model is given, from which fake ones are made.

    Items are what the first tensor has one entry of each: clips, several of a row with repeated
    augmentation.

    Args:
        small, large: a batch, and one of twice as many items; nested dicts, lists, data samples.
        rows: rows of the data set in the small one.
        kind: what tells batches of one loader apart, empty where all are alike.
    """

    def __init__(self, small: Any, large: Any, rows: int, kind: str = '') -> None:
        self.kind = kind
        self.tree = _compare(small, large)
        self.items = next(_growing(self.tree), rows)
        self.per_row = max(self.items // rows, 1)

    def batch(self, items: int, dtype: torch.dtype = torch.float32) -> Any:
        """Make a batch of ``items`` items with floating-point tensors in ``dtype``."""
        return _grown(self.tree, items, self.items, dtype)

    @property
    def tensors(self) -> list[_FakeTensor]:
        """Every tensor of the small batch."""
        return list(_tensors(self.tree))

    @property
    def frames(self) -> int:
        """Number of frames of a clip (..., C, T, H, W), or 0 when the batch holds none."""
        clips = (tensor.shape for tensor in self.tensors if len(tensor.shape) >= 5)
        return next((shape[-3] for shape in clips), 0)

    @property
    def numel(self) -> int:
        """Numbers in the small batch."""
        return sum(torch.Size(tensor.shape).numel() for tensor in self.tensors)

    @property
    def signature(self) -> tuple:
        """Kind and shapes of all but text, equal for batches that cost the same."""
        shapes = [
            t.shape for t in self.tensors if t.dtype.is_floating_point or t.dtype is torch.uint8
        ]
        return (self.kind, *shapes)


def _compare(small: Any, large: Any) -> Any:
    if isinstance(small, Tensor):
        pairs = list(zip(small.shape, large.shape, strict=False))
        # An axis that doubles with the number of items is the batch's (or a flattened one); any
        # other is a size of the model's.
        grows = tuple(0 < a != b == 2 * a for a, b in pairs)
        return _FakeTensor(tuple(small.shape), grows, small.dtype)
    if isinstance(small, Mapping):
        return {key: _compare(item, large[key]) for key, item in small.items()}
    if isinstance(small, BaseDataElement):
        return _Sample(small)
    # A named tuple takes its fields one by one, and its length says nothing of the batch.
    if isinstance(small, list | tuple) and not hasattr(small, '_fields'):
        grows = len(large) == 2 * len(small) > 0
        members = [_compare(a, b) for a, b in zip(small, large, strict=False)]
        return _FakeList(type(small), members, grows)
    return small


def _growing(tree: Any) -> Iterator[int]:
    """Number of entries along the axes that grow with the batch."""
    if isinstance(tree, _FakeTensor):
        yield from (size for size, grows in zip(tree.shape, tree.grows, strict=True) if grows)
    elif isinstance(tree, Mapping):
        for item in tree.values():
            yield from _growing(item)
    elif isinstance(tree, _FakeList) and tree.grows:
        yield len(tree.members)
    elif isinstance(tree, _FakeList):
        for item in tree.members:
            yield from _growing(item)


class _Sample:
    """A data sample, of whose tensors only shapes matter."""

    def __init__(self, sample: BaseDataElement) -> None:
        self.sample = sample

    def copy(self) -> BaseDataElement:
        made = self.sample.clone()
        for name, value in self.sample.items():
            if isinstance(value, Tensor):
                made.set_field(torch.empty(value.shape, dtype=value.dtype), name)
            elif isinstance(value, BaseDataElement):
                made.set_field(_Sample(value).copy(), name)
        return made


def _grown(tree: Any, items: int, base: int, dtype: torch.dtype) -> Any:
    if isinstance(tree, _FakeTensor):
        axes = zip(tree.shape, tree.grows, strict=True)
        shape = [size * items // base if grows else size for size, grows in axes]
        return torch.empty(shape, dtype=dtype if tree.dtype.is_floating_point else tree.dtype)
    if isinstance(tree, Mapping):
        return {key: _grown(item, items, base, dtype) for key, item in tree.items()}
    if isinstance(tree, _FakeList):
        count = len(tree.members) * items // base if tree.grows else len(tree.members)
        members = itertools.islice(itertools.cycle(tree.members), count)
        return tree.kind(_grown(member, items, base, dtype) for member in members)
    return tree.copy() if isinstance(tree, _Sample) else tree


def _tensors(tree: Any) -> Iterator[_FakeTensor]:
    if isinstance(tree, _FakeTensor):
        yield tree
    elif isinstance(tree, Mapping):
        for item in tree.values():
            yield from _tensors(item)
    elif isinstance(tree, _FakeList):
        for item in tree.members[:1] if tree.grows else tree.members:
            yield from _tensors(item)


@dataclass(frozen=True)
class Observed:
    """Items and batches of a loader.

    Attributes:
        templates: its batches as the model gets them, one of every kind.
        shape: of the first tensor of an item; empty when it holds none.
        repeats: samples made of one row.
        is_random: other epochs give other items; None when it cannot be asked for them.
        num_classes: what the data set declares, or None.
        sets: evaluation set -> its task, where the data consist of sets.
    """

    templates: list[BatchTemplate] = field(default_factory=list)
    shape: tuple[int, ...] = ()
    repeats: int = 1
    is_random: bool | None = None
    num_classes: int | None = None
    sets: dict[str, str] = field(default_factory=dict)


Prepare = Callable[[Any, bool], Any]
"""(batch as collated, whether it is for training) -> batch as the model gets it."""


def observe(loader: Mapping[str, Any], is_training: bool, prepare: Prepare) -> Observed:
    """Build a loader's data set, take items, and put them into batches.

    Args:
        loader: the loader's config, whose data are there.
        is_training: whether it is the training loader.
        prepare: what the model's preprocessor does.

    Raises whatever building, reading, collating or preparing raises.
    """
    dataset = DATASETS.build(copy.deepcopy(dict(loader['dataset'])))
    groups = list(_keys(loader, dataset, (TRAINED if is_training else TESTED)[1]))
    if not groups:
        raise ValueError('the data set has no row, or its sampler draws none')
    templates: dict[tuple, BatchTemplate] = {}
    first = None
    for keys in groups:
        items = [dataset[key] for key in keys]
        first = items[0] if first is None else first
        made = _template(items, collate_of(loader), is_training, prepare)
        known = templates.get(made.signature)
        # Batches of equal shape may differ in text; the longest one decides memory.
        if known is None or made.numel > known.numel:
            templates[made.signature] = made
    samples = first if isinstance(first, list) else [first]
    facts = getattr(dataset, 'metainfo', None) or {}
    return Observed(
        templates=list(templates.values()),
        shape=next((tuple(t.shape) for t in _leaves(samples[0])), ()),
        repeats=len(samples),
        is_random=_is_random(dataset, groups[0][0], samples),
        num_classes=_class_count(facts),
        sets={
            part.name: part.task for part in getattr(dataset, 'sets', ()) if hasattr(part, 'task')
        },
    )


def _class_count(facts: Any) -> int | None:
    if not isinstance(facts, Mapping):
        return None
    classes = facts.get('classes', facts.get('CLASSES'))
    known = len(classes) if isinstance(classes, list | tuple) else None
    return facts.get('num_classes', known)


def _keys(loader: Mapping[str, Any], dataset: Any, count: int) -> Iterator[list[Any]]:
    """Keys of items: of a batch sampler the first of every batch, else those of one batch."""
    batches = loader.get('batch_sampler')
    if isinstance(batches, Mapping) and not loader.get('sampler'):
        arguments = dict(batches)
        if 'batch_size' in arguments:
            # One item of every kind is enough, and a batch of 1 is never left out as too short.
            arguments['batch_size'] = 1
        sampler = DATA_SAMPLERS.build(copy.deepcopy(arguments), default_args=dict(dataset=dataset))
        for keys in itertools.islice(sampler, MOST_BATCHES):
            yield [next(iter(keys))]
        return
    sampler = loader.get('sampler')
    if isinstance(sampler, Mapping):
        built = DATA_SAMPLERS.build(
            copy.deepcopy(dict(sampler)), default_args=dict(dataset=dataset, seed=0)
        )
        keys = list(itertools.islice(built, count))
    else:
        keys = list(range(min(count, len(dataset))))
    if keys:
        yield keys


def collate_of(loader: Mapping[str, Any]) -> Callable[[list], Any]:
    """Build the collate function of a loader as the runner does."""
    given = loader.get('collate_fn') or dict(type='pseudo_collate')
    if callable(given):
        return given
    arguments = {key: value for key, value in given.items() if key != 'type'}
    kind = FUNCTIONS.get(given['type']) if isinstance(given['type'], str) else given['type']
    return kind(**arguments) if inspect.isclass(kind) else partial(kind, **arguments)


def _template(
    items: Sequence[Any], collate: Callable[[list], Any], is_training: bool, prepare: Prepare
) -> BatchTemplate:
    sizes = TRAINED if is_training else TESTED
    small, large = (
        prepare(
            # Copies, since a preprocessor may write into data samples; repeated, since rows may be
            # few.
            collate([copy.deepcopy(items[index % len(items)]) for index in range(size)]),
            is_training,
        )
        for size in sizes
    )
    return BatchTemplate(small, large, sizes[0], _kind(small))


def _kind(batch: Any) -> str:
    samples = batch.get('data_samples') if isinstance(batch, Mapping) else None
    first = samples[0] if isinstance(samples, list) and samples else None
    return first.get('media_type', '') if isinstance(first, BaseDataElement) else ''


def _is_random(dataset: Any, key: Any, samples: Sequence[Any]) -> bool | None:
    """Whether the row of ``key`` differs from epoch to epoch, if keys are ``(epoch, row)``."""
    if not (isinstance(key, tuple) and len(key) == 2):
        return None
    first = list(_leaves(samples[0]))
    passes = (dataset[epoch, key[1]] for epoch in range(1, PASSES))
    others = (item if isinstance(item, list) else [item] for item in passes)
    for other in itertools.chain(samples[1:], itertools.chain.from_iterable(others)):
        if any(
            a.shape != b.shape or not torch.equal(a, b)
            for a, b in zip(first, _leaves(other), strict=False)
        ):
            return True
    return False


def _leaves(item: Any) -> Iterator[Tensor]:
    """Tensors of an item, but for those of its data sample."""
    if isinstance(item, Tensor):
        yield item
    elif isinstance(item, Mapping):
        for value in item.values():
            yield from _leaves(value)
    elif isinstance(item, list | tuple):
        for value in item:
            yield from _leaves(value)
