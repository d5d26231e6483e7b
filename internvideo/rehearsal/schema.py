"""Every part of a config is registered, and takes the arguments that it is given."""

import difflib
import inspect
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from internvideo import registry
from internvideo.structures.rehearsal import Finding

from .findings import one_line
from .parts import REGISTRIES, ConfigPart, class_of, is_own, parts_of

EXTRA_ARGUMENTS = {
    'optim_wrapper': {'optimizer', 'constructor', 'paramwise_cfg'},
    'train_cfg': {'by_epoch'},
}
"""Arguments that a builder takes for itself."""

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
    for part in parts_of(config):
        yield from _check_part(part)


def _misspelt_keys(config: Mapping[str, Any]) -> Iterator[Finding]:
    """Any other name is a variable of the config file."""
    for key in config:
        # A config may have variables of its own, so only a near miss of a known key is a fault.
        near = difflib.get_close_matches(key, TOP_LEVEL, n=1, cutoff=0.85)
        if key not in TOP_LEVEL and near:
            yield Finding(key, f'nothing reads this key; did you mean {near[0]}?')


def _unknown_loader_arguments(key: str, loader: Mapping[str, Any]) -> Iterator[Finding]:
    for name in loader:
        if name not in LOADER_ARGUMENTS:
            yield Finding(
                f'{key}.{name}', unknown_argument('a data loader', name, LOADER_ARGUMENTS)
            )


def _check_part(part: ConfigPart) -> Iterator[Finding]:
    part_class = part.part_class
    if part_class is None:
        try:
            part.registry.get(part.kind)
        except KeyError as error:
            yield Finding(f'{part.field}.type', one_line(error))
        return
    if _is_read_by_foreign_constructor(part):
        return
    kind = part.kind if isinstance(part.kind, str) else part_class.__name__
    arguments = accepted_arguments(part_class, part.config)
    extra = EXTRA_ARGUMENTS.get(part.key, set())
    for name, argument in part.config.items():
        if name == 'type' or name in extra:
            continue
        if arguments is not None and name not in arguments:
            yield Finding(f'{part.field}.{name}', unknown_argument(kind, name, arguments))
        elif arguments is not None and not fits(argument, arguments[name]):
            wanted = getattr(arguments[name], '__name__', str(arguments[name]))
            yield Finding(f'{part.field}.{name}', f'{kind} wants {wanted} here, got {argument!r}')


def _is_read_by_foreign_constructor(part: ConfigPart) -> bool:
    """Whether an optimiser wrapper has a constructor of others, which may read keys of its own."""
    if part.key != 'optim_wrapper' or part.config.get('constructor') is None:
        return False
    found = class_of(part.config['constructor'], registry.OPTIM_WRAPPER_CONSTRUCTORS)
    return found is not None and not is_own(found) and not found.__module__.startswith('mmengine.')


def unknown_argument(kind: str, name: str, known: typing.Iterable[str]) -> str:
    """The reason, with what comes close."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    hint = f'did you mean {near[0]}?' if near else f'it takes {", ".join(sorted(known))}'
    return f'{kind} has no argument {name}; {hint}'


def accepted_arguments(part: Callable, value: Mapping[str, Any]) -> dict[str, Any] | None:
    """Names and annotations of the arguments of ``part``, or None when it takes any.

    ``**kwargs`` are followed to the base classes, and to the checkpoint adapter that ``value``
    names.
    """
    found: dict[str, Any] = {}
    for function in _signatures(part):
        hints = _hints(function)
        parameters = list(inspect.signature(function).parameters.values())
        for parameter in parameters:
            if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
                found.setdefault(parameter.name, _wanted(parameter, hints))
        if not any(parameter.kind == parameter.VAR_KEYWORD for parameter in parameters):
            return found
        if 'adapter' not in found and any(map(_goes_elsewhere, parameters)):
            return None
    if isinstance(value.get('adapter'), str) and 'adapter' in found:
        adapter = registry.CHECKPOINT_ADAPTERS.get(value['adapter'])
        return found | (accepted_arguments(adapter, {}) or {})
    return None


def _wanted(parameter: inspect.Parameter, hints: Mapping[str, Any]) -> Any:
    """Kinds of value that an argument's annotation or default allows."""
    wanted = hints.get(parameter.name, Any)
    if parameter.default is None and wanted is not Any:
        return typing.Optional[wanted]  # noqa: UP045  (the annotation may be a text)
    return wanted


def _goes_elsewhere(parameter: inspect.Parameter) -> bool:
    """Whether a parameter takes what is not for the base class: ``*args``, ``**fields``."""
    named = parameter.kind == parameter.VAR_KEYWORD and parameter.name != 'kwargs'
    return named or parameter.kind == parameter.VAR_POSITIONAL


def _signatures(part: Callable) -> Iterator[Callable]:
    if not inspect.isclass(part):
        yield part
        return
    # Without object, whose constructor takes anything by its signature.
    for base in part.__mro__[:-1]:
        if '__init__' in vars(base):
            yield base.__init__


def _hints(function: Callable) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function)
    except (NameError, TypeError, AttributeError):  # names that exist for type checkers only
        return {}


def fits(value: Any, wanted: Any) -> bool:
    """Whether a number, a text or None fits an annotation."""
    if not isinstance(value, str | bool | int | float | None):
        return True
    kinds = _alternatives(wanted)
    # The annotation allows other kinds as well, as Any does: only text for a number is surely
    # wrong.
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
