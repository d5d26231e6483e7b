"""Several lists trained on together, in given shares."""

import math
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from internvideo.registry import DATASETS

SUM_TOLERANCE = 1e-6


@DATASETS.register_module()
class MixedDataset:
    """Data sets trained on together; for training only.

    Without ``weights`` an epoch holds every row of every part once (as one long list would).
    With them it holds as many rows as before, or ``rows_per_epoch``, and each part has its share.
    A part that is larger than its share goes on in the next epoch where it stopped, one that is
    smaller begins anew: no row comes again before all others of its part did.  What a row
    is drawn with (crops, frames) then depends on the pass through its part, not on the epoch.

    Args:
        datasets: Configs of the parts, or data sets that take ``(pass, row)``.
        weights: Shares of the parts; positive, their sum is 1.
        rows_per_epoch: Rows of an epoch; None: the rows of all parts together.
        num_repeats: Augmentations of each decode, the same for every part.
        seed: Seed of the draws; the training sampler sets it.

    Raises:
        ValueError: no part; weights that are not positive, do not sum to 1 or are of another
            number than the parts; a share without a single row; parts that disagree in
            ``num_repeats``.
    """

    def __init__(
        self,
        datasets: Sequence[dict[str, Any] | Any],
        weights: Sequence[float] | None = None,
        rows_per_epoch: int | None = None,
        num_repeats: int = 1,
        seed: int = 0,
    ) -> None:
        if not datasets:
            raise ValueError('MixedDataset: `datasets` is empty')
        if weights is not None:
            _check_weights(weights, len(datasets))
        self.parts = [DATASETS.build(part) if isinstance(part, dict) else part for part in datasets]
        self.num_repeats, self.seed = num_repeats, seed
        self._check_repeats()
        self.sizes = self._sizes(weights, rows_per_epoch)
        self._ends = np.cumsum(self.sizes)
        self.set_seed(seed)

    def _check_repeats(self) -> None:
        found = [getattr(part, 'num_repeats', 1) for part in self.parts]
        if set(found) != {self.num_repeats}:
            raise ValueError(
                f'MixedDataset has num_repeats={self.num_repeats}, its parts have {found}; '
                'they must be the same'
            )

    def _sizes(self, weights: Sequence[float] | None, rows: int | None) -> list[int]:
        """Rows that an epoch takes from each part."""
        lengths = [len(part) for part in self.parts]
        if weights is None:
            if rows is not None:
                raise ValueError('MixedDataset: rows_per_epoch needs weights')
            return lengths
        # Rounding the ends, not the sizes: they add up to the total.
        ends = [round((rows or sum(lengths)) * sum(weights[: i + 1])) for i in range(len(weights))]
        sizes = [end - begin for begin, end in zip([0, *ends], ends, strict=False)]
        if min(sizes) < 1:
            raise ValueError(
                f'MixedDataset: an epoch of {ends[-1]} rows has {sizes} of its parts; every part '
                'needs one'
            )
        return sizes

    @property
    def metainfo(self) -> dict:
        """The facts that all parts share."""
        first, *others = (getattr(part, 'metainfo', {}) for part in self.parts)
        return {k: v for k, v in first.items() if all(part.get(k) == v for part in others)}

    @property
    def bad_samples_file(self) -> str | Path | None:
        """Where unreadable media of every part are listed."""
        return self.parts[0].bad_samples_file

    @bad_samples_file.setter
    def bad_samples_file(self, file: str | Path | None) -> None:
        for part in self.parts:
            part.bad_samples_file = file

    def set_seed(self, seed: int) -> None:
        """Set the seed of all draws; rows of the same number in two parts are drawn apart."""
        self.seed = seed
        for number, part in enumerate(self.parts):
            part.set_seed(part_seed(seed, number))

    def __len__(self) -> int:
        return int(self._ends[-1])

    def locate(self, epoch: int, row: int) -> tuple[int, int, int]:
        """(part, pass through it, row of it) behind a row of an epoch."""
        row = range(len(self))[row]
        number = int(np.searchsorted(self._ends, row, side='right'))
        size, length = self.sizes[number], len(self.parts[number])
        place = epoch * size + row - (int(self._ends[number]) - size)
        turn, position = divmod(place, length)
        if size % length:  # epochs end inside a pass: its order decides which rows they hold
            position = int(_order(length, part_seed(self.seed, number), turn)[position])
        return number, turn, position

    def __getitem__(self, key: int | tuple[int, int]) -> dict | list[dict]:
        epoch, row = key if isinstance(key, tuple) else (0, key)
        number, turn, position = self.locate(epoch, row)
        return self.parts[number][turn, position]


def _check_weights(weights: Sequence[float], count: int) -> None:
    if len(weights) != count:
        raise ValueError(f'MixedDataset: {len(weights)} weights for {count} data sets')
    wrong = [weight for weight in weights if not weight > 0 or not math.isfinite(weight)]
    if wrong:
        raise ValueError(f'MixedDataset: weights must be positive, got {wrong}')
    if abs(sum(weights) - 1) > SUM_TOLERANCE:
        raise ValueError(
            f'MixedDataset: weights must sum to 1, {list(weights)} sum to {sum(weights):g}'
        )


def part_seed(seed: int, number: int) -> int:
    """The part's own; the first one's is the seed itself, as for a data set that is not mixed."""
    return seed if number == 0 else int(np.random.SeedSequence([seed, number]).generate_state(1)[0])


@lru_cache(maxsize=16)
def _order(length: int, seed: int, turn: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed + turn)
    return torch.randperm(length, generator=generator)
