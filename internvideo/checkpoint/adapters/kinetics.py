"""Classifiers of Kinetics-710, and the classes of Kinetics-400, 600 and 700 in them."""

import functools
import json
from collections.abc import Sequence
from importlib import resources

from torch import Tensor

K710_CLASSES = 710


@functools.cache
def _label_maps() -> dict[str, list[int]]:
    text = resources.files(__package__).joinpath('k710_label_maps.json').read_text('utf-8')
    return json.loads(text)


def k710_rows(num_classes: int) -> list[int] | None:
    """Kinetics-710 class of each Kinetics-400/600/700 class, or None for other counts."""
    if num_classes == 400:
        return list(range(400))
    return _label_maps().get(str(num_classes))


def remap_k710_head(
    weight: Tensor, bias: Tensor | None, num_classes: int
) -> tuple[Tensor, Tensor | None]:
    """Pick the rows of a Kinetics-710 classifier that serve Kinetics-400, 600 or 700.

    A head of other than 710 rows, or for another class count, is returned as it is.

    Args:
        weight: (710, D).
        bias: (710,) or None.
        num_classes: 400 (the first 400 classes), 600 or 700 (by label map).
    """
    rows = k710_rows(num_classes)
    if rows is None or weight.shape[0] != K710_CLASSES:
        return weight, bias
    return pick_rows(weight, bias, rows)


def pick_rows(
    weight: Tensor, bias: Tensor | None, rows: Sequence[int]
) -> tuple[Tensor, Tensor | None]:
    """Rows of a linear classifier, in the order of ``rows``.

    Raises ValueError for a classifier that has not the 710 classes to pick from.
    """
    if weight.shape[0] != K710_CLASSES:
        raise ValueError(f'{weight.shape[0]} classes in the file, not those of Kinetics-710')
    rows = list(rows)
    return weight[rows], None if bias is None else bias[rows]
