"""Policies of mixtures: the row of a data set that stands at a place of an epoch."""

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch

SUM_TOLERANCE = 1e-6


def check_weights(weights: Sequence[float], count: int, are_shares: bool) -> None:
    """Check weights of ``count`` lists.

    Raises:
        ValueError: another number of them, one that is not positive, or shares that do not sum
            to 1.
    """
    if len(weights) != count:
        raise ValueError(f'{len(weights)} weights for {count} data sets')
    wrong = [weight for weight in weights if not weight > 0 or not math.isfinite(weight)]
    if wrong:
        raise ValueError(f'weights must be positive, got {wrong}')
    if are_shares and abs(sum(weights) - 1) > SUM_TOLERANCE:
        raise ValueError(f'weights must sum to 1, {list(weights)} sum to {sum(weights):g}')


class ByWeight:
    """Every list has its share of an epoch, spread over all batches.

    Without weights an epoch holds every row of every list once.  With them it holds as many rows
    as before, or ``rows_per_epoch``.  A list that is longer than its share goes on in the next
    epoch where it stopped, a shorter one begins anew: no row comes again before all others of its
    list did.

    Args:
        lengths: of the lists.
        weights: shares of the lists; positive, their sum is 1.
        rows_per_epoch: rows of an epoch; None: those of all lists together.

    Raises:
        ValueError: a share without a single row.
    """

    def __init__(
        self,
        lengths: Sequence[int],
        weights: Sequence[float] | None = None,
        rows_per_epoch: int | None = None,
    ) -> None:
        self.lengths, self.seeds = list(lengths), [0] * len(lengths)
        self.sizes = self._sizes(weights, rows_per_epoch)
        self._ends = np.cumsum(self.sizes)

    def set_seeds(self, seeds: Sequence[int]) -> None:
        """Set the seeds of the order of each list."""
        self.seeds = list(seeds)

    def _sizes(self, weights: Sequence[float] | None, rows: int | None) -> list[int]:
        """Rows that an epoch takes from each list."""
        if weights is None:
            if rows is not None:
                raise ValueError('rows_per_epoch needs weights')
            return self.lengths
        # Rounding the ends, not the sizes: they add up to the total.
        total = rows or sum(self.lengths)
        ends = [round(total * sum(weights[: i + 1])) for i in range(len(weights))]
        sizes = [end - begin for begin, end in zip([0, *ends], ends, strict=False)]
        if min(sizes) < 1:
            raise ValueError(
                f'an epoch of {ends[-1]} rows has {sizes} of its parts; every part needs one'
            )
        return sizes

    @property
    def group_sizes(self) -> dict[str, int]:
        """One group, since any rows may share a batch."""
        return dict(all=len(self))

    def __len__(self) -> int:
        return int(self._ends[-1])

    def locate(self, epoch: int, row: int) -> tuple[int, int, int]:
        """(list, pass through it, row of it) behind a row of an epoch."""
        number = int(np.searchsorted(self._ends, row, side='right'))
        size, length = self.sizes[number], self.lengths[number]
        # Places in a list count on from epoch to epoch, so that a long list goes on where it
        # stopped.
        place = epoch * size + row - (int(self._ends[number]) - size)
        turn, position = divmod(place, length)
        if size % length:  # epochs end inside a pass: its order decides which rows they hold
            position = int(_order(length, self.seeds[number], turn)[position])
        return number, turn, position


# Kept because every row asks for it, but only a few: a permutation takes 8 bytes a row.
@lru_cache(maxsize=16)
def _order(length: int, seed: int, turn: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed + turn)
    return torch.randperm(length, generator=generator)


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
        # `ceil(row * weight)` is the first place at which the row stands.
        return number, row, inner - math.ceil(row * weight)


class ByGroup:
    """Lists in groups that share no batch, which :class:`MediaBatchSampler` makes.

    Rows of a group follow each other, groups in the order of their names, lists of a group in the
    order given.  Weights repeat lists (:class:`WeightedRows`, within a group).

    Args:
        lengths: of the lists.
        groups: the group of each list.
        weights: of the lists; None: every row once.
    """

    def __init__(
        self, lengths: Sequence[int], groups: Sequence[str], weights: Sequence[float] | None = None
    ) -> None:
        self.weights = list(weights or [1.0] * len(lengths))
        self.members: dict[str, list[int]] = {}
        # By name, as published: the shuffled order of groups is one of their numbers.
        for number in sorted(range(len(groups)), key=lambda number: groups[number]):
            self.members.setdefault(groups[number], []).append(number)
        self._rows = {
            group: WeightedRows([lengths[n] for n in numbers], [self.weights[n] for n in numbers])
            for group, numbers in self.members.items()
        }
        self._ends = np.cumsum([len(rows) for rows in self._rows.values()])

    @property
    def group_sizes(self) -> dict[str, int]:
        """Rows of every group in an epoch, in their order."""
        return {group: len(rows) for group, rows in self._rows.items()}

    def set_seeds(self, seeds: Sequence[int]) -> None:
        """Take the seeds and draw nothing, since the batch sampler shuffles."""

    def idle_weights(self) -> dict[str, list[int]]:
        """By group, lists whose weights are given but without effect."""
        return {
            group: numbers
            for group, numbers in self.members.items()
            if {self.weights[n] for n in numbers} != {1.0} and not self._rows[group].is_weighted
        }

    def __len__(self) -> int:
        return int(self._ends[-1])

    def locate(self, epoch: int, row: int) -> tuple[int, int, int]:
        """(list, pass through it, row of it) behind a row of an epoch."""
        place = int(np.searchsorted(self._ends, row, side='right'))
        group = list(self.members)[place]
        rows = self._rows[group]
        inner, item, turn = rows.locate(row - (int(self._ends[place - 1]) if place else 0))
        # An item that comes several times in an epoch is drawn anew each time.
        most_turns = math.ceil(rows.weights[inner])
        return self.members[group][inner], epoch * most_turns + turn, item
