"""A part of a data set, for jobs that share an evaluation."""

from collections.abc import Mapping
from typing import Any

from internvideo.registry import DATASETS


@DATASETS.register_module()
class DatasetShard:
    """Every ``count``-th item of another data set, from item ``index`` on.

    Items keep their identity: ``sample_index`` is the row in the whole data set.

    Args:
        dataset: The whole data set, as a config or built.
        index, count: Share ``index`` of ``count``, from 0.

    Raises:
        ValueError: ``index`` is not below ``count``, or there are fewer items than shares.
    """

    def __init__(self, dataset: Any, index: int, count: int) -> None:
        self.dataset = DATASETS.build(dataset) if isinstance(dataset, Mapping) else dataset
        if not 0 <= index < count:
            raise ValueError(f'share {index} of {count}: shares are counted from 0')
        # In turn: lists are often sorted by class or length, of which every share then gets some.
        self.rows = range(index, len(self.dataset), count)
        if not self.rows:
            raise ValueError(f'share {index} of {count} is empty: {len(self.dataset)} samples')
        self.metainfo = getattr(self.dataset, 'metainfo', {})

    def set_seed(self, seed: int) -> None:
        """Set the seed of all draws."""
        self.dataset.set_seed(seed)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, key: int | tuple[int, int]) -> Any:
        epoch, row = key if isinstance(key, tuple) else (0, key)
        return self.dataset[epoch, self.rows[row]]
