"""Running a function in several processes that form one gloo group."""

import pickle
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from internvideo.engine.distributed import leave_process_group


def _work(rank: int, world: int, function: Callable, args: tuple, folder: str) -> None:
    # All ranks share the cores of this machine.
    torch.set_num_threads(1)
    # A file brings the processes together: a port may be taken between its choice and its use.
    meeting = Path(folder, 'meeting').as_uri()
    dist.init_process_group('gloo', init_method=meeting, rank=rank, world_size=world)
    try:
        Path(folder, str(rank)).write_bytes(pickle.dumps(function(rank, *args)))
    finally:
        leave_process_group()


def in_processes(world: int, function: Callable, *args: Any) -> list[Any]:
    """Return ``function(rank, *args)`` of every rank.

    The function must be importable, its arguments and results plain.
    """
    with tempfile.TemporaryDirectory() as folder:
        mp.spawn(_work, (world, function, args, folder), nprocs=world)
        return [pickle.loads(Path(folder, str(rank)).read_bytes()) for rank in range(world)]
