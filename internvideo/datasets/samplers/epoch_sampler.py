"""Order of samples in training and evaluation, for any number of processes."""

from collections.abc import Iterator, Sized

import torch
from mmengine.dist import get_dist_info, sync_random_seed
from torch.utils.data import Sampler

from internvideo.datasets import config_checks
from internvideo.registry import DATA_SAMPLERS


@DATA_SAMPLERS.register_module()
class EpochSampler(Sampler[tuple[int, int]]):
    """Training order ``(epoch, row)``: one permutation per epoch, dealt to ranks in turn.

    The permutation depends on ``seed + epoch`` only.  Rank ``r`` takes entries ``r, r + world,
    ...``; with ``drop_last`` the remainder of the division is left out, so that every rank has
    the same number.  Without it, ranks short of one repeat entries from the start.

    Args:
        dataset: Data set; its ``set_seed`` is called when it has one.
        shuffle: Whether rows are permuted.
        seed: Seed of the order; None draws one and shares it between ranks.
        drop_last: Whether the remainder is dropped.
        augment_period: Augmentation repeats after that many epochs: the yielded epoch, which
            seeds it, is ``epoch % augment_period``; the order goes on changing.  None never.

    Raises:
        ValueError: fewer samples than processes while the remainder is dropped, or a mixture
            whose groups share no batch.
    """

    # What the class tells a rehearsal, see docs/rehearsal.md.
    check_config = staticmethod(config_checks.training_order)

    def __init__(
        self,
        dataset: Sized,
        shuffle: bool = True,
        seed: int | None = None,
        drop_last: bool = True,
        augment_period: int | None = None,
    ) -> None:
        groups = getattr(dataset, 'group_sizes', {})
        if len(groups) > 1:
            raise ValueError(
                f'{", ".join(groups)} of the mixture share no batch: set train_dataloader.'
                "batch_sampler=dict(type='MediaBatchSampler', batch_size=...), and no sampler"
            )
        self.rank, self.world_size = get_dist_info()
        self.num_rows, self.shuffle, self.drop_last = len(dataset), shuffle, drop_last
        self.seed = sync_random_seed() if seed is None else seed
        self.epoch, self._skipped = 0, 0
        self.augment_period = augment_period
        if len(self) == 0:
            raise ValueError(f'{self.num_rows} samples cannot feed {self.world_size} processes')
        if hasattr(dataset, 'set_seed'):
            dataset.set_seed(self.seed)

    def __len__(self) -> int:
        """Samples of this rank in a whole epoch."""
        rounded = self.num_rows if self.drop_last else self.num_rows + self.world_size - 1
        return rounded // self.world_size

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next pass draws."""
        self.epoch = epoch

    def skip(self, num_samples: int) -> None:
        """Let the next pass, and only that one, start after ``num_samples`` of this rank.

        Raises:
            ValueError: more than an epoch holds.
        """
        if not 0 <= num_samples <= len(self):
            raise ValueError(f'cannot skip {num_samples} of {len(self)} samples')
        self._skipped = num_samples

    def peek(self, first: int, count: int) -> list[int]:
        """Rows that this rank meets at places ``first``, ... of the epoch, without a draw."""
        return self._rows()[first : first + count].tolist()

    def __iter__(self) -> Iterator[tuple[int, int]]:
        rows = self._rows()[self._skipped :]
        self._skipped = 0
        epoch = self.epoch % self.augment_period if self.augment_period else self.epoch
        return ((epoch, int(row)) for row in rows)

    def _rows(self) -> torch.Tensor:
        order = self._order()
        # Without drop_last the first rows come again, so that all ranks have as many.
        order = torch.cat([order, order])[: len(self) * self.world_size]
        # In turn rather than in parts: as long as the whole batch is the same size, it holds the
        # same rows under any number of processes.
        return order[self.rank :: self.world_size]

    def _order(self) -> torch.Tensor:
        if not self.shuffle:
            return torch.arange(self.num_rows)
        # One permutation for all ranks, a function of the epoch alone: resuming repeats it.
        generator = torch.Generator().manual_seed(self.seed + self.epoch)
        return torch.randperm(self.num_rows, generator=generator)


@DATA_SAMPLERS.register_module()
class EvalSampler(Sampler[tuple[int, int]]):
    """Evaluation order ``(0, row)``: rank ``r`` of ``w`` takes rows ``r, r + w, ...``.

    Nothing is padded or repeated: ranks may differ in length by one and together see each row
    exactly once.  ``seed`` is accepted because loaders pass it; nothing is drawn.
    """

    # What the class tells a rehearsal, see docs/rehearsal.md.
    check_config = staticmethod(config_checks.evaluation_order)

    def __init__(self, dataset: Sized, seed: int | None = None) -> None:
        rank, world_size = get_dist_info()
        self.rows = range(rank, len(dataset), world_size)

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return ((0, row) for row in self.rows)
