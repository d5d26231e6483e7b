"""Training checkpoints on disk: written whole or not at all, read without running code.

A checkpoint is written to a hidden temporary file in the same directory, flushed to the disk and
renamed, so a kill at any instant leaves the previous file and never half a new one.  It holds
plain data only (:func:`as_plain`), so that ``weights_only=True`` reads all of it.
"""

import re
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from internvideo.fileio.atomic import atomic_write

from .errors import CheckpointError
from .optimizer_shards import OptimizerShards

POINTER = 'last_checkpoint'
ATOMIC = dict(single_writer=True, make_parents=False)
"""A work directory belongs to one run; that it has gone is an error."""
NAME = re.compile(r'epoch_(\d+)(?:_iter_(\d+))?\.pth')


def checkpoint_name(epoch: int, iteration: int | None = None) -> str:
    """File name after ``epoch`` whole epochs, or at ``iteration`` inside the next one."""
    return f'epoch_{epoch}.pth' if iteration is None else f'epoch_{epoch}_iter_{iteration}.pth'


def as_plain(value: Any) -> Any:
    """``value`` with containers made of dict, list and tuple, and leaves that load safely.

    Tensors (on the CPU), numbers, strings, bytes and None stay; arrays become tensors; what is
    left becomes its ``str``.
    """
    return _plain(value, lambda tensor: tensor.detach().cpu())


def plain_copy(value: Any) -> Any:
    """Copy ``value`` by :func:`as_plain` without sharing memory with it."""
    copies: dict[tuple, torch.Tensor] = {}

    def copy(tensor: torch.Tensor) -> torch.Tensor:
        # Tied weights stay one tensor, so that the file does not hold them twice.
        key = (tensor.device, tensor.data_ptr(), tensor.dtype, tensor.shape, tensor.stride())
        # Empty tensors have no address that tells them apart.
        if key not in copies or not tensor.numel():
            copies[key] = tensor.detach().to('cpu', copy=True)
        return copies[key]

    return _plain(value, copy)


def _plain(value: Any, take: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    if isinstance(value, torch.Tensor):
        return take(value)
    if isinstance(value, Mapping):
        return {_plain(key, take): _plain(item, take) for key, item in value.items()}
    if isinstance(value, tuple | set | frozenset):
        return tuple(_plain(item, take) for item in value)
    if isinstance(value, list):
        return [_plain(item, take) for item in value]
    if isinstance(value, np.generic):
        return value.item()
    # torch has no tensors of texts or objects: other arrays become text.
    if isinstance(value, np.ndarray) and value.dtype.kind in 'biuf':
        return torch.from_numpy(value.copy())
    # By exact type: a subclass would be pickled by its class, which a safe load refuses.
    if value is None or type(value) in (bool, int, float, str, bytes):
        return value
    return str(value)


def write_checkpoint(state: dict, path: str | Path) -> None:
    """Write ``state`` to ``path`` atomically.

    Raises:
        CheckpointError: the file system refuses (full, read-only, missing); whatever stood at
            ``path`` before is untouched.
    """
    try:
        atomic_write(path, lambda file: torch.save(state, file), **ATOMIC)
    except (OSError, RuntimeError) as error:  # torch reports a full disk as RuntimeError
        raise CheckpointError(
            f'cannot write checkpoint {path}: {error}; earlier checkpoints are untouched'
        ) from error


def write_pointer(directory: str | Path, target: Path) -> None:
    """Name the newest checkpoint in ``directory/last_checkpoint``, atomically."""
    atomic_write(Path(directory) / POINTER, str(target), **ATOMIC)


def read_checkpoint(path: str | Path) -> dict:
    """Read a checkpoint onto the CPU with ``weights_only=True``.

    Raises:
        CheckpointError: missing, torn, not a checkpoint, or holding code.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f'checkpoint {path} does not exist')
    try:
        checkpoint = torch.load(path, map_location='cpu', weights_only=True)
    except Exception as error:  # torch raises half a dozen kinds for damaged files
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(f'cannot read checkpoint {path}: {reason}') from error
    if not isinstance(checkpoint, dict) or 'state_dict' not in checkpoint:
        raise CheckpointError(f'{path} is no checkpoint of this project: it has no state_dict')
    return checkpoint


def read_training_state(path: str | Path) -> dict:
    """Read a checkpoint that training can go on from, after checking its bytes.

    Raises:
        CheckpointError: as :func:`read_checkpoint`, damaged bytes, weights without the state of a
            run, or an optimiser shard beside it that is missing or torn.
    """
    path = Path(path)
    # torch does not compare the checksums: a flipped bit would go into the weights unseen.
    if path.is_file() and zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
        if damaged is not None:
            raise CheckpointError(f'checkpoint {path} is damaged at {damaged}')
    checkpoint = read_checkpoint(path)
    missing = [key for key in ('meta', 'optimizer', 'random_states') if key not in checkpoint]
    if missing:
        raise CheckpointError(
            f'training cannot be resumed from {path}: it has no {", ".join(missing)} '
            '(weights alone are loaded through load_from)'
        )
    if 'shards' in checkpoint['optimizer']:
        checkpoint['optimizer']['state'] = OptimizerShards(
            path, checkpoint['optimizer'].pop('shards')
        )
    return checkpoint


def resume_candidates(directory: str | Path) -> list[Path]:
    """Checkpoints of ``directory`` in the order in which resuming should try them.

    First those that are newer than the file ``last_checkpoint`` names (a kill may fall between
    the two writes), then that one, then earlier ones.  A later name with an earlier time is left
    by another run in the same directory and is not tried.
    """
    directory = Path(directory)
    found = {path: _order(path) for path in directory.glob('epoch_*.pth') if NAME.match(path.name)}
    pointed = _pointed(directory)
    if pointed in found:
        limit, time = found[pointed], pointed.stat().st_mtime_ns
        for path in list(found):
            if found[path] > limit and path.stat().st_mtime_ns < time:
                del found[path]
    return sorted(found, key=lambda path: found[path], reverse=True)


def _order(path: Path) -> tuple[int, int]:
    epoch, iteration = NAME.match(path.name).groups()
    # epoch_2 is written after two epochs, epoch_2_iter_M inside the third: it comes first.
    return int(epoch), int(iteration or -1)


def _pointed(directory: Path) -> Path | None:
    pointer = directory / POINTER
    # Only the name counts: a work directory may have been moved.
    return directory / Path(pointer.read_text().strip()).name if pointer.is_file() else None


def find_resumable(directory: str | Path, report: Callable[[str], None]) -> Path | None:
    """Find the checkpoint to resume from and ``report`` why newer ones are passed by."""
    for path in resume_candidates(directory):
        try:
            # In full: a file that is torn anywhere must be passed by, not fail later.
            read_training_state(path)
        except CheckpointError as error:
            report(f'passed by: {error}')
        else:
            return path
    return None
