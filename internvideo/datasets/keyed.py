"""Data sets of other libraries, drawn from as ours are."""

from collections.abc import Mapping
from typing import Any

from internvideo.datasets.seeding import sample_seed
from internvideo.registry import DATASETS


def as_keyed(dataset: Mapping[str, Any] | Any) -> Any:
    """A data set, or a config of one, that takes ``(epoch, row)`` and has ``set_seed``.

    One without ``set_seed`` is wrapped in :class:`KeyedDataset`.
    """
    dataset = DATASETS.build(dataset) if isinstance(dataset, Mapping) else dataset
    return dataset if hasattr(dataset, 'set_seed') else KeyedDataset(dataset)


class KeyedDataset:
    """A map-style data set asked for by ``(epoch, row)``.

    Its draws from Python's, NumPy's and torch's global generators come from ``(seed, epoch,
    row)``: it is augmented anew every epoch, and a resumed run goes on bitwise.

    Args:
        dataset: Has ``len`` and takes rows; ``full_init`` (mmengine) is called when it has one.
    """

    def __init__(self, dataset: Any) -> None:
        # mmengine's data sets may load lazily, at the first access: then in every worker process.
        if hasattr(dataset, 'full_init'):
            dataset.full_init()
        self.dataset, self.seed = dataset, 0
        self.metainfo = getattr(dataset, 'metainfo', None) or {}
        self.media_type = getattr(dataset, 'media_type', None)
        self.num_repeats = getattr(dataset, 'num_repeats', 1)

    def set_seed(self, seed: int) -> None:
        """Set the seed of all draws."""
        self.seed = seed

    def __len__(self) -> int:
        return len(self.dataset)

    def get_data_info(self, row: int) -> dict:
        """The annotation of a row, if the data set gives it."""
        return self.dataset.get_data_info(row)

    def __getitem__(self, key: int | tuple[int, int]) -> Any:
        epoch, row = key if isinstance(key, tuple) else (0, key)
        with sample_seed(self.seed, epoch, row):
            return self.dataset[row]
