"""Equal rows of tensors."""

import torch
from torch import Tensor


def distinct_rows(*columns: Tensor | None) -> tuple[Tensor, Tensor]:
    """(D,) the first of each group of equal rows, and (N,) the group of every row.

    Rows are equal if all their bytes are, in every one of ``columns`` (N, ...); the groups are in
    the order of their first rows.  None is no column.
    """
    given = [column for column in columns if column is not None]
    # As bytes on the CPU: torch.unique would sort the rows, and finds no NaN equal to another.
    parts = [column.detach().cpu().contiguous().flatten(1) for column in given]
    # Rows without entries tell nothing apart.
    arrays = [part.view(torch.uint8).numpy() if part.numel() else None for part in parts]
    numbers: dict[tuple, int] = {}
    firsts, place = [], []
    for row in range(len(parts[0])):
        key = tuple(array[row].tobytes() for array in arrays if array is not None)
        number = numbers.setdefault(key, len(numbers))
        if number == len(firsts):
            firsts.append(row)
        place.append(number)
    device = given[0].device
    return (
        torch.tensor(firsts, dtype=torch.long, device=device),
        torch.tensor(place, dtype=torch.long, device=device),
    )
