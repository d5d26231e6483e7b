"""Functions that do what decoders do at their worst, without any decoder: for a decoder process."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from internvideo.datasets.media.decoder_process import allocate

NAME = 'tests.datasets.media.fake_decoding'


def level(path: str, shape: tuple[int, ...]) -> np.ndarray:
    """uint8 array of a level that the name of the file says."""
    return np.full(shape, int(Path(path).stem), np.uint8)


def levels(path: str, count: int, ends_at: int | None = None) -> Iterator[np.ndarray]:
    """Arrays of growing levels; before one of them the process may end itself."""
    for number in range(count):
        if number == ends_at:
            os.kill(os.getpid(), 9)
        yield np.full(4, number, np.uint8)


def process(path: str) -> int:
    """Identity of the process that decodes."""
    return os.getpid()


def spin(path: str) -> None:
    """Never come back."""
    while True:
        pass


def sleep(path: str) -> None:
    """Never come back either, without doing anything."""
    time.sleep(3600)


def end_itself(path: str, signal_number: int) -> None:
    """End the process as the system ends one for a fault."""
    os.kill(os.getpid(), signal_number)
    time.sleep(3600)


def leave(path: str) -> None:
    """End the process as a library does that calls exit."""
    os._exit(3)


def fail(path: str) -> None:
    """Raise what a decoder raises."""
    raise IndexError(f'{path}: no such frame')


def read(path: str) -> int:
    """Level of a file, or what its name asks for."""
    if 'spin' in path:
        spin(path)
    if 'end' in path:
        end_itself(path, 11)
    return int(Path(path).stem)


def waste(path: str) -> np.ndarray:
    """An array in shared memory, beside another one that is not given back."""
    allocate((1 << 17,))
    found = allocate((1 << 17,))
    found[:] = 5
    return found


def open_descriptors(path: str) -> int:
    """Number of files that the process holds open."""
    return len(list(Path('/proc/self/fd').iterdir()))
