"""Rules about optimisation, schedules, hooks and loops."""

import copy
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any

import torch

from internvideo.engine.learning_rate_scaling import lr_factor
from internvideo.engine.schedulers.step_schedules import Horizon
from internvideo.evaluation.reported_names import is_reported, names_of
from internvideo.registry import (
    HOOKS,
    METRICS,
    MODELS,
    OPTIM_WRAPPER_CONSTRUCTORS,
    PARAM_SCHEDULERS,
    STRATEGIES,
)
from internvideo.structures.rehearsal import Finding

from .fake_model import build_on_meta, wants_numbers
from .findings import one_line
from .parts import class_of
from .rehearsed_config import TRAIN, RehearsedConfig

SAVE_BEST = 'default_hooks.checkpoint.save_best'
LARGEST_ADAM_RATE = 2e-2
"""No published recipe trains near it: a rate above is a slip of the decimal point."""


def attempt(field: str, build: Callable[[], Any]) -> Iterator[Finding]:
    """A finding at ``field`` when ``build()`` fails."""
    try:
        build()
    except Exception as error:  # parts of any kind may refuse in any way
        if not wants_numbers(error):  # a real run will show it
            yield Finding(field, one_line(error))


def complete(rehearsed: RehearsedConfig) -> Iterator[Finding]:
    """Loops, loaders and evaluators come together or not at all."""
    for kind, names in {
        'train': ('train_cfg', 'train_dataloader', 'optim_wrapper'),
        'val': ('val_cfg', 'val_dataloader', 'val_evaluator'),
        'test': ('test_cfg', 'test_dataloader', 'test_evaluator'),
    }.items():
        absent = [name for name in names if rehearsed.config.get(name) is None]
        if absent and len(absent) < len(names):
            yield Finding(absent[0], f'{kind}ing needs {", ".join(names)} together')


def horizon_of(rehearsed: RehearsedConfig) -> Horizon | None:
    """Length of the run, None when the number of samples is not known."""
    config = rehearsed.config
    epochs = config['train_cfg'].get('max_epochs')
    try:
        count = rehearsed.count_items(TRAIN)
        batches = 0
        for kind, rows in count.by_kind.items():
            per_process, size = rows // rehearsed.world_size, rehearsed.batch_size(kind)
            # Batch samplers leave out what fills no batch.
            whole = config[TRAIN].get('batch_size') is None
            batches += per_process // size if whole else -(-per_process // max(size, 1))
    except (ValueError, OSError, TypeError, KeyError, ZeroDivisionError):
        return None  # the rules about files and batch sizes say why
    accumulation = config['optim_wrapper'].get('accumulative_counts', 1)
    if not count.total or not isinstance(epochs, int):
        return None
    return Horizon(batches // accumulation, epochs, accumulation)


def length(rehearsed: RehearsedConfig) -> Iterator[Finding]:
    """The run has epochs, and an epoch has steps."""
    if not rehearsed.trains:
        return
    loop = rehearsed.config['train_cfg']
    epochs = loop.get('max_epochs')
    if 'max_iters' in loop or (epochs is None and loop.get('type') not in (None, 'TrainLoop')):
        return  # a loop that counts otherwise
    if epochs is None or epochs < 1:
        yield Finding('train_cfg.max_epochs', f'{epochs} epochs')
        return
    horizon = horizon_of(rehearsed)
    if horizon is not None and horizon.steps_per_epoch == 0:
        yield Finding(
            'train_dataloader.batch_size',
            'an epoch has not one step: fewer samples than batch size x processes x accumulation',
        )


def learning_rate(rehearsed: RehearsedConfig) -> Iterator[Finding]:
    """The rate is scaled to the batch, and a rate."""
    if not rehearsed.trains:
        return
    config, world = rehearsed.config, rehearsed.world_size
    wrapper, rule = config['optim_wrapper'], config.get('lr_scaling')
    rate = (wrapper.get('optimizer') or {}).get('lr')
    if not isinstance(rate, int | float):
        return
    scales = getattr(class_of(config['model'].get('type'), MODELS), 'scales_learning_rate', False)
    # Only where the model says that its rates go by the size of a batch, and the config not (False)
    # that these are final.
    if rule is None and world > 1 and scales:
        yield Finding('lr_scaling', f'absent: lr={rate:g} is used as it is on {world} processes')
    factor = 1.0
    if rule:
        counts = wrapper.get('accumulative_counts', 1) if rule.get('with_accumulation', 1) else 1
        base = rule.get('base_batch_size', 256)
        if base < 1:
            yield Finding('lr_scaling.base_batch_size', f'{base}')
            return
        counted = (
            rehearsed.items_per_batch(each)
            if rule.get('with_repeats', True)
            else rehearsed.batch_size(each.kind)
            for each in rehearsed.training
        )
        items = max(counted, default=rehearsed.batch_size())
        factor = lr_factor(items, world, 1, counts, base)
    if (
        wrapper['optimizer'].get('type', '').startswith('Adam')
        and rate * factor > LARGEST_ADAM_RATE
    ):
        yield Finding(
            'optim_wrapper.optimizer.lr', f'{rate:g} x {factor:g} = {rate * factor:g} is no rate'
        )
    yield from _schedule_rates(config, rate)


def schedulers_of(config: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """(field, config) of every schedule."""
    found = config.get('param_scheduler') or []
    if isinstance(found, Mapping):
        return [('param_scheduler', found)]
    return [(f'param_scheduler.{index}', item) for index, item in enumerate(found)]


def _schedule_rates(config: Mapping[str, Any], rate: float) -> Iterator[Finding]:
    for field, schedule in schedulers_of(config):
        for name in ('warmup_lr', 'min_lr'):
            value = schedule.get(name)
            if isinstance(value, int | float) and value > rate:
                yield Finding(f'{field}.{name}', f'{value:g} is above the rate itself, {rate:g}')


def optimizer(rehearsed: RehearsedConfig) -> Iterator[Finding]:
    """Optimiser, parameter groups and schedules can be built for this model."""
    if not rehearsed.trains or not rehearsed.has_model:
        return
    wrapper = rehearsed.config['optim_wrapper']
    clip = wrapper.get('clip_grad')
    if clip:
        yield from _clipping(clip)
    built: list[Any] = []
    yield from attempt('optim_wrapper', lambda: built.append(build_optimizer(rehearsed.config)))
    horizon = horizon_of(rehearsed)
    if not built or horizon is None or horizon.steps == 0:
        return
    for field, schedule in schedulers_of(rehearsed.config):
        kind = class_of(schedule['type'], PARAM_SCHEDULERS)
        if getattr(kind, 'takes_horizon', False):
            arguments = dict(optimizer=built[0].optimizer, horizon=horizon)
            yield from attempt(field, partial(_build_schedule, schedule, arguments))


def _build_schedule(config: Mapping[str, Any], arguments: dict[str, Any]) -> Any:
    return PARAM_SCHEDULERS.build(dict(config), default_args=arguments)


def _clipping(clip: Mapping[str, Any]) -> Iterator[Finding]:
    known = set(inspect.signature(torch.nn.utils.clip_grad_norm_).parameters) | {'type'}
    unknown = [name for name in clip if name not in known]
    if unknown or not clip.get('max_norm', 0) > 0:
        yield Finding('optim_wrapper.clip_grad', f'{dict(clip)}: max_norm must be given, positive')


def build_optimizer(config: Mapping[str, Any]) -> Any:
    """The optimiser's wrapper over the model on the meta device.

    Raises what the wrapper, its constructor or the optimiser raises.
    """
    wrapper = copy.deepcopy(dict(config['optim_wrapper']))
    kind = wrapper.pop('constructor', 'DefaultOptimWrapperConstructor')
    if wrapper.get('dtype') == 'float16':
        wrapper['dtype'] = 'bfloat16'  # refused where there is no GPU, as here
    options = dict(
        type=kind, optim_wrapper_cfg=wrapper, paramwise_cfg=wrapper.pop('paramwise_cfg', None)
    )
    return OPTIM_WRAPPER_CONSTRUCTORS.build(options)(build_on_meta(config['model']))


def hooks(rehearsed: RehearsedConfig) -> Iterator[Finding]:
    """Hooks, strategy and precision can be had."""
    config = rehearsed.config
    named = [(f'default_hooks.{k}', v) for k, v in (config.get('default_hooks') or {}).items()]
    numbered = [(f'custom_hooks.{i}', v) for i, v in enumerate(config.get('custom_hooks') or ())]
    for field, hook in (*named, *numbered):
        if hook is not None:
            yield from attempt(field, lambda item=hook: HOOKS.build(dict(item)))
    strategy = config.get('strategy') or 'auto'
    strategy = dict(type=strategy) if isinstance(strategy, str) else dict(strategy)
    kind = strategy.get('type', 'auto')
    if kind == 'SingleDevice' and rehearsed.world_size > 1:
        yield Finding('strategy', f'SingleDevice cannot serve num_gpus={rehearsed.world_size}')
    elif kind != 'auto':
        yield from attempt('strategy', lambda: STRATEGIES.build(strategy))
    for name in ('val_cfg', 'test_cfg'):
        dtype = (config.get(name) or {}).get('amp_dtype')
        if dtype not in (None, 'bfloat16', 'float16'):
            yield Finding(f'{name}.amp_dtype', f'{dtype!r}; use bfloat16, float16 or None')


def reported_names(evaluator: Any, sets: Mapping[str, str]) -> list[str] | None:
    """Names that the metrics report, or None when one of them does not say."""
    parts = evaluator if isinstance(evaluator, list | tuple) else [evaluator]
    try:
        return names_of([METRICS.build(dict(part)) for part in parts], sets)
    except Exception:  # a metric that cannot be built, which is told elsewhere
        return None


def best_checkpoint(rehearsed: RehearsedConfig) -> Iterator[Finding]:
    """The best is chosen by a figure that is reported."""
    wanted = rehearsed.at('default_hooks.checkpoint.save_best')
    if not isinstance(wanted, str):
        return
    if rehearsed.config.get('val_dataloader') is None:
        yield Finding(SAVE_BEST, f'{wanted!r}, but nothing is validated')
        return
    evaluator = rehearsed.config.get('val_evaluator')
    found = rehearsed.observed.get('val_dataloader')
    sets = {} if found is None else found.sets
    yield from unreported(wanted, reported_names(evaluator, sets) if evaluator else None)


def unreported(wanted: str, names: Iterable[str] | None) -> Iterator[Finding]:
    """Check that ``save_best`` is among the metrics that are reported, if known."""
    if names and not is_reported(wanted, names):
        yield Finding(SAVE_BEST, f'{wanted!r} is not among {", ".join(sorted(names)) or "none"}')


RUN_RULES = (complete, length, learning_rate, optimizer, hooks, best_checkpoint)
