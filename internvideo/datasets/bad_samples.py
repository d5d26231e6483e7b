"""Handling of samples whose media cannot be read in training."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from internvideo.datasets.media.errors import MediaError
from internvideo.datasets.seeding import sample_seed
from internvideo.fileio.json_files import append_json_line

MAX_TRIES = 20


class TooManyBadSamples(RuntimeError):
    """More samples were unreadable than the data set tolerates."""


class BadSampleLog:
    """Counts unreadable samples and appends one JSON line for each: path and reason.

    Every process counts what it draws itself; a share is judged once a process has drawn
    ``min_samples``, so a run stops when any of its workers meets too many.

    Args:
        file: Where lines go; None writes none.
        max_share: Largest tolerated share of unreadable samples, None for any.
        min_samples: Samples drawn before the share is judged.
    """

    def __init__(
        self, file: str | Path | None, max_share: float | None, min_samples: int = 100
    ) -> None:
        if max_share is not None and not 0 <= max_share <= 1:
            raise ValueError(f'max_bad_share must lie in 0..1 or be None, got {max_share}')
        self.file, self.max_share, self.min_samples = file, max_share, min_samples
        self.drawn = self.bad = 0

    def count_drawn(self) -> None:
        """Count one sample that was asked for, whether it can be read or not."""
        self.drawn += 1

    def add(self, error: MediaError) -> None:
        """Record one unreadable sample.

        Raises:
            TooManyBadSamples: the share passed ``max_share``.
        """
        self.bad += 1
        if self.file is not None:
            append_json_line(self.file, dict(path=error.path, reason=error.reason))
        if self.max_share is None or self.drawn < self.min_samples:
            return
        if self.bad > self.max_share * self.drawn:
            where = '' if self.file is None else f'; all of them are listed in {self.file}'
            raise TooManyBadSamples(
                f'{self.bad} of {self.drawn} samples could not be read, more than '
                f'max_bad_share={self.max_share:g}; the last: {error}{where}'
            )


def read_or_replace(
    read: Callable[[int], Any], log: BadSampleLog, count: int, seed: int, epoch: int, row: int
) -> Any:
    """``read(row)``, or of another row in the place of one whose media cannot be read.

    All draws, that of the other row included, come from ``(seed, epoch, row)``.

    Args:
        read: reads a row; raises MediaError.
        log: of what was unreadable.
        count: number of rows.
        seed, epoch, row: the draw.

    Raises:
        TooManyBadSamples: too many were, in all or in a row.
    """
    chosen, error = row, None
    for attempt in range(MAX_TRIES):
        log.count_drawn()
        with sample_seed(seed, epoch, row, attempt):
            try:
                return read(chosen)
            except MediaError as caught:
                error = caught
        log.add(error)
        # A key of its own: how often the failed read has drawn depends on where it failed.
        with sample_seed(seed, epoch, row, attempt, 1):
            chosen = random.randrange(count)
    raise TooManyBadSamples(f'{MAX_TRIES} samples in a row could not be read; last: {error}')
