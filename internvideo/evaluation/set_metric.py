"""Metrics over whole evaluation sets, whose samples and texts are encoded once."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from mmengine.evaluator import BaseMetric

from internvideo.registry import METRICS
from internvideo.structures.encoded import RetrievalModel
from internvideo.structures.encoded_sets import EncodedSet, SetReport

from .scorers import BLOCK_ENTRIES, Scorer


class SetMetric(BaseMetric):
    """A metric that scores an :class:`EncodedSet` at a time, the same on every process.

    It scores the sets of its ``task`` and passes over the others.  A subclass defines
    :meth:`score` and :meth:`names_of_set`.

    Args:
        sets: names of the sets to score; None: all of the task.
        label: put behind the name of the set in every prefix, where several metrics of a config
            score one set.
        scorer: config of how samples and texts are compared, such as
            ``dict(type='TokenWise')``.
        entries: scores that are held at a time.

    Attributes:
        task: of the sets that it scores.
        reports: of the sets scored since the last evaluation began.
    """

    default_prefix = ''  # every set has prefixes of its own
    task: ClassVar[str]

    def __init__(
        self,
        sets: Sequence[str] | None = None,
        label: str | None = None,
        scorer: Mapping[str, Any] | Scorer | None = None,
        entries: int = BLOCK_ENTRIES,
    ) -> None:
        super().__init__(collect_device='cpu')
        self.sets = None if sets is None else [sets] if isinstance(sets, str) else list(sets)
        self.label, self.entries = label, entries
        scorer = dict(type='InnerProduct') if scorer is None else scorer
        self.scorer: Scorer = scorer if isinstance(scorer, Scorer) else METRICS.build(scorer)
        self.reports: list[SetReport] = []

    @property
    def uses_match(self) -> bool:
        """Whether it has a matching head judge pairs, for which tokens are kept."""
        return False

    def check_model(self, model: RetrievalModel) -> None:
        """Raise ValueError where the metric asks for what ``model`` does not have."""

    @abstractmethod
    def score(self, encoded: EncodedSet) -> SetReport:
        """Score one set."""

    @abstractmethod
    def names_of_set(self, name: str) -> list[str]:
        """Full names of what it may report of the set ``name``."""

    def scores_set(self, name: str, task: str) -> bool:
        """Whether it scores the set ``name``."""
        return task == self.task and (self.sets is None or name in self.sets)

    def reported_names(self, sets: Mapping[str, str]) -> list[str]:
        """Names that it may report, of ``sets``: name -> task."""
        mine = [name for name, task in sets.items() if self.scores_set(name, task)]
        return [full for name in mine for full in self.names_of_set(name)]

    def prefix_of(self, name: str) -> str:
        """Beginning of the prefixes of a set."""
        return f'{name}_{self.label}' if self.label else name

    def process(self, data_batch: Any, data_samples: Sequence[Any]) -> None:
        """Score ``data_batch``, an encoded set, if it is of this metric's."""
        if not isinstance(data_batch, EncodedSet):
            raise ValueError(
                f'{type(self).__name__} scores evaluation sets: its loader must load EvaluationSets'
            )
        if self.scores_set(data_batch.name, data_batch.task):
            self.results.append(self.score(data_batch))

    def compute_metrics(self, results: list[SetReport]) -> dict[str, float]:
        """Metrics of all sets under their full names."""
        variants = [variant for report in results for variant in report.variants]
        return {name: value for each in variants for name, value in each.metrics.items()}

    def evaluate(self, size: int) -> dict[str, float]:
        """Metrics of all sets that were processed, equal on all processes without gathering."""
        self.reports, self.results = self.results, []
        return self.compute_metrics(self.reports)
