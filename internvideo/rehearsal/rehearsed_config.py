"""Config under rehearsal, with batches of each of its loaders and its fake model."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from internvideo.registry import DATASETS
from internvideo.structures.rehearsal import Finding, ItemCount

from .batches import BatchTemplate, Observed, observe
from .examples import (
    LOADERS,
    ConfigExamples,
    ExampleDataset,
    MediaCache,
    class_count,
    with_example_vocabularies,
    with_examples,
)
from .fake_model import FakeModel, wants_numbers
from .findings import one_line
from .parts import class_of

ROWS = 4
"""Rows of the data sets that are looked at."""
TRAIN = 'train_dataloader'
PATH_FIELDS = ('file', 'prefix', 'root', 'path', 'dir', 'folder')
"""Endings of the names of fields that name files and folders."""


@dataclass
class RehearsedConfig:
    """Config under rehearsal, which is also the :class:`RehearsedRun` that parts are handed.

    Attributes:
        config: the config, resolved.
        world_size: processes it is meant for.
        observed: what each loader gives; loaders whose data fail or are not here are absent.
        fake: the model without memory, None when it cannot be built.
        notes: what is not rehearsed and why, in one line each.
        untraced: loaders whose batches the model cannot take without numbers.
    """

    config: Mapping[str, Any]
    world_size: int
    observed: dict[str, Observed] = field(default_factory=dict)
    fake: FakeModel | None = None
    notes: list[str] = field(default_factory=list)
    untraced: set[str] = field(default_factory=set)

    @property
    def trains(self) -> bool:
        """Whether the config trains rather than only tests."""
        return self.config.get(TRAIN) is not None

    @property
    def loaders(self) -> dict[str, Mapping[str, Any]]:
        """The loaders that the config has, by name."""
        found = {name: self.config.get(name) for name in LOADERS}
        return {
            name: loader
            for name, loader in found.items()
            if isinstance(loader, Mapping) and isinstance(loader.get('dataset'), Mapping)
        }

    @property
    def num_classes(self) -> int | None:
        """Classes of the model's head, if it has such a head."""
        return class_count(self.config['model'])[1]

    @property
    def has_model(self) -> bool:
        """Whether the model is no fault, though it may be one that is not traced."""
        return self.fake is not None or any(
            'the model is not traced' in note for note in self.notes
        )

    @property
    def model(self) -> Any:
        """The model with fake weights."""
        return self.fake and self.fake.model

    @property
    def training(self) -> list[BatchTemplate]:
        """Batches of the training, one of every kind."""
        found = self.observed.get(TRAIN)
        return [] if found is None else found.templates

    def batch_size(self, kind: str = '', loader: str = TRAIN) -> int:
        """Rows of a batch of a kind on one process."""
        given = self.config[loader]
        sizes = given.get('batch_size')
        if sizes is None:
            sizes = (given.get('batch_sampler') or {}).get('batch_size', 1)
        return sizes.get(kind, 1) if isinstance(sizes, Mapping) else sizes

    def items_per_batch(self, template: BatchTemplate, loader: str = TRAIN) -> int:
        """Items of a batch like ``template`` on one process."""
        return self.batch_size(template.kind, loader) * template.per_row

    def at(self, field: str) -> Any:
        """Value of the config at a dotted field, or None."""
        node: Any = self.config
        for name in field.split('.') if field else ():
            if isinstance(node, list | tuple):
                node = node[int(name)] if name.isdigit() and int(name) < len(node) else None
            else:
                node = node.get(name) if hasattr(node, 'get') else None  # also mmengine's Config
        return node

    def module(self, field: str) -> Any:
        """Module that the model has built from the config at ``field``, or None."""
        root, *names = field.split('.')
        node = self.model if root == 'model' else None
        for name in names:
            node = getattr(node, name, None)
        return node

    def count_items(self, loader: str) -> ItemCount:
        """Number of items of an epoch of a loader, or 0 when not known.

        Raises ValueError when its files are there and unusable.
        """
        dataset = (self.loaders.get(loader) or {}).get('dataset') or {}
        part_class = class_of(dataset.get('type'), DATASETS)
        if hasattr(part_class, 'count_items'):
            return part_class.count_items(dataset)
        try:
            return ItemCount({'': len(DATASETS.build(dict(dataset)))})
        except Exception:  # the data set does not say, and its files are not here
            return ItemCount({'': 0}, is_counted=False)


def build_fake_model(
    rehearsed: RehearsedConfig, cache: MediaCache, precision: str = 'amp'
) -> Iterator[Finding]:
    """Fill ``rehearsed.fake`` and report a model that cannot be built."""
    model = rehearsed.config['model']
    preprocessor = model.get('data_preprocessor')
    try:
        if isinstance(preprocessor, Mapping):
            preprocessor = with_example_vocabularies(preprocessor, cache)
        else:
            preprocessor = None
        rehearsed.fake = FakeModel(model, precision, preprocessor)
    except Exception as error:  # a model of any kind may refuse in any way
        if wants_numbers(error):
            rehearsed.notes.append(f'the model is not traced, it needs numbers: {one_line(error)}')
        else:
            yield Finding('model', one_line(error))


def observe_loaders(
    rehearsed: RehearsedConfig, cache: MediaCache, folder: Path
) -> Iterator[Finding]:
    """Fill ``rehearsed.observed`` and report data that fail."""
    examples = ConfigExamples(rehearsed.config['model'], cache, folder, ROWS)
    for name, loader in rehearsed.loaders.items():
        field_name = f'{name}.dataset'
        try:
            made = with_examples(loader['dataset'], examples)
        except Exception as error:  # an offer of any kind may refuse in any way
            yield Finding(field_name, one_line(error))
            continue
        yield from _observe(rehearsed, name, made)


def _observe(rehearsed: RehearsedConfig, name: str, made: ExampleDataset) -> Iterator[Finding]:
    loader, fake = rehearsed.loaders[name], rehearsed.fake
    prepare = fake.prepare if fake is not None else lambda batch, _: batch
    silent = ', '.join(dict.fromkeys(made.silent))
    try:
        rehearsed.observed[name] = observe(
            dict(loader, dataset=made.config), name == TRAIN, prepare
        )
        if silent:
            rehearsed.notes.append(f'{name}: {silent} offers no example rows: its files are used')
        return
    except Exception as error:  # a part of any kind may refuse in any way
        reason = error
    if made.may_fail:  # rows of a base class, which need not suit the class itself
        silent = str(loader['dataset']['type'])
        unsuitable = f'{name}: the example rows of its base do not suit {silent}'
        try:
            rehearsed.observed[name] = observe(loader, name == TRAIN, prepare)
            rehearsed.notes.append(f'{unsuitable} ({one_line(reason)}): its files are used')
            return
        except Exception as error:  # as above
            reason = error
    lost = missing_files(loader['dataset'], f'{name}.dataset') if silent else []
    if not lost and silent and isinstance(reason, FileNotFoundError):
        lost = [Finding(f'{name}.dataset', one_line(reason), True)]
    if lost:
        # No fault of the config unless --strict: a laptop seldom has a cluster's data.
        yield from lost
        rehearsed.notes.append(
            f'{name}: {silent} offers no example rows, and its files are not here: not rehearsed'
        )
    else:
        yield Finding(f'{name}.dataset', one_line(reason))


def missing_files(value: Any, field: str) -> list[Finding]:
    """Files and folders that a config names and this machine lacks."""
    if isinstance(value, Mapping):
        return [
            found
            for key, item in value.items()
            for found in (
                missing_files(item, f'{field}.{key}')
                if not isinstance(item, str)
                else _missing(key, item, f'{field}.{key}')
            )
        ]
    if isinstance(value, list | tuple):
        return [f for i, item in enumerate(value) for f in missing_files(item, f'{field}.{i}')]
    return []


def _missing(key: str, text: str, field: str) -> list[Finding]:
    # Only the name of a field tells that its text is a path; what is fetched is not looked for.
    names_file = str(key).endswith(PATH_FIELDS) and text and '://' not in text
    if names_file and not Path(text).exists():
        return [Finding(field, f'{text} does not exist', True)]
    return []
