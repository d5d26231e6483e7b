"""Data sets that a config names in a table and chooses by name."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from internvideo.registry import DATASETS, near_names

SET_ELSEWHERE = ('seed', 'bad_samples_file')
"""Fields that the sampler and the runner set, for all entries alike."""


def build_entry(
    name: str,
    table: Mapping[str, Mapping[str, Any]],
    defaults: Mapping[str, Any],
    default_type: str | None = None,
) -> Any:
    """Build the data set that ``table[name]`` describes.

    Args:
        name: of the entry.
        table: by name, ``type`` and fields of the data sets.
        defaults: fields for entries that do not have them and whose class takes them.
        default_type: of entries without ``type``.

    Raises:
        ValueError: a field that the class does not take, or that is missing; naming the entry, as
            whatever the data set raises does.
    """
    entry = dict(table[name])
    entry.setdefault('type', default_type)
    if entry['type'] is None:
        raise ValueError(f'table.{name}: type is missing')
    try:
        kind = DATASETS.get(entry['type'])
    except KeyError as error:
        raise ValueError(f'table.{name}: {error.args[0]}') from None
    fields = config_fields(kind)
    for field in entry:
        if fields is not None and field not in {'type', *fields} - {*SET_ELSEWHERE}:
            hint = near_names(field, fields - {*SET_ELSEWHERE})
            raise ValueError(f'table.{name}: unknown field {field!r}; {hint}')
    if 'ann_file' in (fields or ()) and 'ann_file' not in entry:
        raise ValueError(f'table.{name}: ann_file is missing')
    common = {key: value for key, value in defaults.items() if key in (fields or ())}
    try:
        return DATASETS.build(common | entry)
    except (ValueError, FileNotFoundError, TypeError) as error:
        # Of the same class: to callers a missing file is not a wrong setting.
        raise type(error)(f'table.{name}: {error}') from error


def config_fields(kind: Callable) -> set[str] | None:
    """Arguments that ``kind`` takes, ``**kwargs`` followed to its base classes.

    None when it takes any.
    """
    functions = [kind]
    if isinstance(kind, type):
        functions = [vars(base)['__init__'] for base in kind.__mro__ if '__init__' in vars(base)]
    found: set[str] = set()
    for function in functions:
        parameters = inspect.signature(function).parameters.values()
        named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
        found |= {each.name for each in parameters if each.kind in named} - {'self'}
        if not any(each.kind == inspect.Parameter.VAR_KEYWORD for each in parameters):
            return found
    return None
