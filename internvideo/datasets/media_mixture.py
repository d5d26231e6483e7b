"""Corpora of several media trained on together, chosen by name from a table."""

import difflib
import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.logging import print_log

from internvideo.datasets.media_text_dataset import MediaTextDataset
from internvideo.datasets.mixed_dataset import part_seed
from internvideo.registry import DATASETS

Mix = str | Sequence[str] | Mapping[str, float]
ENTRY_FIELDS = set(inspect.signature(MediaTextDataset).parameters) - {'seed', 'bad_samples_file'}


class WeightedRows:
    """Rows of several lists as one, lists repeated by weights as published.

    When the weights sum to more than their number, list ``i`` has ``int(length * w)`` rows, of
    which row ``k`` is row ``k // w`` of the list; else every row stands once.

    Args:
        lengths: of the lists.
        weights: of the lists; None: every row once.
    """

    def __init__(self, lengths: Sequence[int], weights: Sequence[float] | None = None) -> None:
        self.weights = list(weights or [1.0] * len(lengths))
        self.is_weighted = sum(self.weights) > len(self.weights)
        if not self.is_weighted:
            self.weights = [1.0] * len(lengths)
        counts = [int(n * w) for n, w in zip(lengths, self.weights, strict=True)]
        self._ends = np.cumsum(counts)

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def locate(self, place: int) -> tuple[int, int, int]:
        """(list, row of it, how often the row stood before) at ``place``."""
        number = int(np.searchsorted(self._ends, place, side='right'))
        inner = place - (int(self._ends[number - 1]) if number else 0)
        weight = self.weights[number]
        row = int(inner // weight)
        return number, row, inner - math.ceil(row * weight)


@DATASETS.register_module()
class MediaMixture:
    """Items of several corpora, grouped by medium; batches come from :class:`MediaBatchSampler`.

    Rows of a medium follow each other, media in the order of their names, corpora of a medium in
    that of ``mix``.  Items and their draws are those of :class:`MediaTextDataset`.

    Args:
        table: By name, the fields of :class:`MediaTextDataset` of every corpus that may be
            mixed; those of this class are defaults.
        mix: Names, or a dict of names and weights: how often an epoch has a corpus, if the
            weights of a medium sum to more than their number (:class:`WeightedRows`).
        sampling, pipeline, audio, backend, max_bad_share: as of :class:`MediaTextDataset`.
        bad_samples_file: JSON-lines file for unreadable media of every corpus.
        seed: Seed of the draws; the training sampler sets it.

    Raises:
        ValueError: nothing is chosen, a name is not in the table, a weight is not positive, or
            an entry does not fit; whatever :class:`MediaTextDataset` raises, naming the corpus.
    """

    def __init__(
        self,
        table: Mapping[str, Mapping[str, Any]],
        mix: Mix,
        sampling: Mapping[str, Any] | Callable,
        pipeline: Sequence[Mapping[str, Any] | Callable],
        audio: Mapping[str, Any] | None = None,
        backend: str = 'decord',
        bad_samples_file: str | Path | None = None,
        max_bad_share: float | None = 0.1,
        seed: int = 0,
    ) -> None:
        weights = _weights(mix, table)
        defaults = dict(sampling=sampling, pipeline=pipeline, audio=audio, backend=backend)
        defaults['max_bad_share'] = max_bad_share
        self.parts = {name: _build(name, defaults | dict(table[name])) for name in weights}
        self.media: dict[str, list[str]] = {}
        for name in sorted(self.parts, key=lambda name: self.parts[name].media_type):
            self.media.setdefault(self.parts[name].media_type, []).append(name)
        self._rows = {
            media: WeightedRows([len(self.parts[n]) for n in names], [weights[n] for n in names])
            for media, names in self.media.items()
        }
        self._warn_of_idle_weights(weights)
        self._ends = np.cumsum([len(rows) for rows in self._rows.values()])
        self.bad_samples_file = bad_samples_file
        self.set_seed(seed)

    def _warn_of_idle_weights(self, weights: Mapping[str, float]) -> None:
        for media, names in self.media.items():
            given = {name: weights[name] for name in names}
            if set(given.values()) != {1.0} and not self._rows[media].is_weighted:
                print_log(
                    f'MediaMixture: the weights of {media} corpora {given} sum to no more than '
                    'their number and are without effect, as published: every item comes once',
                    'current',
                    30,
                )

    @property
    def media_sizes(self) -> dict[str, int]:
        """Items of every medium in an epoch, in the order of their rows."""
        return {media: len(rows) for media, rows in self._rows.items()}

    @property
    def bad_samples_file(self) -> str | Path | None:
        """Where unreadable media of every corpus are listed."""
        return next(iter(self.parts.values())).bad_samples_file

    @bad_samples_file.setter
    def bad_samples_file(self, file: str | Path | None) -> None:
        for part in self.parts.values():
            part.bad_samples_file = file

    def set_seed(self, seed: int) -> None:
        """Set the seed of all draws; items of the same number in two corpora are drawn apart."""
        self.seed = seed
        for number, part in enumerate(self.parts.values()):
            part.set_seed(part_seed(seed, number))

    def __len__(self) -> int:
        return int(self._ends[-1])

    def locate(self, row: int) -> tuple[str, int, int]:
        """(corpus, item of it, how often the item stood before) behind a row of an epoch."""
        row = range(len(self))[row]
        number = int(np.searchsorted(self._ends, row, side='right'))
        media = list(self.media)[number]
        place = row - (int(self._ends[number - 1]) if number else 0)
        inner, item, turn = self._rows[media].locate(place)
        return self.media[media][inner], item, turn

    def get_data_info(self, row: int) -> dict:
        """The annotation behind a row, see :class:`MediaTextDataset`."""
        name, item, _ = self.locate(row)
        return self.parts[name].get_data_info(item)

    def __getitem__(self, key: int | tuple[int, int]) -> dict:
        epoch, row = key if isinstance(key, tuple) else (0, key)
        name, item, turn = self.locate(row)
        # An item that comes several times in an epoch is drawn anew each time.
        return self.parts[name][epoch * self._most_turns(name) + turn, item]

    def _most_turns(self, name: str) -> int:
        media = self.parts[name].media_type
        return math.ceil(self._rows[media].weights[self.media[media].index(name)])


def _weights(mix: Mix, table: Mapping[str, Any]) -> dict[str, float]:
    """Name -> weight of the corpora that are chosen, in order."""
    if isinstance(mix, Mapping):
        weights = {name: float(weight) for name, weight in mix.items()}
    else:
        weights = dict.fromkeys([mix] if isinstance(mix, str) else mix, 1.0)
    if not weights:
        raise ValueError(f'`mix` chooses no corpus; known: {", ".join(table)}')
    for name, weight in weights.items():
        if name not in table:
            raise ValueError(f'mix: {name!r} is not in the table; {_hint(name, table)}')
        if not (weight > 0 and math.isfinite(weight)):
            raise ValueError(f'mix: the weight of {name} must be positive, got {weight}')
    return weights


def _hint(word: str, known: Mapping[str, Any]) -> str:
    near = difflib.get_close_matches(word, list(known), n=3, cutoff=0.5)
    return f'did you mean {", ".join(near)}?' if near else f'known: {", ".join(sorted(known))}'


def _build(name: str, entry: dict[str, Any]) -> MediaTextDataset:
    for field in entry:
        if field not in ENTRY_FIELDS:
            hint = _hint(field, dict.fromkeys(ENTRY_FIELDS))
            raise ValueError(f'table.{name}: unknown field {field!r}; {hint}')
    if 'ann_file' not in entry:
        raise ValueError(f'table.{name}: ann_file is missing')
    try:
        return MediaTextDataset(**entry)
    except (ValueError, FileNotFoundError) as error:
        raise type(error)(f'table.{name}: {error}') from error
