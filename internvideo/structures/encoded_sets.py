"""What an evaluation of media and texts works on once both are encoded."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

Matcher = Callable[[Tensor], Tensor]
"""(P, 2) pairs of a medium and a text -> (P,) how well they match; called by all processes."""


@dataclass
class EncodedSet:
    """One evaluation set, the same on every process.

    Attributes:
        name, files: of the set and its annotations.
        media: (N, C) unit vectors of the readable media, on the CPU.
        rows: (N,) which media of the set these are.
        size: media of the set, readable or not.
        texts: (M, C) unit vectors; where a text has several prompts, their mean.
        truth: what is right, as the set says it, in numbers of all media.
        temp: the model's temperature.
        match: the model's matching head, or None.
        unreadable: path and reason of media that could not be read.
    """

    name: str
    files: str
    media: Tensor
    rows: Tensor
    size: int
    texts: Tensor
    truth: Any
    temp: float
    match: Matcher | None = None
    unreadable: list[dict[str, str]] = field(default_factory=list)


@dataclass
class Variant:
    """Figures of one way to score a set.

    Attributes:
        prefix: of the figures in logs, as published.
        figures: name -> percent.
        dual_softmax: whether scores were multiplied by their soft-max over the queries.
        reranked: how many candidates of a query the matching head has judged at most; 0: none.
        candidates: by what these were chosen, ``'similarity'`` or ``'dual_softmax'``.
    """

    prefix: str
    figures: dict[str, float]
    dual_softmax: bool = False
    reranked: int = 0
    candidates: str | None = None

    @property
    def metrics(self) -> dict[str, float]:
        """Figures under their full names."""
        return {f'{self.prefix}/{name}': value for name, value in self.figures.items()}


def is_figure_of(figure: str, sets: Iterable[str]) -> bool:
    """Whether one of ``sets`` may report ``figure``: ``SET[_VARIANT]/NAME`` or bare ``NAME``."""
    prefix, slash, _ = figure.rpartition('/')
    return not slash or any(prefix == name or prefix.startswith(f'{name}_') for name in sets)


@dataclass
class SetReport:
    """How a set was scored, and all figures.

    Attributes:
        name, files: of the set and its annotations.
        facts: numbers of media, texts and so on.
        variants: figures.
        unreadable: path and reason of media that could not be read.
    """

    name: str
    files: str
    facts: dict[str, Any]
    variants: Sequence[Variant]
    unreadable: list[dict[str, str]] = field(default_factory=list)
