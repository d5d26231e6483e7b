"""The first rows of a data set that offers no example rows."""

from collections.abc import Mapping
from typing import Any

from internvideo.registry import DATASETS


@DATASETS.register_module()
class FirstRows:
    """Data set of which only the first rows are counted.

    Args:
        dataset: its config.
        rows: at most so many.
    """

    def __init__(self, dataset: Mapping[str, Any], rows: int) -> None:
        self.inner = DATASETS.build(dict(dataset))
        self.rows = rows

    def __len__(self) -> int:
        return min(len(self.inner), self.rows)

    def __getitem__(self, key: Any) -> Any:
        return self.inner[key]

    def __getattr__(self, name: str) -> Any:
        if name in ('inner', 'rows') or name.startswith('__'):  # while it is copied or pickled
            raise AttributeError(name)
        return getattr(self.inner, name)
