"""Every part of a config is registered, and takes the arguments that it is given."""

import difflib
import inspect
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from internvideo import registry
from internvideo.registry import Registry

from .findings import Finding, one_line

REGISTRIES: dict[str, Registry] = {
    'model': registry.MODELS,
    'tokenizer': registry.TASK_UTILS,
    'init_cfg': registry.WEIGHT_INITIALIZERS,
    'adapter': registry.CHECKPOINT_ADAPTERS,
    'dataset': registry.DATASETS,
    'datasets': registry.DATASETS,
    'sampler': registry.DATA_SAMPLERS,
    'batch_sampler': registry.DATA_SAMPLERS,
    'collate_fn': registry.FUNCTIONS,
    'sampling': registry.TRANSFORMS,
    'pipeline': registry.TRANSFORMS,
    'optim_wrapper': registry.OPTIM_WRAPPERS,
    'optimizer': registry.OPTIMIZERS,
    'param_scheduler': registry.PARAM_SCHEDULERS,
    'train_cfg': registry.LOOPS,
    'val_cfg': registry.LOOPS,
    'test_cfg': registry.LOOPS,
    'val_evaluator': registry.METRICS,
    'test_evaluator': registry.METRICS,
    'default_hooks': registry.HOOKS,
    'custom_hooks': registry.HOOKS,
    'strategy': registry.STRATEGIES,
    'visualizer': registry.VISUALIZERS,
    'vis_backends': registry.VISBACKENDS,
    'log_processor': registry.LOG_PROCESSORS,
}
DEFAULT_TYPES = {
    'optim_wrapper': 'OptimWrapper',
    'train_cfg': 'TrainLoop',
    'val_cfg': 'ValLoop',
    'test_cfg': 'TestLoop',
    'visualizer': 'Visualizer',
    'log_processor': 'LogProcessor',
}
EXTRA_ARGUMENTS = {
    'optim_wrapper': {'optimizer', 'constructor', 'paramwise_cfg'},
    'train_cfg': {'by_epoch'},
}
"""Arguments that a builder takes for itself."""

NAMED = ('default_hooks',)

LOADER_ARGUMENTS = {
    'dataset', 'sampler', 'batch_sampler', 'batch_size', 'num_workers', 'collate_fn',
    'persistent_workers', 'pin_memory', 'drop_last', 'prefetch_factor', 'timeout',
    'worker_init_fn', 'num_batch_per_epoch',
}  # fmt: skip
TOP_LEVEL = {
    *(key for key in REGISTRIES if key.endswith(('_cfg', '_evaluator', '_hooks'))),
    'model', 'train_dataloader', 'val_dataloader', 'test_dataloader', 'optim_wrapper',
    'param_scheduler', 'strategy', 'visualizer', 'log_processor', 'default_scope', 'env_cfg',
    'log_level', 'load_from', 'resume', 'randomness', 'lr_scaling', 'auto_scale_lr', 'num_gpus',
    'work_dir', 'launcher', 'experiment_name', 'compile', 'runner_type', 'custom_imports', 'recipe',
}  # fmt: skip


def check_schema(config: Mapping[str, Any]) -> Iterator[Finding]:
    """Unknown types, arguments and keys, and values of the wrong kind."""
    yield from _misspelt_keys(config)
    for key, value in config.items():
        if key.endswith('_dataloader') and isinstance(value, Mapping):
            yield from _unknown_loader_arguments(key, value)
            yield from _walk(value, key, None)
        elif key in REGISTRIES:
            yield from _walk_part(value, key, REGISTRIES[key], key)


def _misspelt_keys(config: Mapping[str, Any]) -> Iterator[Finding]:
    """Any other name is a variable of the config file."""
    for key in config:
        near = difflib.get_close_matches(key, TOP_LEVEL, n=1, cutoff=0.85)
        if key not in TOP_LEVEL and near:
            yield Finding(key, f'nothing reads this key; did you mean {near[0]}?')


def _unknown_loader_arguments(key: str, loader: Mapping[str, Any]) -> Iterator[Finding]:
    for name in loader:
        if name not in LOADER_ARGUMENTS:
            yield Finding(
                f'{key}.{name}', unknown_argument('a data loader', name, LOADER_ARGUMENTS)
            )


def _walk(value: Any, path: str, current: Registry | None) -> Iterator[Finding]:
    """Check what lies below ``value``; names of fields say which registry serves a part."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            named = path in NAMED  # here keys are names that the config chose
            below = current if named else REGISTRIES.get(key, current)
            yield from _walk_part(item, f'{path}.{key}', below, '' if named else key)
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _walk_part(item, f'{path}.{index}', current, '')


def _walk_part(value: Any, path: str, current: Registry | None, key: str) -> Iterator[Finding]:
    kind = value.get('type', DEFAULT_TYPES.get(key)) if isinstance(value, Mapping) else None
    if isinstance(kind, str) and current is not None and kind != 'auto':
        yield from _check_part(value, kind, path, current, key)
    yield from _walk(value, path, current)


def _check_part(
    value: Mapping[str, Any], kind: str, path: str, current: Registry, key: str
) -> Iterator[Finding]:
    try:
        part = current.get(kind)
    except KeyError as error:
        yield Finding(f'{path}.type', one_line(error))
        return
    arguments = accepted_arguments(part, value)
    extra = EXTRA_ARGUMENTS.get(key, set())
    for name, argument in value.items():
        if name == 'type' or name in extra:
            continue
        if arguments is not None and name not in arguments:
            yield Finding(f'{path}.{name}', unknown_argument(kind, name, arguments))
        elif arguments is not None and not fits(argument, arguments[name]):
            wanted = getattr(arguments[name], '__name__', str(arguments[name]))
            yield Finding(f'{path}.{name}', f'{kind} wants {wanted} here, got {argument!r}')


def unknown_argument(kind: str, name: str, known: typing.Iterable[str]) -> str:
    """The reason, with what comes close."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    hint = f'did you mean {near[0]}?' if near else f'it takes {", ".join(sorted(known))}'
    return f'{kind} has no argument {name}; {hint}'


def accepted_arguments(part: Callable, value: Mapping[str, Any]) -> dict[str, Any] | None:
    """Names and annotations of the arguments of ``part``; None when it takes any.

    ``**kwargs`` are followed to the base classes, and to the checkpoint adapter that ``value``
    names.
    """
    found: dict[str, Any] = {}
    for function in _signatures(part):
        hints = _hints(function)
        parameters = list(inspect.signature(function).parameters.values())
        for parameter in parameters:
            if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
                found.setdefault(parameter.name, hints.get(parameter.name, Any))
        if not any(parameter.kind == parameter.VAR_KEYWORD for parameter in parameters):
            return found
        if 'adapter' not in found and any(map(_goes_elsewhere, parameters)):
            return None
    if isinstance(value.get('adapter'), str) and 'adapter' in found:
        adapter = registry.CHECKPOINT_ADAPTERS.get(value['adapter'])
        return found | (accepted_arguments(adapter, {}) or {})
    return None


def _goes_elsewhere(parameter: inspect.Parameter) -> bool:
    """Whether a parameter takes what is not for the base class: ``*args``, ``**fields``."""
    named = parameter.kind == parameter.VAR_KEYWORD and parameter.name != 'kwargs'
    return named or parameter.kind == parameter.VAR_POSITIONAL


def _signatures(part: Callable) -> Iterator[Callable]:
    if not inspect.isclass(part):
        yield part
        return
    for base in part.__mro__[:-1]:
        if '__init__' in vars(base):
            yield base.__init__


def _hints(function: Callable) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function)
    except (NameError, TypeError, AttributeError):  # names that exist for type checkers only
        return {}


def fits(value: Any, wanted: Any) -> bool:
    """Whether a number, a text or None can be what an annotation wants; others always fit."""
    if not isinstance(value, str | bool | int | float | None):
        return True
    kinds = _alternatives(wanted)
    if any(kind not in (str, bool, int, float, type(None)) for kind in kinds):
        return not (isinstance(value, str) and set(kinds) & {int, float} and str not in kinds)
    if isinstance(value, bool):
        return bool in kinds
    if isinstance(value, int):
        return bool({int, float} & kinds) or (bool in kinds and value in (0, 1))
    if isinstance(value, float):
        return float in kinds or (int in kinds and value.is_integer())
    return type(value) in kinds


def _alternatives(wanted: Any) -> set:
    if typing.get_origin(wanted) in (typing.Union, types.UnionType):
        return {kind for part in typing.get_args(wanted) for kind in _alternatives(part)}
    return {wanted}
