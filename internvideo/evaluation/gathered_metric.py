"""Gathering of per-sample records across processes, by identity."""

from abc import abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.dist import all_gather_object, broadcast_object_list, is_main_process
from mmengine.evaluator import BaseMetric

from .config_checks import exact_samples

Record = dict[str, Any]


def _identity(record: Record) -> tuple[str, int, str]:
    """Set, row and path: data sets that are joined number their rows alike."""
    return record.get('set_name') or '', record['sample_index'], record['path']


def merge_records(parts: Sequence[Sequence[Record]], size: int) -> list[Record]:
    """The records of all processes, set by set, in the order of ``sample_index`` (then ``path``).

    Raises :class:`ValueError` when a sample comes twice or when the number of samples is not
    ``size``, the length of the data set: a score over another set would be silently wrong.
    """
    records = sorted((record for part in parts for record in part), key=_identity)
    counts = Counter(map(_identity, records))
    repeated = [f'{path} (row {row})' for (_, row, path), count in counts.items() if count > 1]
    if repeated:
        raise ValueError(
            f'{len(repeated)} samples were evaluated more than once, such as {repeated[0]}: '
            'use a sampler without padding, such as EvalSampler'
        )
    if len(records) != size:
        raise ValueError(f'{len(records)} samples were evaluated, the data set holds {size}')
    return records


class GatheredMetric(BaseMetric):
    """A metric over one record per sample, exact under any number of processes.

    Records are gathered by ``sample_index`` and ``path``, ordered by them, and checked to be the
    whole data set once; then rank 0 computes and all ranks receive the result, or raise the same
    error.  A subclass defines :meth:`record` and ``compute_metrics``.

    Args:
        output_dir: folder for files the metric writes; the runner sets it to its work folder.
        prefix: put before each metric's name as ``prefix/name``.

    Attributes:
        names: what it may report, without prefix; ``*`` stands for what the data decides.  None:
            it does not say.
    """

    default_prefix = 'metric'
    names: Sequence[str] | None = None

    # What the class tells a rehearsal, see docs/rehearsal.md.
    check_config = staticmethod(exact_samples)

    def __init__(self, output_dir: str | None = None, prefix: str | None = None) -> None:
        super().__init__(collect_device='cpu', prefix=prefix)
        self.output_dir = output_dir

    def reported_names(self, sets: Mapping[str, str]) -> list[str] | None:
        """Full names that it may report for any evaluation ``sets`` (see ``names``)."""
        return None if self.names is None else [f'{self.prefix}/{name}' for name in self.names]

    @abstractmethod
    def record(self, sample: Mapping[str, Any]) -> Record:
        """Record of one evaluated sample, with ``sample_index`` and ``path`` at least."""

    def process(self, data_batch: Any, data_samples: Sequence[Mapping[str, Any]]) -> None:
        """Keep one record per data sample."""
        self.results.extend(self.record(sample) for sample in data_samples)

    def evaluate(self, size: int) -> dict[str, float]:
        """Metrics over the whole data set of ``size`` samples, the same on every rank."""
        parts = all_gather_object(self.results)
        # Before anything can raise: the next evaluation must not meet these records again.
        self.results = []
        outcome: list[Any] = [None, None]
        if is_main_process():
            try:
                metrics = self.compute_metrics(merge_records(parts, size))
                outcome[0] = {f'{self.prefix}/{name}': value for name, value in metrics.items()}
            except Exception as error:  # the other ranks wait: tell them instead of leaving
                outcome[1] = error
        broadcast_object_list(outcome)
        metrics, error = outcome
        if error is not None:
            raise error
        return metrics
