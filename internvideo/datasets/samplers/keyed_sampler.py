"""Rows of samplers of other libraries, with the epoch that they are drawn in."""

from collections.abc import Iterator
from typing import Any

from torch.utils.data import DataLoader, Sampler


class KeyedSampler(Sampler[tuple[int, int]]):
    """Yields ``(epoch, row)`` in the order of a sampler that yields rows.

    Data sets of this project draw an item from ``(seed, epoch, row)``; a row alone stands for
    epoch 0, so that every epoch would be augmented like the first.

    Args:
        sampler: yields rows, or keys ``(epoch, row)``, which stay as they are.
    """

    def __init__(self, sampler: Any) -> None:
        self.sampler, self.epoch = sampler, 0

    def __len__(self) -> int:
        return len(self.sampler)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next pass draws, of the sampler too if it can be told."""
        self.epoch = epoch
        if hasattr(self.sampler, 'set_epoch'):
            self.sampler.set_epoch(epoch)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        epoch = self.epoch
        return (key if isinstance(key, tuple) else (epoch, int(key)) for key in self.sampler)


def tell_epochs(loader: DataLoader) -> None:
    """Make a training loader ask its data set for ``(epoch, row)``, if that can take it.

    Loaders whose sampler has ``skip``, as the samplers of this project, do so already.

    Raises:
        ValueError: the loader's batch sampler makes batches of rows by itself.
    """
    batches = loader.batch_sampler
    ours = hasattr(batches, 'skip') or hasattr(getattr(batches, 'sampler', None), 'skip')
    if ours or not hasattr(loader.dataset, 'set_seed'):
        return
    if not hasattr(batches, 'sampler'):
        raise ValueError(
            f'train_dataloader: {type(batches or loader.sampler).__name__} does not say the epoch, '
            'so that every epoch would be augmented like the first; set train_dataloader.'
            "sampler=dict(type='EpochSampler'), and no batch_sampler"
        )
    # Batches are made in the main process: workers, kept or new, get the epoch with each row.
    batches.sampler = KeyedSampler(batches.sampler)
    if hasattr(batches.sampler.sampler, 'seed'):
        loader.dataset.set_seed(batches.sampler.sampler.seed)
