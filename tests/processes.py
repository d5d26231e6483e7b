"""Runs a function in several processes that form one gloo group."""

import os
import pickle
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp


def _work(rank: int, world: int, port: int, function: Callable, args: tuple, folder: str) -> None:
    torch.set_num_threads(1)
    os.environ.update(MASTER_ADDR='127.0.0.1', MASTER_PORT=str(port))
    dist.init_process_group('gloo', rank=rank, world_size=world)
    try:
        Path(folder, str(rank)).write_bytes(pickle.dumps(function(rank, *args)))
    finally:
        dist.destroy_process_group()


def free_port() -> int:
    """A port of this machine on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]


def in_processes(world: int, function: Callable, *args: Any) -> list[Any]:
    """``function(rank, *args)`` of every rank; the function must be importable, results plain."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        mp.spawn(_work, (world, port, function, args, folder), nprocs=world)
        return [pickle.loads(Path(folder, str(rank)).read_bytes()) for rank in range(world)]
