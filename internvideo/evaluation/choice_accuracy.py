"""Accuracy of choices among the options of questions about videos."""

from collections.abc import Mapping
from typing import Any

import torch

from internvideo.registry import METRICS

from .choices import right_choices
from .gathered_metric import Record
from .question_metric import QuestionMetric


@METRICS.register_module()
class ChoiceAccuracy(QuestionMetric):
    """Share of questions whose likeliest option is the right one (see :class:`QuestionMetric`).

    Ties never help, see :func:`~internvideo.evaluation.choices.right_choices`.
    """

    default_prefix = 'choice'

    def judge(self, sample: Mapping[str, Any]) -> Record:
        """See :class:`QuestionMetric`."""
        record = dict(truth=int(sample['answer']), prediction=None, accuracy=0.0)
        if sample.get('unreadable') is not None:
            return record
        guess, options = int(sample['pred_label']), len(sample['option'])
        if not 0 <= record['truth'] < options or len(sample['pred_score']) != options:
            raise ValueError(
                f'{sample["path"]}: answer {record["truth"]} and {len(sample["pred_score"])} '
                f'scores for {options} options'
            )
        scores = torch.as_tensor(sample['pred_score'])
        # Not `pred_label`: argmax takes the first of equal scores, which may be the right one.
        right = right_choices(scores[None], torch.tensor([record['truth']]))
        return record | dict(prediction=guess, accuracy=float(right.item()))
