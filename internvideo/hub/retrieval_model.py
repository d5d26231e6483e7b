"""Retrieval models with their weights, ready to encode."""

import hashlib
import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from mmengine.config import Config
from torch import nn

from internvideo.checkpoint.loading import INIT_FIELDS, adapter_of, is_published_init
from internvideo.registry import MODELS
from internvideo.structures.encoded import RetrievalModel

from .model_zoo import find_entry, published_weights

RANDOM_SEED = 0
TRAINING_FIELDS = ('init_cfg', 'drop_path_rate', 'use_checkpoint', 'checkpoint_num', 'attn_backend')
"""Fields of an encoder that change nothing of what it gives in evaluation."""


def load_retriever(
    model: str | os.PathLike | Config,
    config: Config,
    checkpoint: str | os.PathLike | None = None,
    random_weights: bool = False,
) -> tuple[nn.Module, str | None, tuple[str, ...]]:
    """A retrieval model on the CPU, where its weights come from, and parts these do not train.

    Weights are those of ``checkpoint``, ours or published; else the released files that the
    config's ``init_cfg`` names; else the published weights of the model zoo.  Where ``init_cfg``
    makes up a model of several files, ``checkpoint`` may stand for the last of these.

    Args:
        model: name or config file, which the model zoo may know.
        config: its resolved config.
        checkpoint: path or address.
        random_weights: run without weights, for trying things out.

    Raises:
        ValueError: not a retrieval model, or no weights are known.
        CheckpointMismatchError: the weights do not fit.
        FileNotFoundError: their file does not exist.
    """
    weights = _find_weights(model, config, checkpoint, random_weights)
    # Parts that no file brings get the same numbers in every process: an index is compared by the
    # digest of all weights.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(RANDOM_SEED)
        built = MODELS.build(config.model)
    _check_retriever(built)
    if weights.load is not None:
        weights.load(built)
    return built.eval(), weights.source, weights.untrained


class _Weights(NamedTuple):
    """Source of weights, the adapter that loads them, and parts that they do not train."""

    source: str | None = None
    load: Callable[[nn.Module], Any] | None = None
    untrained: tuple[str, ...] = ()


def _find_weights(
    model: str | os.PathLike | Config,
    config: Config,
    checkpoint: str | os.PathLike | None,
    random_weights: bool,
) -> _Weights:
    """Resolve what :func:`load_retriever` loads, to miss nothing after the model is built."""
    from internvideo.checkpoint.sources import resolve_source

    if random_weights:
        return _Weights()
    init, published = config.model.get('init_cfg'), _published(model)
    init = dict(init) if is_published_init(init) else {}
    if checkpoint is not None:
        file = resolve_source(checkpoint)
        return _Weights(os.fspath(checkpoint), partial(_load_given, init=init, file=file))
    # Files that the config names come first where they are here, else what can be fetched.
    if names_released_weights(init) and (published is None or not _missing(init)):
        _check_files(init)
        untrained = adapter_of(init).new_parts
        return _Weights(init['checkpoint'], partial(_load_released, init=init), untrained)
    if published is not None:
        source, adapter = published
        options = adapter_of(dict(adapter=adapter)).whole_model_options(_options_of(init))
        options |= dict(type='Published', checkpoint=source, adapter=adapter)
        return _Weights(source, partial(_load_released, init=options))
    raise ValueError(
        f'no released weights are known for {config.filename or "this config"}'
        f'{_start_note(init)}: give a checkpoint (or ask for random_weights to try things out)'
    )


def names_released_weights(init: Mapping[str, Any]) -> bool:
    """Whether an ``init_cfg`` makes a whole model, not one whose training begins."""
    return bool(init.get('checkpoint')) and adapter_of(init).gives_whole_model


def _missing(init: Mapping[str, Any]) -> list[str]:
    """Files of an ``init_cfg`` that are not on this machine, nor fetched from elsewhere."""
    files = [os.fspath(init['checkpoint']), *adapter_of(init).further_files]
    return [file for file in files if '://' not in file and not Path(file).is_file()]


def _check_files(init: Mapping[str, Any]) -> None:
    if missing := _missing(init):
        raise FileNotFoundError(
            f'weights not found: {", ".join(missing)}; put them there (INTERNVIDEO2_MODEL_PATH '
            'names the folder), or give a checkpoint'
        )


def _load_given(model: nn.Module, init: Mapping[str, Any], file: Path) -> None:
    """Load a whole model or, where ``init_cfg`` is made up of files, the last of these."""
    from internvideo.checkpoint import load_checkpoint

    if init and not adapter_of(init).gives_whole_model:  # what training starts from
        kept = {k: v for k, v in init.items() if k in INIT_FIELDS}
        model.init_cfg = kept | adapter_of(init).whole_model_options(_options_of(init))
    load_checkpoint(model, file)


def _load_released(model: nn.Module, init: Mapping[str, Any]) -> None:
    from internvideo.checkpoint import load_pretrained

    options = {name: value for name, value in init.items() if name != 'type'}
    load_pretrained(model, options.pop('checkpoint'), **options)


def _options_of(init: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in init.items() if key not in INIT_FIELDS}


def _start_note(init: Mapping[str, Any]) -> str:
    source = init.get('checkpoint')
    return f' (its init_cfg, {source}, is what training starts from)' if source else ''


def _published(model: str | os.PathLike | Config) -> tuple[str, str] | None:
    """(file, adapter) of the model zoo."""
    name = model.filename if isinstance(model, Config) else model
    if name is None or published_weights(name) is None:
        return None
    entry = find_entry(name)
    return entry.weights, entry.adapter


def _check_retriever(model: nn.Module) -> None:
    if not isinstance(model, RetrievalModel):
        raise ValueError(
            f'{type(model).__name__} does not read texts: searching needs a retrieval model; '
            "list_models('retrieval') names some"
        )
    if getattr(model.data_preprocessor, 'tokenizer', None) is None:
        raise ValueError('model.data_preprocessor has no tokenizer, which queries need')


def weights_digest(model: nn.Module) -> str:
    """SHA-256 of every name, type, shape and number of the model's state."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f'{name} {tensor.dtype} {tuple(tensor.shape)}\n'.encode())
        # As bytes, since NumPy has no bfloat16.
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def encoder_fields(config: Config) -> dict[str, Any]:
    """Fields of the encoders that decide the feature of a clip."""
    fields = {}
    for name in ('vision_encoder', 'audio_encoder'):
        own = config.model.get(name) or {}
        fields[name] = {key: own[key] for key in own if key not in TRAINING_FIELDS}
    segments = config.model.get('num_test_segments', 1)
    return fields | dict(num_test_segments=segments)
