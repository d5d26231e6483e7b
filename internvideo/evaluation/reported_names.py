"""Names that metrics report, checked before a run rather than after its first epoch."""

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any


def names_of(metrics: Iterable[Any], sets: Mapping[str, str] | None = None) -> list[str] | None:
    """Names that ``metrics`` may report, or None when one of them does not say.

    Args:
        metrics: built ones.  Each that says has ``reported_names(sets)``, in whose answer ``*``
            stands for what the data decides.
        sets: evaluation set -> its task, where the data consist of sets.
    """
    names: list[str] = []
    for metric in metrics:
        ask = getattr(metric, 'reported_names', None)
        told = None if ask is None else ask(sets or {})
        if told is None:
            return None
        names += told
    return names


def is_reported(name: str, names: Iterable[str]) -> bool:
    """Whether ``name``, with or without its prefix, is one of ``names``."""
    return any(
        fnmatchcase(name, known) or fnmatchcase(name, known.rpartition('/')[2]) for known in names
    )
