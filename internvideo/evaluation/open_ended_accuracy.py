"""Accuracy of free answers to questions about videos."""

import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from internvideo.registry import METRICS

from .accuracy import percent
from .gathered_metric import Record
from .question_metric import QuestionMetric

AGREED = 3
"""So many people with the same answer make it fully right (VQA, arXiv 1505.00468)."""


def normalise_answer(text: str) -> str:
    """Lower-case words without accents and punctuation, one blank between them."""
    # Hyphens become blanks before punctuation goes, or words would run together. NFKD splits
    # accents off as marks, which are not alphanumeric.
    letters = unicodedata.normalize('NFKD', text.lower().translate(str.maketrans('-/', '  ')))
    kept = (char for char in letters if char.isalnum() or char.isspace())
    return ' '.join(''.join(kept).split())


def answer_score(guess: str, answers: Mapping[str, int]) -> tuple[float, float]:
    """Exact match of ``guess`` and its share min(1, n / 3) by the n people who gave it.

    Args:
        guess: an answer.
        answers: how many people gave each right answer.
    """
    given = sum(n for text, n in answers.items() if normalise_answer(text) == guess)
    return float(given > 0), min(1.0, given / AGREED)


@METRICS.register_module()
class OpenEndedAccuracy(QuestionMetric):
    """Answers that equal a given one but for case, accents and punctuation.

    Where questions have several answers there is also ``vqa_accuracy``, which counts an answer
    min(1, n / 3) by the n people who gave it.  The rest: see :class:`QuestionMetric`.
    """

    default_prefix = 'qa'

    def judge(self, sample: Mapping[str, Any]) -> Record:
        """See :class:`QuestionMetric`."""
        # The data hold shares, VQA accuracy counts people.
        people = [round(weight * sample['num_answers']) for weight in sample['weights']]
        answers = dict(zip(sample['answers'], people, strict=True))
        record = dict(truth=answers, prediction=None, accuracy=0.0, vqa=0.0)
        if sample.get('unreadable') is not None:
            return record
        guess = sample['pred_answer']
        right, share = answer_score(normalise_answer(guess), answers)
        return record | dict(prediction=guess, accuracy=right, vqa=share)

    def extra(self, results: Sequence[Record]) -> dict[str, float]:
        """``vqa_accuracy``, where it says something."""
        if all(sum(record['truth'].values()) == 1 for record in results):
            return {}
        return dict(vqa_accuracy=percent([record['vqa'] for record in results]))
