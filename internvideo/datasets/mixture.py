"""Several data sets trained on together."""

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.logging import print_log

from internvideo.datasets import config_checks, example_rows, item_counts
from internvideo.datasets.keyed import as_keyed
from internvideo.datasets.media.limits import MediaLimits
from internvideo.datasets.mixture_policies import ByGroup, ByWeight, check_weights
from internvideo.datasets.tables import build_entry
from internvideo.registry import DATASETS, near_names

POLICIES = ('weight', 'modality', 'corpus')


@DATASETS.register_module()
class Mixture:
    """Data sets of any registered kind trained on together.

    For training only.

    ================  ============================  =========================================
    ``policy``        a batch holds                 ``weights``
    ================  ============================  =========================================
    ``'weight'``      rows of all data sets         shares that sum to 1 (:class:`ByWeight`)
    ``'modality'``    rows of one modality          repeat data sets (:class:`ByGroup`), as
                                                    published for stage 2 and CLIP
    ``'corpus'``      rows of one data set          repeat data sets
    ================  ============================  =========================================

    The last two need the batch sampler :class:`MediaBatchSampler`.  What a row is drawn with
    (crops, frames) depends on the pass through its data set, so repeated rows are drawn anew.

    Nothing is asked of a member but ``len`` and items; see :func:`as_keyed` for those without the
    contract of :class:`BaseDataset`.  One without ``media_type`` is a modality of its own.

    Args:
        datasets: Configs of the data sets, or data sets, in a list or by name.
        policy: See above.
        weights: One for each data set, by name if they have names.
        rows_per_epoch: With shares, rows of an epoch; None: the rows of all together.
        num_repeats: Augmentations of each decode, the same for every data set.
        bad_samples_file: JSON-lines file for what is unreadable in any data set; None leaves it
            to them.
        seed: Seed of the draws; the training sampler sets it.

    Raises:
        ValueError: no data set, an unknown policy, weights that do not fit it; data sets that
            disagree in ``num_repeats``.
    """

    # What the class tells a rehearsal, see docs/rehearsal.md.
    members = staticmethod(example_rows.members)
    count_items = staticmethod(item_counts.mixed)

    def __init__(
        self,
        datasets: Sequence[Any] | Mapping[str, Any],
        policy: str = 'weight',
        weights: Sequence[float] | Mapping[str, float] | None = None,
        rows_per_epoch: int | None = None,
        num_repeats: int = 1,
        bad_samples_file: str | Path | None = None,
        seed: int = 0,
    ) -> None:
        if not datasets:
            raise self._fault('`datasets` is empty')
        if policy not in POLICIES:
            raise self._fault(f'policy must be one of {", ".join(POLICIES)}, got {policy!r}')
        if rows_per_epoch is not None and (policy != 'weight' or weights is None):
            raise self._fault("rows_per_epoch needs weights, and policy='weight'")
        if not isinstance(datasets, Mapping):
            datasets = {str(number): each for number, each in enumerate(datasets)}
        self.names, self.policy, self.num_repeats = list(datasets), policy, num_repeats
        self.weights = self._checked(weights)
        self.parts = [as_keyed(each) for each in datasets.values()]
        self._check_repeats()
        self.rows = self._lay_out(rows_per_epoch)
        if bad_samples_file is not None:
            self.bad_samples_file = bad_samples_file
        self.set_seed(seed)

    def _fault(self, reason: object) -> ValueError:
        return ValueError(f'{type(self).__name__}: {reason}')

    def _checked(self, weights: Sequence[float] | Mapping[str, float] | None) -> list[float] | None:
        """Weights in the order of the data sets, checked before these are read, which is slow."""
        if weights is None:
            return None
        if isinstance(weights, Mapping):
            if set(weights) != set(self.names):
                odd = ', '.join(sorted(set(weights) ^ set(self.names)))
                raise self._fault(f'weights must name every data set once; look at {odd}')
            weights = [weights[name] for name in self.names]
        try:
            check_weights(weights, len(self.names), are_shares=self.policy == 'weight')
        except ValueError as error:
            raise self._fault(error) from None
        return list(weights)

    def _check_repeats(self) -> None:
        found = [getattr(part, 'num_repeats', 1) for part in self.parts]
        if set(found) != {self.num_repeats}:
            raise self._fault(
                f'num_repeats={self.num_repeats}, its parts have {found}; they must be the same'
            )

    def _lay_out(self, rows_per_epoch: int | None) -> ByWeight | ByGroup:
        lengths = [len(part) for part in self.parts]
        if self.policy == 'weight':
            try:
                return ByWeight(lengths, self.weights, rows_per_epoch)
            except ValueError as error:
                raise self._fault(error) from None
        groups = self.names
        if self.policy == 'modality':
            kinds = [getattr(part, 'media_type', None) for part in self.parts]
            groups = [kind or name for kind, name in zip(kinds, self.names, strict=True)]
        rows = ByGroup(lengths, groups, self.weights)
        for group, numbers in rows.idle_weights().items():
            given = {self.names[number]: rows.weights[number] for number in numbers}
            print_log(
                f'{type(self).__name__}: the weights of {group} corpora {given} sum to no more '
                'than their number and are without effect, as published: every item comes once',
                'current',
                logging.WARNING,
            )
        return rows

    @property
    def group_sizes(self) -> dict[str, int]:
        """Rows of every group in an epoch, in the order of the rows.

        A batch holds one group.
        """
        return self.rows.group_sizes

    @property
    def metainfo(self) -> dict:
        """The facts that all data sets share."""
        first, *others = (getattr(part, 'metainfo', None) or {} for part in self.parts)
        return {k: v for k, v in first.items() if all(part.get(k) == v for part in others)}

    @property
    def bad_samples_file(self) -> str | Path | None:
        """File that lists unreadable media of every data set."""
        files = [p.bad_samples_file for p in self.parts if hasattr(p, 'bad_samples_file')]
        return files[0] if files else ''

    @bad_samples_file.setter
    def bad_samples_file(self, file: str | Path | None) -> None:
        for part in self.parts:
            if hasattr(part, 'bad_samples_file'):
                part.bad_samples_file = file

    def set_seed(self, seed: int) -> None:
        """Set the seed of all draws, apart for rows of the same number in two data sets."""
        self.seed = seed
        seeds = [part_seed(seed, number) for number in range(len(self.parts))]
        for part, own in zip(self.parts, seeds, strict=True):
            part.set_seed(own)
        self.rows.set_seeds(seeds)

    def __len__(self) -> int:
        return len(self.rows)

    def locate(self, epoch: int, row: int) -> tuple[str, int, int]:
        """(name of the data set, pass through it, row of it) behind a row of an epoch."""
        number, turn, item = self.rows.locate(epoch, range(len(self))[row])
        return self.names[number], turn, item

    def get_data_info(self, row: int, epoch: int = 0) -> dict:
        """The annotation behind a row, see :class:`BaseDataset`."""
        number, _, item = self.rows.locate(epoch, range(len(self))[row])
        return self.parts[number].get_data_info(item)

    def __getitem__(self, key: int | tuple[int, int]) -> Any:
        epoch, row = key if isinstance(key, tuple) else (0, key)
        number, turn, item = self.rows.locate(epoch, range(len(self))[row])
        # `turn` in place of the epoch: a row that comes twice in an epoch gets other crops.
        return self.parts[number][turn, item]


def part_seed(seed: int, number: int) -> int:
    """Seed of a part, for the first one the seed itself, as for a data set that is not mixed."""
    return seed if number == 0 else int(np.random.SeedSequence([seed, number]).generate_state(1)[0])


@DATASETS.register_module()
class MixedDataset(Mixture):
    """A :class:`Mixture` by weight, the name that recipes of recognition and pretraining use."""

    def __init__(
        self,
        datasets: Sequence[Any],
        weights: Sequence[float] | None = None,
        rows_per_epoch: int | None = None,
        num_repeats: int = 1,
        seed: int = 0,
    ) -> None:
        super().__init__(datasets, 'weight', weights, rows_per_epoch, num_repeats, seed=seed)


@DATASETS.register_module()
class MediaMixture(Mixture):
    """A :class:`Mixture` of corpora that are chosen by name from a table.

    Args:
        table: By name, the fields of every corpus that may be mixed, with its ``type`` if that is
            not :class:`MediaTextDataset`; the fields below are defaults for those that take them.
        mix: Names, or a dict of names and weights.
        sampling, pipeline, audio, backend, max_bad_share, limits: As of :class:`MediaTextDataset`.
        policy, bad_samples_file, seed: As of :class:`Mixture`.

    Raises:
        ValueError: nothing is chosen, a name is not in the table, a weight is not positive, or
            an entry does not fit; whatever the data set of an entry raises, naming the entry.
    """

    with_examples = staticmethod(example_rows.tabled)
    members = staticmethod(example_rows.chosen)
    count_items = staticmethod(item_counts.tabled)
    check_config = staticmethod(config_checks.mixture)

    def __init__(
        self,
        table: Mapping[str, Mapping[str, Any]],
        mix: str | Sequence[str] | Mapping[str, float],
        sampling: Mapping[str, Any] | Callable,
        pipeline: Sequence[Mapping[str, Any] | Callable],
        audio: Mapping[str, Any] | None = None,
        backend: str = 'auto',
        policy: str = 'modality',
        bad_samples_file: str | Path | None = None,
        max_bad_share: float | None = 0.1,
        seed: int = 0,
        limits: MediaLimits | Mapping[str, Any] | None = None,
    ) -> None:
        weights = _weights(mix, table)
        defaults = dict(sampling=sampling, pipeline=pipeline, audio=audio, backend=backend)
        defaults |= dict(max_bad_share=max_bad_share, limits=limits)
        super().__init__(
            {name: build_entry(name, table, defaults, 'MediaTextDataset') for name in weights},
            policy,
            weights if isinstance(mix, Mapping) else None,
            bad_samples_file=bad_samples_file,
            seed=seed,
        )


def _weights(
    mix: str | Sequence[str] | Mapping[str, float], table: Mapping[str, Any]
) -> dict[str, float]:
    """Name -> weight of the corpora that are chosen, in order."""
    if isinstance(mix, Mapping):
        weights = {name: float(weight) for name, weight in mix.items()}
    else:
        weights = dict.fromkeys([mix] if isinstance(mix, str) else mix, 1.0)
    if not weights:
        raise ValueError(f'`mix` chooses no corpus; known: {", ".join(table)}')
    for name, weight in weights.items():
        if name not in table:
            raise ValueError(f'mix: {name!r} is not in the table; {near_names(name, table)}')
        if not (weight > 0 and math.isfinite(weight)):
            raise ValueError(f'mix: the weight of {name} must be positive, got {weight}')
    return weights
