"""Facts of a reference case, which remember which of them were read."""

from collections.abc import ItemsView, Iterator, Mapping, ValuesView
from typing import Any


class Facts(dict):
    """The facts of a case; they remember which of them, nested ones too, were looked at.

    A fact that no runner knows makes no numbers, so a miss names those that were not.
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        super().__init__(
            (name, Facts(value) if type(value) is dict else value) for name, value in values.items()
        )
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

    def __or__(self, other: Mapping[str, Any]) -> 'Facts':
        merged = Facts(dict(super().items()) | other)
        merged._seen = self._seen
        return merged

    def unread(self) -> list[str]:
        """Dotted names of the facts that nobody looked at."""
        names = []
        for name, value in super().items():
            if name not in self._seen:
                names.append(name)
            elif isinstance(value, Facts):
                names += [f'{name}.{inner}' for inner in value.unread()]
        return names
