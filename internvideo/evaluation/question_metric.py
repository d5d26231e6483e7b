"""Metrics over questions about videos, of whatever kind the answers are."""

import json
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from internvideo.fileio.atomic import atomic_write

from .accuracy import percent, report_unreadable
from .gathered_metric import GatheredMetric, Record


class QuestionMetric(GatheredMetric):
    """Metrics in percent over questions, in all and by ``question_type`` where there is one.

    Reports ``accuracy``, ``accuracy_<type>``, ``accuracy_readable``, ``num_questions`` and
    ``unreadable`` (questions).  A question about a video that could not be read counts as wrong
    in every metric but ``accuracy_readable``, and the video is listed with the reason in
    ``<output_dir>/unreadable_test_videos.jsonl``.

    Args:
        dump: JSON file of the predictions, by ``question_id``.
        output_dir: folder for the list of unreadable videos; the runner sets it.
        prefix: put before the names.
    """

    names = (
        'accuracy', 'accuracy_*', 'accuracy_readable', 'vqa_accuracy', 'num_questions', 'unreadable'
    )  # fmt: skip

    def __init__(
        self, dump: str | None = None, output_dir: str | None = None, prefix: str | None = None
    ) -> None:
        super().__init__(output_dir=output_dir, prefix=prefix)
        self.dump = dump

    @abstractmethod
    def judge(self, sample: Mapping[str, Any]) -> Record:
        """``prediction``, ``truth`` and scores ``accuracy`` and so on of a readable sample."""

    def record(self, sample: Mapping[str, Any]) -> Record:
        """Record of question and answer, or ValueError naming the video if one is unknown."""
        path = str(sample.get('path'))
        if sample.get('sample_index') is None:
            raise ValueError(f'{path}: the data sample has no sample_index')
        facts = dict(
            sample_index=int(sample['sample_index']),
            path=path,
            question_id=sample.get('question_id', sample['sample_index']),
            question=sample.get('question'),
            question_type=sample.get('question_type'),
            unreadable=sample.get('unreadable'),
        )
        try:
            return facts | self.judge(sample)
        # `judge` reads the sample by key: what the data or the model left out is named.
        except KeyError as error:
            raise ValueError(f'{path}: the data sample has no {error.args[0]}') from None

    def compute_metrics(self, results: list[Record]) -> dict[str, float]:
        """Compute the metrics of all questions and write the files."""
        lost = [record for record in results if record['unreadable'] is not None]
        report_unreadable(lost, self.output_dir)
        if self.dump:
            atomic_write(self.dump, json.dumps(predictions(results)))
        readable = [record['accuracy'] for record in results if record['unreadable'] is None]
        return dict(
            accuracy=percent([record['accuracy'] for record in results]),
            **self.extra(results),
            **by_type(results),
            accuracy_readable=percent(readable),
            num_questions=len(results),
            unreadable=len(lost),
        )

    def extra(self, results: Sequence[Record]) -> dict[str, float]:
        """Further metrics of a kind of question."""
        return {}


def by_type(results: Sequence[Record]) -> dict[str, float]:
    """``accuracy_<type>`` of every type of question."""
    groups: dict[str, list[float]] = {}
    for record in results:
        if record['question_type'] is not None:
            groups.setdefault(record['question_type'], []).append(record['accuracy'])
    return {f'accuracy_{kind}': percent(groups[kind]) for kind in sorted(groups)}


def predictions(results: Sequence[Record]) -> dict[str, dict[str, Any]]:
    """Collect the rows to dump, or raise ValueError when two questions have the same id."""
    hidden = ('question_id', 'sample_index', 'vqa')
    rows: dict[str, dict[str, Any]] = {}
    for record in results:
        # Keys of a JSON object are texts, so that 1 and "1" would be the same question.
        name = str(record['question_id'])
        if name in rows:
            raise ValueError(f'question_id {name!r} comes twice, the second for {record["path"]}')
        rows[name] = {key: value for key, value in record.items() if key not in hidden}
    return rows
