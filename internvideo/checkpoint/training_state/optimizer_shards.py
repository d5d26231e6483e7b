"""Optimiser state in one file per process, for models too large to gather it on one.

A checkpoint ``epoch_1.pth`` then has files ``epoch_1.optimizer-RANK-of-N.shard`` beside it, whole
before it exists.  Each piece says where in its parameter it belongs, so any number of processes,
under any strategy, can read them; files are mapped, not loaded.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor

from .errors import CheckpointError


def shard_path(checkpoint: Path, rank: int, count: int) -> Path:
    """File of process ``rank`` of ``count`` beside ``checkpoint``."""
    return checkpoint.with_name(f'{checkpoint.stem}.optimizer-{rank}-of-{count}.shard')


def remove_with_shards(checkpoint: Path) -> None:
    """Remove a checkpoint, first the file without which the others count for nothing."""
    checkpoint.unlink(missing_ok=True)
    for shard in checkpoint.parent.glob(f'{checkpoint.stem}.optimizer-*-of-*.shard'):
        shard.unlink(missing_ok=True)


class OptimizerShards(Mapping):
    """Index of a parameter -> its whole optimiser state, put together when asked for.

    Args:
        checkpoint: The file that the shards stand beside.
        count: Number of shards.

    Raises:
        CheckpointError: a shard is missing or torn.
    """

    def __init__(self, checkpoint: Path, count: int) -> None:
        self._shards = [_map(shard_path(checkpoint, rank, count)) for rank in range(count)]
        # Of all shards together: a process has no piece of a parameter that lies wholly on others.
        self._indices = sorted(set().union(*self._shards))

    def __iter__(self) -> Iterator[int]:
        return iter(self._indices)

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        pieces = [shard[index] for shard in self._shards if index in shard]
        if not pieces:
            raise KeyError(index)
        whole = dict(pieces[0]['scalars'])  # the number of steps, the same in every shard
        shape = torch.Size(pieces[0]['shape'])
        for key, first in pieces[0]['parts'].items():
            flat = torch.empty(shape.numel(), dtype=first.dtype)
            for piece in pieces:
                part = piece['parts'][key]
                flat[piece['start'] : piece['start'] + part.numel()] = part
            whole[key] = flat.view(shape)
        return whole


def _map(path: Path) -> dict:
    # Mapped: one process reads the shards of all, of which it may keep a part.
    try:
        return torch.load(path, map_location='cpu', weights_only=True, mmap=True)
    except Exception as error:  # torch raises half a dozen kinds for damaged files
        raise CheckpointError(f'cannot read optimiser shard {path}: {error}') from error
