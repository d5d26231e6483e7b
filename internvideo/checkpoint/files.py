"""Reading state dicts without running code that the file brings along, and writing them."""

import json
import os
import pickle
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from internvideo.fileio.atomic import atomic_path
from internvideo.structures.frame_sampling import FrameSampling

from .sources import resolve_source, sibling_source

CONTAINERS = ('model', 'module', 'state_dict')
"""Keys under which a file may hold its state dict, by precedence."""
FRAME_SAMPLING = 'frame_sampling'
"""Entry of ``meta``, or of the metadata of a safetensors file, with the fields of one."""

# The part of torch's message that says what its safe loader refuses; pages of advice follow it.
_UNSAFE = re.compile(r'(?:Unsupported (?:global|class)|Trying to|Can only) ?:? ?[^\n]{0,50}[\w)]')
_UNKNOWN_OPERAND = re.compile(r'Unsupported operand \d+')


def read_state_dict(source: str | os.PathLike, trusted_pickle: bool = False) -> dict[str, Tensor]:
    """Read the tensors of a checkpoint on the CPU.

    Args:
        source: ``.pth`` / ``.pt`` / ``.bin``, ``.safetensors`` or the ``.index.json`` of a sharded
            checkpoint; see :func:`~internvideo.checkpoint.sources.resolve_source` for where it
            may lie.  The state dict is the first of the entries ``model``, ``module`` and
            ``state_dict``, or the file itself.
        trusted_pickle: also read pickles with objects besides tensors.  Such a file can run any
            code: only for files whose origin you trust.

    Raises:
        FileNotFoundError: the file, or a shard of it, does not exist.
        ValueError: the file is truncated or damaged, holds objects besides plain data (and
            ``trusted_pickle`` is off), or holds no state dict.  The message names the file.
        CheckpointSourceError: a remote file could not be fetched.
    """
    path = resolve_source(source)
    if path.name.endswith('.index.json'):
        return _read_shards(source, path, trusted_pickle)
    return _unwrap(_read_file(path, trusted_pickle), path)


def read_settings(source: str | os.PathLike, trusted_pickle: bool = False) -> dict[str, Any]:
    """Read the settings ``cfg`` that some files hold beside their tensors.

    Arguments and errors: see :func:`read_state_dict`.
    """
    path = resolve_source(source)
    # Such files hold tensors alone.
    if path.suffix in ('.json', '.safetensors'):
        return {}
    found = _read_file(path, trusted_pickle)
    settings = found.get('cfg') if isinstance(found, Mapping) else None
    return dict(settings) if isinstance(settings, Mapping) else {}


def read_frame_sampling(source: str | os.PathLike) -> FrameSampling | None:
    """Read the choice of frames that a checkpoint was trained with.

    Returns:
        None: the file does not say it, as those of others do not, or cannot be read as data.

    Raises:
        FileNotFoundError, CheckpointSourceError: as :func:`read_state_dict`.
        ValueError: what it says is no choice of frames; names the file.
    """
    fields = frame_sampling_fields(source)
    if fields is None:
        return None
    try:
        return FrameSampling.from_dict(fields)
    except (ValueError, TypeError) as error:
        raise ValueError(f'checkpoint {source}: {error}') from error


def frame_sampling_fields(source: str | os.PathLike) -> Any:
    """Read what :func:`read_frame_sampling` makes a choice of frames, whatever it is."""
    path = resolve_source(source)
    try:
        if path.suffix == '.safetensors':
            return json.loads(_read_metadata(path).get(FRAME_SAMPLING, 'null'))
        # Ours are zip files, which are mapped: others would be read as a whole.
        found = _read_pickle(path, False, mmap=True) if zipfile.is_zipfile(path) else None
    # Loading the weights, which is asked for beside this, says what is wrong with the file.
    except ValueError:
        return None
    meta = found.get('meta') if isinstance(found, Mapping) else None
    return meta.get(FRAME_SAMPLING) if isinstance(meta, Mapping) else None


def unwrap(checkpoint: Mapping[str, Any]) -> Mapping[str, Any]:
    """The first of ``model``, ``module``, ``state_dict`` that holds a mapping, or all of it."""
    for container in CONTAINERS:
        if isinstance(checkpoint.get(container), Mapping):
            return checkpoint[container]
    return checkpoint


def write_state_dict(
    state: Mapping[str, Tensor],
    path: str | os.PathLike,
    container: str = 'state_dict',
    frame_sampling: Mapping[str, Any] | None = None,
) -> Path:
    """Write tensors to ``path``, whole or not at all.

    Args:
        state: names and tensors, on any device.
        path: ``.safetensors``, or ``.pth`` / ``.pt`` / ``.bin``, which hold the state dict as the
            entry ``container``.
        frame_sampling: plain values that :func:`read_frame_sampling` shall find.

    Raises:
        ValueError: another suffix.
    """
    path = check_suffix(path)
    # safetensors refuses strided views.
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    with atomic_path(path) as temporary:
        _write_file(tensors, temporary, container, frame_sampling)
    return path


def check_suffix(path: str | os.PathLike) -> Path:
    """Return ``path`` if it names a format that can be written, else raise ValueError."""
    path = Path(path).expanduser()
    if path.suffix not in ('.safetensors', '.pth', '.pt', '.bin'):
        raise ValueError(f'{path}: checkpoints are written as .safetensors, .pth, .pt or .bin')
    return path


def _write_file(
    tensors: dict[str, Tensor], path: Path, container: str, frames: Mapping[str, Any] | None
) -> None:
    if path.suffix == '.safetensors':
        from safetensors.torch import save_file

        noted = {} if frames is None else {FRAME_SAMPLING: json.dumps(frames)}
        save_file(tensors, path, metadata={'format': 'pt', **noted})
    else:
        noted = {} if frames is None else dict(meta={FRAME_SAMPLING: frames})
        torch.save({container: tensors, **noted}, path)


def _read_file(path: Path, trusted_pickle: bool) -> Any:
    if path.suffix == '.safetensors':
        return _read_safetensors(path)
    with path.open('rb') as file:
        magic = file.read(4)
    # torch's format is a zip file, whose directory stands at its end.
    is_zip = zipfile.is_zipfile(path)
    if not magic or (magic == b'PK\x03\x04' and not is_zip):
        raise _damaged(path, 'the end of the file is missing')
    if is_zip and _is_torchscript(path):
        return _read_torchscript(path, trusted_pickle)
    # A legacy pickle cannot be mapped into memory.
    return _read_pickle(path, trusted_pickle, mmap=is_zip)


def _read_pickle(path: Path, trusted_pickle: bool, mmap: bool) -> Any:
    try:
        return torch.load(path, map_location='cpu', mmap=mmap, weights_only=not trusted_pickle)
    except Exception as error:  # a damaged pickle ends in whatever its bytes happen to mean
        found = _UNSAFE.search(str(error))
        if found and not trusted_pickle and isinstance(error, pickle.UnpicklingError):
            raise ValueError(_foreign_objects(path, found[0])) from error
        found = found or _UNKNOWN_OPERAND.search(str(error))
        raise _damaged(path, found[0] if found else f'{type(error).__name__} {error}') from error


def _is_torchscript(path: Path) -> bool:
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith('/constants.pkl') for name in archive.namelist())


def _read_torchscript(path: Path, trusted: bool) -> dict[str, Tensor]:
    """Weights of a TorchScript archive, which is how CLIP was first released."""
    if not trusted:
        raise ValueError(
            f'checkpoint {path} is a TorchScript archive: a program with its weights. If you trust '
            'where the file comes from, pass trusted_pickle=True, or write its weights alone once: '
            "torch.save(torch.jit.load(FILE, map_location='cpu').state_dict(), OTHER_FILE)"
        )
    try:
        module = torch.jit.load(path, map_location='cpu')
    except RuntimeError as error:
        raise _damaged(path, str(error)) from error
    return {name: tensor.detach() for name, tensor in module.state_dict().items()}


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except SafetensorError as error:
        raise _damaged(path, str(error)) from error


def _read_metadata(path: Path) -> dict[str, str]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, 'pt') as file:
            return file.metadata() or {}
    except SafetensorError as error:
        raise _damaged(path, str(error)) from error


def _read_shards(source: str | os.PathLike, index: Path, trusted_pickle: bool) -> dict[str, Tensor]:
    try:
        weight_map = json.loads(index.read_text('utf-8'))['weight_map']
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f'checkpoint index {index} has no valid "weight_map"') from error
    shards = {
        name: _read_file(resolve_source(sibling_source(source, name)), trusted_pickle)
        for name in dict.fromkeys(weight_map.values())
    }
    absent = [f'{key} in {shard}' for key, shard in weight_map.items() if key not in shards[shard]]
    if absent:
        raise ValueError(f'checkpoint {index}: the shards lack {", ".join(absent[:5])}')
    return {key: shards[shard][key] for key, shard in weight_map.items()}


def _unwrap(checkpoint: Any, path: Path) -> dict[str, Tensor]:
    if not isinstance(checkpoint, Mapping):
        raise ValueError(f'checkpoint {path} holds a {type(checkpoint).__name__}, no state dict')
    state = dict(unwrap(checkpoint))
    others = [str(name) for name, value in state.items() if not isinstance(value, Tensor)]
    if others or not state:
        raise ValueError(
            f'checkpoint {path} holds no state dict: looked for the entries '
            f'{", ".join(CONTAINERS)} and at the file itself, whose entries are '
            f'{", ".join(map(str, list(checkpoint)[:8])) or "none"}'
            + (f'; not tensors: {", ".join(others[:5])}' if others else '')
        )
    return state


def _damaged(path: Path, reason: str) -> ValueError:
    reason = ' '.join(reason.split())[:200]
    return ValueError(f'checkpoint {path} is truncated, damaged or no checkpoint: {reason}')


def _foreign_objects(path: Path, found: str) -> str:
    return (
        f'checkpoint {path} holds Python objects besides tensors and plain data ({found}), '
        'and loading those can run any code. If you trust where the file comes from, pass '
        'trusted_pickle=True (--trusted-pickle of tools/{train,test,convert_checkpoint}.py)'
    )
