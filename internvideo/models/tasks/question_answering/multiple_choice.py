"""Multiple choice: the option that the matching head of stage 2 finds to fit the clip best."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from internvideo.registry import MODELS
from internvideo.structures import VideoDataSample

from .clip_reader import ClipReader


@MODELS.register_module()
class VideoMultipleChoice(ClipReader):
    """Question and option in one text, judged with the clip in view by ``itm_head``.

    The score of an option is the logit of "belongs together", by which released models re-rank
    retrieval; so a released file answers without training.  Questions may have different numbers
    of options.

    Args: those of :class:`ClipReader`.

    ``inputs`` are those of :class:`QuestionPreprocessor`.  Modes: ``'loss'``: ``loss_choice``,
    cross-entropy over the options of each question; ``'predict'``: the data samples with
    ``pred_score``, probabilities of the options, and ``pred_label``; ``'tensor'``: (P,) scores of
    all options.
    """

    answered_task = 'multiple_choice'
    """The task of the questions that this model answers, as data sets call it."""

    def __init__(self, *args: Any, **fields: Any) -> None:
        super().__init__(*args, **fields)
        self.itm_head = nn.Linear(self.text_encoder.hidden_size, 2)

    def score(
        self, inputs: dict[str, Any], data_samples: Sequence[VideoDataSample] | None
    ) -> Tensor:
        """(P,) scores of the options, question after question, in float32."""
        ids, mask = inputs['option']['input_ids'], inputs['option']['attention_mask']
        media = self.encode_clips(inputs['video'])
        questions = len(data_samples) if data_samples else len(inputs['video'])
        counts = option_counts(data_samples) or [len(ids) // questions] * questions
        clips = self.clip_rows(data_samples, questions, ids.device)
        rows = clips[[row for row, count in enumerate(counts) for _ in range(count)]]
        # Gradients need all texts at once; testing, where there may be many, does not.
        size = len(ids) if torch.is_grad_enabled() else self.pairs_per_forward
        parts = zip(*(each.split(size) for each in (ids, mask, rows)), strict=True)
        return torch.cat([self._match(media, *part) for part in parts])

    def _match(self, media: Tensor, ids: Tensor, mask: Tensor, rows: Tensor) -> Tensor:
        fused = self.text_encoder(ids, mask, media=media, rows=rows)
        return self.itm_head(fused[:, 0])[:, 1].float()

    def loss(
        self, inputs: dict[str, Any], data_samples: Sequence[VideoDataSample]
    ) -> dict[str, Tensor]:
        """Compute ``loss_choice`` (see the class)."""
        scores = self.score(inputs, data_samples).split(option_counts(data_samples))
        # Minus infinity: an option that a question does not have gets no probability.
        padded = pad_sequence(scores, batch_first=True, padding_value=float('-inf'))
        right = torch.tensor([sample.answer for sample in data_samples], device=padded.device)
        return dict(loss_choice=F.cross_entropy(padded, right))

    def answer(self, inputs: dict[str, Any], data_samples: Sequence[VideoDataSample]) -> None:
        """Set ``pred_score`` and ``pred_label`` of the samples, all readable."""
        scores = self.score(inputs, data_samples).cpu().split(option_counts(data_samples))
        for sample, each in zip(data_samples, scores, strict=True):
            sample.set_pred_score(each.softmax(dim=0))


def option_counts(data_samples: Sequence[VideoDataSample] | None) -> list[int]:
    """Number of options of every question, or none without samples."""
    return [len(sample.option) for sample in data_samples or ()]
