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
    """Questions whose likeliest option is the right one; see :class:`QuestionMetric`.

    Ties never help, see :func:`~internvideo.evaluation.choices.right_choices`.
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
        right = right_choices(scores[None], torch.tensor([truth['truth']]))
        return truth | dict(prediction=guess, accuracy=float(right.item()))
