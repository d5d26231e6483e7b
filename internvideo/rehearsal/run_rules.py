"""Rules about optimisation, schedules, hooks and loops."""

import copy
import inspect
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import torch

from internvideo.engine.learning_rate_scaling import lr_factor
from internvideo.engine.schedulers.step_schedules import Horizon
from internvideo.registry import (
    HOOKS,
    METRICS,
    OPTIM_WRAPPER_CONSTRUCTORS,
    PARAM_SCHEDULERS,
    STRATEGIES,
)
from internvideo.structures import VideoDataSample

from .dry_model import build_on_meta
from .findings import Finding, one_line
from .mixture_plan import batches_of
from .run_plan import count_samples
from .subject import Subject

LARGEST_ADAM_RATE = 2e-2
"""No published recipe trains near it: a rate above is a slip of the decimal point."""


def attempt(field: str, build: Callable[[], Any]) -> Iterator[Finding]:
    """A finding at ``field`` when ``build()`` fails."""
    try:
        build()
    except Exception as error:  # parts of any kind may refuse in any way
        yield Finding(field, one_line(error))


def complete(subject: Subject) -> Iterator[Finding]:
    """Loops, loaders and evaluators come together or not at all."""
    for kind, names in {
        'train': ('train_cfg', 'train_dataloader', 'optim_wrapper'),
        'val': ('val_cfg', 'val_dataloader', 'val_evaluator'),
        'test': ('test_cfg', 'test_dataloader', 'test_evaluator'),
    }.items():
        absent = [name for name in names if subject.config.get(name) is None]
        if absent and len(absent) < len(names):
            yield Finding(absent[0], f'{kind}ing needs {", ".join(names)} together')


def horizon_of(subject: Subject) -> Horizon | None:
    """Length of the run, None when the number of samples is not known."""
    config = subject.config
    if subject.is_multimodal:
        return _horizon_of_mixture(subject)
    try:
        samples, _ = count_samples(config['train_dataloader']['dataset'])
    except (ValueError, OSError):
        return None
    accumulation = config['optim_wrapper'].get('accumulative_counts', 1)
    per_process = samples // subject.world_size
    batches = -(-per_process // max(config['train_dataloader']['batch_size'], 1))
    epochs = config['train_cfg'].get('max_epochs', 0)
    return Horizon(batches // accumulation, epochs, accumulation) if samples else None


def _horizon_of_mixture(subject: Subject) -> Horizon | None:
    config = subject.config
    try:
        batches = sum(batches_of(config['train_dataloader'], subject.world_size).values())
    except (TypeError, KeyError, ZeroDivisionError):
        return None  # the rule about batch sizes says why
    accumulation = config['optim_wrapper'].get('accumulative_counts', 1)
    epochs = config['train_cfg'].get('max_epochs', 0)
    return Horizon(batches // accumulation, epochs, accumulation) if batches else None


def length(subject: Subject) -> Iterator[Finding]:
    """The run has epochs, and an epoch has steps."""
    loop = subject.config['train_cfg']
    epochs = loop.get('max_epochs')
    if epochs is None or epochs < 1:
        yield Finding('train_cfg.max_epochs', f'{epochs} epochs')
        return
    horizon = horizon_of(subject)
    if horizon is not None and horizon.steps_per_epoch == 0:
        yield Finding(
            'train_dataloader.batch_size',
            'an epoch has not one step: fewer samples than batch size x processes x accumulation',
        )


def learning_rate(subject: Subject) -> Iterator[Finding]:
    """The rate is scaled to the batch, and a rate."""
    config, world = subject.config, subject.world_size
    wrapper, rule = config['optim_wrapper'], config.get('lr_scaling')
    rate = (wrapper.get('optimizer') or {}).get('lr')
    if not isinstance(rate, int | float):
        return
    if rule is None and world > 1:
        yield Finding('lr_scaling', f'absent: lr={rate:g} is used as it is on {world} processes')
    factor = 1.0
    if rule is not None:
        counts = wrapper.get('accumulative_counts', 1) if rule.get('with_accumulation', 1) else 1
        base = rule.get('base_batch_size', 256)
        if base < 1:
            yield Finding('lr_scaling.base_batch_size', f'{base}')
            return
        factor = lr_factor(subject.clips_per_batch, world, 1, counts, base)
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


def optimizer(subject: Subject) -> Iterator[Finding]:
    """Optimiser, parameter groups and schedules can be built for this model."""
    wrapper = subject.config['optim_wrapper']
    clip = wrapper.get('clip_grad')
    if clip:
        yield from _clipping(clip)
    built: list[Any] = []
    yield from attempt('optim_wrapper', lambda: built.append(build_optimizer(subject.config)))
    horizon = horizon_of(subject)
    if not built or horizon is None or horizon.steps == 0:
        return
    for field, schedule in schedulers_of(subject.config):
        kind = PARAM_SCHEDULERS.get(schedule['type'])
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


def hooks(subject: Subject) -> Iterator[Finding]:
    """Hooks, strategy and precision can be had."""
    config = subject.config
    named = [(f'default_hooks.{k}', v) for k, v in (config.get('default_hooks') or {}).items()]
    numbered = [(f'custom_hooks.{i}', v) for i, v in enumerate(config.get('custom_hooks') or ())]
    for field, hook in (*named, *numbered):
        if hook is not None:
            yield from attempt(field, lambda item=hook: HOOKS.build(dict(item)))
    strategy = config.get('strategy') or 'auto'
    strategy = dict(type=strategy) if isinstance(strategy, str) else dict(strategy)
    kind = strategy.get('type', 'auto')
    if kind == 'SingleDevice' and subject.world_size > 1:
        yield Finding('strategy', f'SingleDevice cannot serve num_gpus={subject.world_size}')
    elif kind != 'auto':
        yield from attempt('strategy', lambda: STRATEGIES.build(strategy))
    for name in ('val_cfg', 'test_cfg'):
        dtype = (config.get(name) or {}).get('amp_dtype')
        if dtype not in (None, 'bfloat16', 'float16'):
            yield Finding(f'{name}.amp_dtype', f'{dtype!r}; use bfloat16, float16 or None')


def metrics_of(evaluator: Any, num_classes: int | None) -> set[str] | None:
    """Names of the figures that ``evaluator`` reports on a sample; None when it cannot be tried."""
    parts = evaluator if isinstance(evaluator, list | tuple) else [evaluator]
    sample = VideoDataSample(metainfo=dict(path='sample', sample_index=0)).set_gt_label(0)
    sample.set_pred_score(torch.ones(num_classes or 2))
    names: set[str] = set()
    for part in parts:
        try:
            metric = METRICS.build(dict(part))
            metric.process({}, [sample.to_dict()])
            found = metric.compute_metrics(metric.results)
        except Exception:  # a metric of another task wants other samples
            return None
        prefix = f'{metric.prefix}/' if metric.prefix else ''
        names |= {f'{prefix}{name}' for name in found}
    return names


def best_checkpoint(subject: Subject) -> Iterator[Finding]:
    """The best is chosen by a figure that is reported."""
    hook = (subject.config.get('default_hooks') or {}).get('checkpoint') or {}
    wanted = hook.get('save_best')
    if wanted is None:
        return
    field = 'default_hooks.checkpoint.save_best'
    if subject.config.get('val_evaluator') is None:
        yield Finding(field, f'{wanted!r}, but nothing is validated')
        return
    names = metrics_of(subject.config['val_evaluator'], subject.num_classes)
    if names is not None and not {wanted} & {*names, *(n.rsplit('/', 1)[-1] for n in names)}:
        yield Finding(field, f'{wanted!r} is not among {", ".join(sorted(names))}')


RUN_RULES = (complete, length, learning_rate, optimizer, hooks, best_checkpoint)
