"""Facts and inputs of a reference case, which remember which of them were read."""

from collections.abc import ItemsView, Iterator, Mapping, ValuesView
from typing import Any


class CaseError(Exception):
    """A case that cannot be read, or that the build under test does not fit."""


class ReadRecord(dict):
    """A dictionary that remembers which of its keys were looked at."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        super().__init__(values)
        self._seen: set[str] = set()

    def __getitem__(self, name: str) -> Any:
        self._seen.add(name)
        return super().__getitem__(name)

    def get(self, name: str, default: Any = None) -> Any:
        self._seen.add(name)
        return super().get(name, default)

    def __iter__(self) -> Iterator[str]:  # its own, so that **facts asks __getitem__ as well
        return super().__iter__()

    def items(self) -> ItemsView[str, Any]:
        self._seen.update(self)
        return super().items()

    def values(self) -> ValuesView[Any]:
        self._seen.update(self)
        return super().values()

    def copy(self) -> dict[str, Any]:
        return dict(self.items())

    def __eq__(self, other: object) -> bool:
        self._seen.update(self)
        return super().__eq__(other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = None

    def __or__(self, other: Mapping[str, Any]) -> 'ReadRecord':
        merged = type(self)(dict(super().items()) | other)
        # Shared: what is read of the merged facts is read of the case.
        merged._seen = self._seen
        return merged

    def ignore(self, *names: str) -> None:
        """Count ``names`` as read: say beside the call why they make no numbers."""
        self._seen.update(names)

    def unread(self) -> list[str]:
        """Return the names that nobody looked at."""
        return [name for name in self if name not in self._seen]


class Facts(ReadRecord):
    """Facts of a case, nested ones included, that remember which were read.

    A fact that no runner knows makes no numbers: it is a miss of its own.
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        super().__init__({name: _tracked(value) for name, value in values.items()})

    def require(self, **known: Any) -> None:
        """Check facts that this build knows in one value only, or in those of a tuple.

        Raises:
            CaseError: naming a fact that the case states otherwise.
        """
        for name, value in known.items():
            choices = value if isinstance(value, tuple) else (value,)
            if name in self and self[name] not in choices:
                listed = ', '.join(map(repr, choices))
                raise CaseError(f'fact {name!r} is {self[name]!r}; this build knows {listed}')

    def unread(self) -> list[str]:
        """Return the dotted names of the facts that nobody looked at."""
        names = super().unread()
        # Not self.items(), which would count all of them as read.
        for name, value in dict.items(self):
            if name in self._seen:
                names += [f'{name}{inner}' for inner in _unread_within(value)]
        return names


def _tracked(value: Any) -> Any:
    if type(value) is dict:
        return Facts(value)
    return [_tracked(item) for item in value] if type(value) is list else value


def _unread_within(value: Any) -> list[str]:
    if isinstance(value, Facts):
        return [f'.{name}' for name in value.unread()]
    if isinstance(value, list):
        return [f'[{i}]{name}' for i, item in enumerate(value) for name in _unread_within(item)]
    return []
