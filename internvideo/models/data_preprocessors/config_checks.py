"""Checks of data preprocessors in a rehearsed config.

They hand these functions out as ``check_config``.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from internvideo.fileio.packaged import is_packaged
from internvideo.registry import TASK_UTILS
from internvideo.structures.rehearsal import Finding, RehearsedRun

Config = Mapping[str, Any]
TRAIN = 'train_dataloader'


def pixel_scale(config: Config, field: str, run: RehearsedRun) -> Iterator[Finding]:
    """Mean and deviation are on the scale of the pixels, 0..255."""
    for name in ('mean', 'std'):
        values = config.get(name)
        if values and max(values) <= 1:
            yield Finding(f'{field}.{name}', f'{list(values)} is not on the scale 0..255')


def mixing(config: Config, field: str, run: RehearsedRun) -> Iterator[Finding]:
    """Check that batches are even, since clips are paired, and classes are those of the head."""
    if config.get('num_classes') not in (None, run.num_classes):
        yield Finding(
            f'{field}.num_classes',
            f'{config["num_classes"]} classes, the head has {run.num_classes}',
        )
    loader = run.loaders.get(TRAIN)
    if loader is None:
        return
    size, repeats = loader.get('batch_size', 1), loader['dataset'].get('num_repeats', 1)
    if size * repeats % 2:
        yield Finding(
            f'{TRAIN}.batch_size', f'{size} x {repeats} repeats is odd; MixupCutmix pairs the clips'
        )
        return
    try:
        count = run.count_items(TRAIN)
    except (ValueError, OSError):
        return  # the check of the list says why
    last = count.total // run.world_size % size
    if count.is_counted and not loader.get('drop_last') and last * repeats % 2:
        yield Finding(
            f'{TRAIN}.drop_last',
            f'the last batch of an epoch has {last} clips, an odd number that MixupCutmix refuses',
        )


def texts(config: Config, field: str, run: RehearsedRun) -> Iterator[Finding]:
    """There is a tokenizer, its files are here, and it fits the text tower."""
    yield from pixel_scale(config, field, run)
    tokenizer, where = config.get('tokenizer'), f'{field}.tokenizer'
    if not isinstance(tokenizer, Mapping):
        yield Finding(where, 'absent: captions need a tokenizer')
        return
    vocabulary, positions = text_limits(run)
    yield from _lengths(tokenizer, where, run, positions)
    yield from _vocabulary(tokenizer, f'{where}.source', vocabulary)


def reads_texts(config: Config, field: str, run: RehearsedRun) -> Iterator[Finding]:
    """A model that reads texts has a preprocessor with a tokenizer."""
    if config.get('data_preprocessor') is None:
        yield Finding(f'{field}.data_preprocessor.tokenizer', 'absent: captions need a tokenizer')


def text_limits(run: RehearsedRun) -> tuple[int | None, int | None]:
    """(tokens that the text tower has embeddings for, positions of its table), None if unknown."""
    modules = run.model.modules() if run.model is not None else ()
    towers = (module for module in modules if hasattr(type(module), 'text_limits'))
    return next((tower.text_limits for tower in towers), (None, None))


def _lengths(
    tokenizer: Config, field: str, run: RehearsedRun, positions: int | None
) -> Iterator[Finding]:
    """Check that no text is longer than the table of positions."""
    if positions is None:
        return
    lengths = {f'{field}.max_length': tokenizer.get('max_length')}
    if not getattr(TASK_UTILS.get(tokenizer['type']), 'keeps_its_length', False):
        for name, loader in run.loaders.items():
            lengths.update(_wishes(loader['dataset'], f'{name}.dataset'))
    for name, length in lengths.items():
        if length is not None and not 2 < length <= positions:
            yield Finding(name, f'{length} tokens; the text encoder has {positions} positions')


def _wishes(value: Any, field: str) -> Iterator[tuple[str, Any]]:
    """Every ``max_text_length`` of a data set's config."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            if key == 'max_text_length':
                yield f'{field}.{key}', item
            yield from _wishes(item, f'{field}.{key}')


def _vocabulary(tokenizer: Config, field: str, embedded: int | None) -> Iterator[Finding]:
    """Files are there, and hold no more tokens than there are embeddings for."""
    kind, source = TASK_UTILS.get(tokenizer['type']), tokenizer.get('source')
    if source and not is_packaged(str(source)):
        # A name on the hub has at most one slash; with more it can only be a folder.
        is_folder = len(Path(source).parts) > 2 or str(source).startswith(('.', '/'))
        if is_folder and not Path(source).is_dir():
            yield Finding(field, f'the folder {source} does not exist', True)
    try:
        size = kind.count_tokens(tokenizer)
    except AttributeError:
        return  # a tokenizer that does not say
    except Exception as error:  # transformers and open_clip raise anything
        yield Finding(field, ' '.join(str(error).split()) or type(error).__name__)
        return
    if None not in (size, embedded) and size > embedded:
        yield Finding(field, f'{size} tokens, the text encoder has embeddings for {embedded}')
