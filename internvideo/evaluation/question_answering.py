"""Accuracy of answers to questions about videos, open-ended and multiple-choice."""

import json
import unicodedata
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from internvideo.fileio.atomic import atomic_write
from internvideo.registry import METRICS

from .accuracy import percent, report_unreadable
from .gathered_metric import GatheredMetric, Record

AGREED = 3
"""So many people with the same answer make it fully right (VQA, arXiv 1505.00468)."""


def normalise_answer(text: str) -> str:
    """Lower-case words without accents and punctuation, one blank between them."""
    letters = unicodedata.normalize('NFKD', text.lower().translate(str.maketrans('-/', '  ')))
    kept = (char for char in letters if char.isalnum() or char.isspace())
    return ' '.join(''.join(kept).split())


def answer_score(guess: str, answers: Mapping[str, int]) -> tuple[float, float]:
    """(1 or 0: ``guess`` is one of the answers; share min(1, n / 3) by the n people who gave it).

    Args:
        guess: an answer.
        answers: how many people gave each right answer.
    """
    given = sum(n for text, n in answers.items() if normalise_answer(text) == guess)
    return float(given > 0), min(1.0, given / AGREED)


class QuestionMetric(GatheredMetric):
    """Figures in percent over questions, in all and by ``question_type`` where there is one.

    Reports ``accuracy``, ``accuracy_<type>``, ``accuracy_readable``, ``num_questions`` and
    ``unreadable`` (questions).  A question about a video that could not be read counts as wrong
    in every figure but ``accuracy_readable``, and the video is listed with the reason in
    ``<output_dir>/unreadable_test_videos.jsonl``.

    Args:
        dump: JSON file of the predictions, by ``question_id``.
        output_dir: folder for the list of unreadable videos; the runner sets it.
        prefix: put before the names.
    """

    def __init__(
        self, dump: str | None = None, output_dir: str | None = None, prefix: str | None = None
    ) -> None:
        super().__init__(output_dir=output_dir, prefix=prefix)
        self.dump = dump

    @abstractmethod
    def judge(self, sample: Mapping[str, Any]) -> Record:
        """``prediction``, ``truth`` and scores ``accuracy`` and so on of a readable sample."""

    def record(self, sample: Mapping[str, Any]) -> Record:
        """What was asked and answered; raises ValueError naming the video if that is not known."""
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
        except KeyError as error:
            raise ValueError(f'{path}: the data sample has no {error.args[0]}') from None

    def compute_metrics(self, results: list[Record]) -> dict[str, float]:
        """Figures of all questions; writes the files on the way."""
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
        """Further figures of a kind of question."""
        return {}


def by_type(results: Sequence[Record]) -> dict[str, float]:
    """``accuracy_<type>`` of every type of question."""
    groups: dict[str, list[float]] = {}
    for record in results:
        if record['question_type'] is not None:
            groups.setdefault(record['question_type'], []).append(record['accuracy'])
    return {f'accuracy_{kind}': percent(groups[kind]) for kind in sorted(groups)}


def predictions(results: Sequence[Record]) -> dict[str, dict[str, Any]]:
    """What is dumped; raises ValueError when two questions have the same id."""
    hidden = ('question_id', 'sample_index', 'vqa')
    rows: dict[str, dict[str, Any]] = {}
    for record in results:
        name = str(record['question_id'])
        if name in rows:
            raise ValueError(f'question_id {name!r} comes twice, the second for {record["path"]}')
        rows[name] = {key: value for key, value in record.items() if key not in hidden}
    return rows


@METRICS.register_module()
class OpenEndedAccuracy(QuestionMetric):
    """Answers that equal a given one but for case, accents and punctuation.

    Where questions have several answers there is also ``vqa_accuracy``, which counts an answer
    min(1, n / 3) by the n people who gave it.  The rest: see :class:`QuestionMetric`.
    """

    default_prefix = 'qa'

    def judge(self, sample: Mapping[str, Any]) -> Record:
        """See :class:`QuestionMetric`."""
        people = [round(weight * sample['num_answers']) for weight in sample['weights']]
        answers = dict(zip(sample['answers'], people, strict=True))
        truth = dict(truth=answers, prediction=None, accuracy=0.0, vqa=0.0)
        if sample.get('unreadable') is not None:
            return truth
        guess = sample['pred_answer']
        right, share = answer_score(normalise_answer(guess), answers)
        return truth | dict(prediction=guess, accuracy=right, vqa=share)

    def extra(self, results: Sequence[Record]) -> dict[str, float]:
        """``vqa_accuracy``, where it says something."""
        if all(sum(record['truth'].values()) == 1 for record in results):
            return {}
        return dict(vqa_accuracy=percent([record['vqa'] for record in results]))


@METRICS.register_module()
class ChoiceAccuracy(QuestionMetric):
    """Questions whose likeliest option is the right one; see :class:`QuestionMetric`.

    Ties never help: an option as likely as the right one makes the answer wrong.
    """

    default_prefix = 'choice'

    def judge(self, sample: Mapping[str, Any]) -> Record:
        """See :class:`QuestionMetric`."""
        truth = dict(truth=int(sample['answer']), prediction=None, accuracy=0.0)
        if sample.get('unreadable') is not None:
            return truth
        guess, options = int(sample['pred_label']), len(sample['option'])
        if not 0 <= truth['truth'] < options or len(sample['pred_score']) != options:
            raise ValueError(
                f'{sample["path"]}: answer {truth["truth"]} and {len(sample["pred_score"])} scores '
                f'for {options} options'
            )
        scores = torch.as_tensor(sample['pred_score'])
        rivals = ~(scores < scores[truth['truth']])  # itself, and scores that are no number
        return truth | dict(prediction=guess, accuracy=float(rivals.sum() == 1))
