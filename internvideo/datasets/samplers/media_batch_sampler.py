"""Batches of one group each, in the published order, for any number of processes."""

import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from mmengine.dist import get_dist_info, sync_random_seed
from torch.utils.data import Sampler

from internvideo.registry import DATA_SAMPLERS


@DATA_SAMPLERS.register_module()
class MediaBatchSampler(Sampler[list[tuple[int, int]]]):
    """Training batches of a mixture: lists of ``(epoch, row)``, all of one group.

    A group is a modality or a corpus, see :class:`Mixture`.  At every step all processes draw the
    same group.  The order of groups has each as often as it has batches, shuffled; the rows of a
    group are dealt to processes in contiguous parts, each permuted anew every epoch.  Rows that
    do not divide by the number of processes, and those that would not fill a batch, are left out.
    Everything depends on ``seed + epoch`` only.

    Args:
        dataset: Data set with ``group_sizes``: rows of every group, which follow each other; its
            ``set_seed`` is called when it has one.
        batch_size: Rows of a batch on every process, the same for all groups or one for each.
        seed: Seed of the order; None draws one and shares it between processes.
        share: Of the rows of every group, the random share that an epoch visits: published recipes
            of half an epoch are one epoch of half the rows.

    Raises:
        ValueError: a share outside (0, 1], a data set without groups, a group without batch size,
            or without rows for a single batch.
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int | Mapping[str, int],
        seed: int | None = None,
        share: float = 1.0,
    ) -> None:
        if not 0.0 < share <= 1.0:
            raise ValueError(f'share must be in (0, 1], got {share}')
        self.rank, self.world_size = get_dist_info()
        if not hasattr(dataset, 'group_sizes'):
            raise ValueError(
                f'MediaBatchSampler makes batches of a mixture; {type(dataset).__name__} is none'
            )
        self.group_sizes: dict[str, int] = dict(dataset.group_sizes)
        self.batch_size = batch_size if isinstance(batch_size, int) else dict(batch_size)
        self.batch_sizes = {group: self._size_of(group) for group in self.group_sizes}
        self.seed = sync_random_seed() if seed is None else seed
        self.epoch, self._skipped = 0, 0
        self.num_batches = {
            group: int(share * (rows // self.world_size)) // self.batch_sizes[group]
            for group, rows in self.group_sizes.items()
        }
        for group, count in self.num_batches.items():
            if count == 0:
                raise ValueError(
                    f'{self.group_sizes[group]} rows of {group} give no batch of '
                    f'{self.batch_sizes[group]} on {self.world_size} process(es): lower '
                    'train_dataloader.batch_sampler.batch_size'
                    + (f', or raise its share {share}' if share < 1 else '')
                )
        if hasattr(dataset, 'set_seed'):
            dataset.set_seed(self.seed)

    def _size_of(self, group: str) -> int:
        size = self.batch_size
        size = size if isinstance(size, int) else size.get(group, 0)
        if size < 1:
            raise ValueError(
                f'the mixture holds {group}; train_dataloader.batch_sampler.batch_size says '
                f'{self.batch_size}'
            )
        return size

    @property
    def sampler(self) -> 'MediaBatchSampler':
        """Itself: mmengine's seed hook sets the epoch of the sampler of a batch sampler."""
        return self

    @property
    def layout(self) -> dict[str, Any]:
        """Settings that decide, with the seed, the rows of each batch."""
        return dict(world_size=self.world_size, rows=self.group_sizes, batch_sizes=self.batch_sizes)

    def __len__(self) -> int:
        """Batches of an epoch."""
        return sum(self.num_batches.values())

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next pass draws."""
        self.epoch = epoch

    def skip(self, num_batches: int) -> None:
        """Let the next pass, and only that one, start after ``num_batches``.

        Raises:
            ValueError: more than an epoch holds.
        """
        if not 0 <= num_batches <= len(self):
            raise ValueError(f'cannot skip {num_batches} of {len(self)} batches')
        self._skipped = num_batches

    def samples_before(self, num_batches: int) -> int:
        """Rows that all processes together draw in the first batches of the epoch."""
        sizes = list(self.batch_sizes.values())
        return self.world_size * sum(sizes[number] for number in self._order()[:num_batches])

    def peek(self, batch: int) -> list[int]:
        """Rows that this process meets in that batch of the epoch, without a draw."""
        return next(self._batches(batch), [])

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        # A generator: loaders with workers ask for two iterators and use the second.
        skipped, self._skipped = self._skipped, 0
        epoch = self.epoch
        for rows in self._batches(skipped):
            yield [(epoch, row) for row in rows]

    def _order(self) -> list[int]:
        # The same on all ranks: batches of another modality would train other parameters, for
        # whose gradients the ranks would wait in vain.
        counts = list(self.num_batches.values())
        return group_order(counts, random.Random(self.seed + self.epoch))

    def _batches(self, skipped: int) -> Iterator[list[int]]:
        seed = self.seed + self.epoch
        firsts, rows = 0, []
        for size in self.group_sizes.values():
            rows.append(firsts + chunk_order(size, self.rank, self.world_size, seed))
            firsts += size
        sizes = list(self.batch_sizes.values())
        for number, batch in numbered_batches(self._order(), skipped):
            first = batch * sizes[number]
            yield rows[number][first : first + sizes[number]].tolist()


def group_order(counts: Sequence[int], rng: random.Random) -> list[int]:
    """The number of every loader as often as it has batches, shuffled."""
    order = [number for number, count in enumerate(counts) for _ in range(count)]
    # Python's shuffle, as published: another generator would give another order for a seed.
    rng.shuffle(order)
    return order


def numbered_batches(order: Sequence[int], skipped: int = 0) -> Iterator[tuple[int, int]]:
    """(loader, number of its batch) of an order, after the first ``skipped``."""
    done: dict[int, int] = {}
    for step, number in enumerate(order):
        batch = done.get(number, 0)
        done[number] = batch + 1
        # Skipped steps are counted above, so that every group resumes at its own batch.
        if step >= skipped:
            yield number, batch


def chunk_order(length: int, rank: int, world_size: int, seed: int) -> torch.Tensor:
    """Rows of one process: a contiguous part, permuted, without the remainder.

    The permutation is the same on all processes.
    """
    size = length // world_size
    generator = torch.Generator().manual_seed(seed)
    return rank * size + torch.randperm(size, generator=generator)
