"""Evaluation sets once they are encoded, and how they were scored."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from .encoded import TokenFeatures

Matcher = Callable[[Tensor], Tensor]
"""(P, 2) pairs of a sample and a text -> (P,) how well they match; called by all processes."""


@dataclass
class EncodedSet:
    """One evaluation set, the same on every process.

    Attributes:
        name, files: of the set and its annotations.
        task: what kind of ground truth it has, see
            :class:`~internvideo.evaluation.set_metric.SetMetric`.
        samples: (N, C) unit vectors of the readable samples, on the CPU.
        rows: (N,) which samples of the set these are.
        size: samples of the set, readable or not.
        texts: (M, C) unit vectors; where a text has several prompts, their mean.
        ground_truth: what is right, as the set says it, in numbers of all samples.
        temperature: the model's.
        sample_tokens, text_tokens: token matrices, of models that have them.
        match: the model's matching head, or None.
        unreadable: path and reason of samples that could not be read.
    """

    name: str
    files: str
    samples: Tensor
    rows: Tensor
    size: int
    texts: Tensor
    ground_truth: Any
    temperature: float
    task: str = 'retrieval'
    sample_tokens: TokenFeatures | None = None
    text_tokens: TokenFeatures | None = None
    match: Matcher | None = None
    unreadable: list[dict[str, str]] = field(default_factory=list)


@dataclass
class Variant:
    """Metrics of one way to score a set.

    Attributes:
        prefix: of the metrics in logs, as published.
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
        """Metrics under their full names."""
        return {f'{self.prefix}/{name}': value for name, value in self.figures.items()}


@dataclass
class SetReport:
    """Record of the scoring of a set with all metrics.

    Attributes:
        name, files: of the set and its annotations.
        facts: numbers of samples, texts and so on.
        variants: metrics.
        unreadable: path and reason of samples that could not be read.
    """

    name: str
    files: str
    facts: dict[str, Any]
    variants: Sequence[Variant]
    unreadable: list[dict[str, str]] = field(default_factory=list)


def is_metric_of(metric: str, sets: Iterable[str]) -> bool:
    """Whether one of ``sets`` may report ``metric``: ``SET[_VARIANT]/NAME`` or bare ``NAME``."""
    prefix, slash, _ = metric.rpartition('/')
    return not slash or any(prefix == name or prefix.startswith(f'{name}_') for name in sets)
