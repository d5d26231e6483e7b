"""A copy of a config that is small in everything but its structure.

Types, transforms, losses, frames, classes and views stay; widths, depths, pictures, batches, data
and epochs shrink, all by the same rules, so that what fitted together still does.
"""

import copy
import inspect
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from internvideo.models.text import bert, llama
from internvideo.registry import MODELS

from .generated_data import MediaCache, generated_dataset
from .generated_media import chosen
from .vocabularies import with_small_vocabularies

# Tokens and pooled vectors are equally wide: some encoders pool by a plain mean.
WIDTH, HEADS, DEPTH = 48, 4, 2
WIDTHS = {
    'embed_dim': WIDTH,
    'clip_dim': WIDTH,
    'mae_dim': WIDTH,
    'clip_embed_dim': WIDTH,
    'clip_final_dim': WIDTH,
    'in_dim': WIDTH,
    'align_dim': WIDTH,
    'av_concat_dim': WIDTH,
}
"""Fields that say a width, and what it becomes."""

SMALL_BERT = dict(
    hidden_size=WIDTH,
    num_hidden_layers=DEPTH,
    num_attention_heads=HEADS,
    intermediate_size=2 * WIDTH,
    fusion_layer=1,
)
SMALL_LLAMA = dict(
    hidden_size=WIDTH,
    num_hidden_layers=DEPTH,
    num_attention_heads=HEADS,
    intermediate_size=2 * WIDTH,
)
# Vocabularies stay: tokenizers are held against them.
SMALL_TOWERS: dict[str, dict[str, Any]] = {
    'MobileCLIPText': dict(
        dim=WIDTH,
        n_transformer_layers=DEPTH,
        n_heads_per_layer=HEADS,
        ffn_multiplier_per_layer=2.0,
        projection_dim=WIDTH,
    ),
    'BEATs': dict(
        embed_dim=WIDTH,
        encoder_layers=DEPTH,
        encoder_embed_dim=WIDTH,
        encoder_ffn_embed_dim=2 * WIDTH,
        encoder_attention_heads=HEADS,
    ),
}
"""Towers without ``arch``, and their sizes."""

ARCHITECTURE = ('embed_dim', 'depth', 'num_heads', 'mlp_ratio')
BATCH, STEPS, VALIDATED = 2, 2, 3
REFERENCE_SIDE, SMALL_SIDE = 224, 56
PIXEL_FIELDS = ('size', 'short_side', 'img_size')


def shrink(
    config: Mapping[str, Any], work_dir: Path, cache: MediaCache, name: str
) -> dict[str, Any]:
    """The shrunken copy, with generated data, for one process.

    Args:
        config: the config.
        work_dir: where the run may write.
        cache: generated media.
        name: name of the run, unlike any other of this process.
    """
    small = copy.deepcopy(dict(config))
    model = shrink_model(small['model'])
    small['model'] = with_small_vocabularies(model, cache.vocabulary)
    for key in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        if small.get(key):
            small[key] = _shrink_loader(small, key, work_dir, cache)
    if small.get('train_dataloader'):
        _shrink_training(small)
    small.update(
        strategy=dict(type='SingleDevice'),
        launcher='none',
        work_dir=str(work_dir / 'run'),
        experiment_name=name,
        load_from=None,
        resume=False,
        log_level='ERROR',
    )
    if small.get('compile'):
        small['compile'] = dict(backend='eager')  # code is still captured; compiling takes minutes
    return small


def _shrink_training(small: dict[str, Any]) -> None:
    epochs = small['train_cfg']['max_epochs']
    small['train_cfg'] = _shrink_loop(small['train_cfg'])
    _shrink_schedule(small, epochs)
    if small['optim_wrapper'].get('dtype') == 'float16':
        small['optim_wrapper']['dtype'] = 'bfloat16'  # no GPU here


def shrink_model(model: Any) -> Any:
    """A model's config with small encoders, no weights to load, and pictures of a quarter side."""
    if isinstance(model, list | tuple):
        return type(model)(shrink_model(part) for part in model)
    if not isinstance(model, Mapping):
        return model
    layers = list(_needed_blocks(model))
    small = {key: shrink_model(value) for key, value in model.items()}
    small = {key: _smaller(key, value) for key, value in small.items()}
    if 'init_cfg' in small:
        small['init_cfg'] = None
    arguments = _arguments(small.get('type'))
    small.update(SMALL_TOWERS.get(small.get('type'), {}))
    if str(small.get('type')).startswith('FusionBert'):
        _shrink_arch(small, SMALL_BERT, bert.ARCHITECTURES, 'large')
    elif small.get('type') == 'LlamaText':
        _shrink_arch(small, SMALL_LLAMA, llama.ARCHITECTURES, '7B')
        small['out_dim'] = WIDTH
    elif 'arch' in arguments:
        _shrink_encoder(small, arguments)
    for key in ('in_dim', 'clip_dim', 'clip_final_dim'):
        if key in arguments and small.get(key, True):
            small[key] = WIDTHS[key]
    for key in ('encoder', 'backbone', 'vision_encoder'):
        if isinstance(small.get(key), Mapping) and 'arch' in small[key]:
            _deepen(small[key], max(layers, default=DEPTH))
    return small


def _smaller(key: str, value: Any) -> Any:
    if key in WIDTHS and value:
        return WIDTHS[key]
    if key in PIXEL_FIELDS:
        return shrink_pixels(value)
    return value


def _arguments(kind: Any) -> Mapping[str, inspect.Parameter]:
    if not isinstance(kind, str) or kind not in MODELS:
        return {}
    return inspect.signature(MODELS.get(kind).__init__).parameters


def _shrink_arch(
    small: dict[str, Any], sizes: Mapping[str, Any], known: Mapping[str, Any], usual: str
) -> None:
    """Sizes of a text tower; what else its ``arch`` says stays."""
    for key in sizes:
        small.pop(key, None)
    arch = small.get('arch', usual)
    small['arch'] = dict(known.get(arch, {}) if isinstance(arch, str) else arch) | dict(sizes)


def _shrink_encoder(small: dict[str, Any], arguments: Mapping[str, inspect.Parameter]) -> None:
    for key in ARCHITECTURE:
        small.pop(key, None)
    small['arch'] = dict(embed_dim=WIDTH, depth=DEPTH, num_heads=HEADS, mlp_ratio=2.0)
    side = arguments['img_size'].default
    small.setdefault('img_size', shrink_pixels(side))
    if small.get('clip_embed_dim', True) and 'clip_embed_dim' in arguments:
        small.update(clip_embed_dim=WIDTH, attn_pool_num_heads=HEADS)
    if small.get('checkpoint_num'):
        small['checkpoint_num'] = 1


def _deepen(encoder: dict[str, Any], depth: int) -> None:
    encoder['arch'] = dict(encoder['arch'], depth=max(depth, DEPTH))


def _needed_blocks(part: Mapping[str, Any]) -> Iterator[int]:
    """Depths at which the blocks that ``part`` names exist."""
    for key, value in part.items():
        if not key.endswith('layers') or not value:
            continue
        if isinstance(value, Mapping):
            yield int((value['count'] - 1) * value.get('interval', 1)) + 1
        elif isinstance(value, list | tuple):
            yield max(value) + 1
    freeze = part.get('freeze')
    yield freeze.get('open_blocks', 0) if isinstance(freeze, Mapping) else 0


def shrink_pixels(value: Any) -> Any:
    """A side in pixels, or a pair, at a quarter; 32 px and less stay as they are."""
    if isinstance(value, list | tuple):
        return type(value)(shrink_pixels(side) for side in value)
    if not isinstance(value, int) or value <= SMALL_SIDE:
        return value
    return round(value * SMALL_SIDE / REFERENCE_SIDE)


def _shrink_transforms(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {
            key: shrink_pixels(item) if key in PIXEL_FIELDS else _shrink_transforms(item)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return type(value)(_shrink_transforms(item) for item in value)
    return value


def _shrink_loader(
    config: Mapping[str, Any], key: str, work_dir: Path, cache: MediaCache
) -> dict[str, Any]:
    loader = dict(config[key])
    trains = key == 'train_dataloader'
    accumulation = (config.get('optim_wrapper') or {}).get('accumulative_counts', 1)
    # Of several corpora each gives a batch at least; one alone gives all steps.
    corpora = len(chosen(loader['dataset']))
    per_part = BATCH * (1 if corpora > 1 else STEPS)
    rows = per_part * accumulation if trains else VALIDATED
    dataset = generated_dataset(loader['dataset'], config['model'], rows, cache, work_dir)
    dataset = _shrink_transforms(dataset)
    workers = min(loader.get('num_workers', 0), 1) if trains else 0
    loader |= dict(dataset=dataset, num_workers=workers)
    if loader.get('batch_sampler'):
        sampler = dict(loader['batch_sampler'])
        sampler['batch_size'] = _small_batches(sampler['batch_size'])
        return loader | dict(batch_sampler=sampler)
    return loader | dict(batch_size=min(loader.get('batch_size', 1), BATCH))


def _small_batches(sizes: Any) -> Any:
    if isinstance(sizes, Mapping):
        return {media: min(size, BATCH) for media, size in sizes.items()}
    return min(sizes, BATCH)


def _shrink_loop(loop: Mapping[str, Any]) -> dict[str, Any]:
    changed = dict(loop, max_epochs=1)
    for key in ('val_interval', 'val_begin'):
        if key in changed:
            changed[key] = 1
    return changed


def _shrink_schedule(config: dict[str, Any], epochs: int) -> None:
    schedules = config.get('param_scheduler') or []
    schedules = schedules if isinstance(schedules, list) else [schedules]
    for schedule in schedules:
        if schedule.get('warmup_epochs'):
            schedule['warmup_epochs'] = schedule['warmup_epochs'] / epochs
        if schedule.get('warmup_steps'):
            schedule['warmup_steps'] = 1
