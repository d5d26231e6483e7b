"""Zero-shot multiple choice: a video against the texts of its options.

Source: arXiv 2403.15377, section 4 and its published evaluation programs.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from internvideo.registry import METRICS
from internvideo.structures.encoded_sets import EncodedSet, SetReport, Variant

from .choices import choice_accuracy, choice_precision
from .retrieval_metric import judge_once
from .scorers import score_blocks
from .set_metric import SetMetric


@METRICS.register_module()
class MultipleChoiceMetric(SetMetric):
    """Multiple choice: ``accuracy``, or ``mAP`` over options where several may be right.

    Options are ranked by similarity over temperature; models with a matching head also let it
    judge every option (``<set>_match``).  Questions about videos that could not be read count as
    wrong.

    Args:
        match: have the matching head judge as well.
        fields: those of :class:`SetMetric`.
    """

    task = 'choice'

    def __init__(self, match: bool = True, **fields: Any) -> None:
        super().__init__(**fields)
        self.match = match

    @property
    def uses_match(self) -> bool:
        """See :class:`SetMetric`."""
        return self.match

    def names_of_set(self, name: str) -> list[str]:
        """See :class:`SetMetric`."""
        prefixes = [f'{self.prefix_of(name)}{variant}' for variant in ('', '_match')]
        return [f'{prefix}/{key}' for prefix in prefixes for key in ('accuracy', 'mAP')]

    def score(self, encoded: EncodedSet) -> SetReport:
        """Score one set."""
        asked, name = AskedQuestions.of(encoded), self.prefix_of(encoded.name)
        variants = [Variant(name, asked.metrics(self.option_scores(encoded, asked)))]
        if self.match and encoded.match is not None and len(asked.samples):
            numbers = asked.samples[:, None].expand_as(asked.options)
            pairs = torch.stack([numbers, asked.options], dim=-1).flatten(0, 1)
            metrics = asked.metrics(judge_once(pairs, encoded.match).view_as(asked.options))
            count = asked.options.shape[1]
            variants.append(Variant(f'{name}_match', metrics, reranked=count))
        facts = dict(
            videos=encoded.size,
            questions=len(asked.answers),
            options=asked.options.shape[1],
            texts=len(encoded.texts),
            unreadable=len(encoded.unreadable),
        )
        return SetReport(encoded.name, encoded.files, facts, variants, encoded.unreadable)

    def option_scores(self, encoded: EncodedSet, asked: 'AskedQuestions') -> Tensor:
        """(R, K) log soft-max over options of similarity over temperature.

        Logarithms, because at the published temperatures the soft-max itself underflows to ties.
        """
        samples, texts = self.scorer.sides(encoded)
        blocks = score_blocks(samples[asked.samples], texts, False, self.entries, self.scorer)
        rows = [
            scores.gather(1, asked.options[first : first + len(scores)]) for first, scores in blocks
        ]
        scores = torch.cat(rows) if rows else torch.zeros(asked.options.shape)
        return (scores / encoded.temperature).log_softmax(dim=-1)


class AskedQuestions(NamedTuple):
    """Questions about a set's samples, of which R can be asked since their sample is readable.

    Attributes:
        rows: (R,) which questions these are.
        samples: (R,) their sample, by its place among the readable ones.
        options: (R, K) texts.
        answers: (Q,) or (Q, K) of all questions.
    """

    rows: Tensor
    samples: Tensor
    options: Tensor
    answers: Tensor

    @classmethod
    def of(cls, encoded: EncodedSet) -> 'AskedQuestions':
        """The questions of a set."""
        # -1 remains where a sample could not be read.
        place = torch.full((encoded.size,), -1)
        place[encoded.rows] = torch.arange(len(encoded.rows))
        ground_truth = {key: torch.tensor(value) for key, value in encoded.ground_truth.items()}
        samples = place[ground_truth['samples']]
        rows = (samples >= 0).nonzero().flatten()
        return cls(rows, samples[rows], ground_truth['options'][rows], ground_truth['answers'])

    def metrics(self, scores: Tensor) -> dict[str, float]:
        """``accuracy`` or ``mAP`` of scores (R, K)."""
        if self.answers.ndim == 2:
            return dict(mAP=choice_precision(scores, self.rows, self.answers))
        return dict(accuracy=choice_accuracy(scores, self.rows, self.answers))
