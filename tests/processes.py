"""Runs a function in several processes that form one gloo group."""

import itertools
import os
import pickle
import socket
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from internvideo.engine.distributed import leave_process_group

_NUMBERS = itertools.count(os.getpid())


def _work(rank: int, world: int, port: int, function: Callable, args: tuple, folder: str) -> None:
    torch.set_num_threads(1)
    os.environ.update(MASTER_ADDR='127.0.0.1', MASTER_PORT=str(port))
    dist.init_process_group('gloo', rank=rank, world_size=world)
    try:
        Path(folder, str(rank)).write_bytes(pickle.dumps(function(rank, *args)))
    finally:
        leave_process_group()


def free_port() -> int:
    """A port of this machine on which nothing listens, and which stays free until it is used.

    That is, below those that the system gives to connections (from 32768 on), another at each call,
    and of a range that other workers of pytest-xdist do not use.
    """
    worker = int(os.environ.get('PYTEST_XDIST_WORKER', 'gw0').removeprefix('gw'))
    while True:
        port = 20000 + 1500 * (worker % 8) + next(_NUMBERS) % 1500
        with socket.socket() as probe, suppress(OSError):
            probe.bind(('127.0.0.1', port))
            return port


def in_processes(world: int, function: Callable, *args: Any) -> list[Any]:
    """``function(rank, *args)`` of every rank; the function must be importable, results plain."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        mp.spawn(_work, (world, port, function, args, folder), nprocs=world)
        return [pickle.loads(Path(folder, str(rank)).read_bytes()) for rank in range(world)]
