"""Open-ended questions: an answer is written, or chosen from a list, word by word.

Source: ALBEF, arXiv 2107.07651, section 5 (visual question answering); for videos VindLU, arXiv
2212.05051.  Here on InternVideo2's stage 2.
"""

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from internvideo.registry import MODELS
from internvideo.structures import VideoDataSample

from .clip_reader import ClipReader

IGNORED = -100


@MODELS.register_module()
class VideoQuestionAnswering(ClipReader):
    """Open-ended question answering: stage 2 reads clip and question, a decoder answers.

    The decoder is a causal BERT with its own embeddings and head, all of whose layers attend to
    the question's states.  It has as many layers as the fusion encoder has with cross-attention,
    and starts from them where a stage-2 file is loaded (``internvideo2_answering``).

    Args:
        answer_decoder: what differs from ``text_encoder`` in the decoder, such as
            ``num_hidden_layers`` or ``init_cfg``.
        num_candidates: of a closed list, those whose first token is likeliest are judged as a
            whole, as many as this; None: all.
        max_new_tokens: longest answer that is written freely, end marker included.
        end_id: token that ends an answer.
        freeze, unfreeze_keys: as of :class:`ClipReader`; the decoder is the part ``decoder``.
        **fields: of :class:`ClipReader`.

    ``inputs`` are those of :class:`QuestionPreprocessor`.  Modes: ``'loss'``: ``loss_answer``, the
    negative log-likelihood of every answer times its weight, mean over questions; ``'predict'``:
    the data samples with ``pred_answer``, a text, and ``pred_score``, its log-likelihood: the best
    of the closed list (:meth:`set_candidates`), or without one what is written word by word;
    ``'tensor'``: (Q, L, D) states of the questions.
    """

    parts: ClassVar[dict[str, str]] = ClipReader.parts | dict(decoder='answer_decoder')

    answered_task = 'open_ended'
    """The task of the questions that this model answers, as data sets call it."""

    def __init__(
        self,
        *args: Any,
        text_encoder: dict[str, Any],
        answer_decoder: Mapping[str, Any] | None = None,
        num_candidates: int | None = 128,
        max_new_tokens: int = 10,
        end_id: int = 102,
        freeze: Sequence[str] = (),
        unfreeze_keys: Sequence[str] = (),
        **fields: Any,
    ) -> None:
        super().__init__(*args, text_encoder=text_encoder, **fields)
        if num_candidates is not None and num_candidates < 1:
            raise ValueError(f'num_candidates must be positive or None, got {num_candidates}')
        self.num_candidates, self.max_new_tokens = num_candidates, max_new_tokens
        self.end_id = end_id
        own = dict(answer_decoder or {})
        layers = self.text_encoder.config
        upper = layers.num_hidden_layers - layers.fusion_layer
        decoder = dict(init_cfg=None, num_hidden_layers=upper) | own
        # Its media are the states of the question, which have taken in the clip already.
        always = dict(
            type='FusionBertForMaskedLM',
            media_dim=self.text_encoder.hidden_size,
            fusion_layer=0,
            is_decoder=True,
        )
        self.answer_decoder = MODELS.build(text_encoder | decoder | always)
        self.candidates: tuple[str, ...] = ()
        self._candidate_tokens: dict[str, Tensor] | None = None
        self.freeze(freeze, unfreeze_keys)

    def set_candidates(self, answers: Sequence[str] | None) -> None:
        """Choose among these answers from now on, or write freely if there are none."""
        self.candidates, self._candidate_tokens = tuple(answers or ()), None

    def score(
        self, inputs: dict[str, Any], data_samples: Sequence[VideoDataSample] | None
    ) -> Tensor:
        """(Q, L, D) states of the questions."""
        media = self.encode_clips(inputs['video'])
        ids, mask = inputs['question']['input_ids'], inputs['question']['attention_mask']
        rows = self.clip_rows(data_samples, len(ids), ids.device)
        return self.text_encoder(ids, mask, media=media, rows=rows)

    def loss(
        self, inputs: dict[str, Any], data_samples: Sequence[VideoDataSample]
    ) -> dict[str, Tensor]:
        """Compute ``loss_answer`` (see the class)."""
        states, seen = self.score(inputs, data_samples), inputs['question']['attention_mask']
        asked = [row for row, sample in enumerate(data_samples) for _ in sample.answers]
        rows = torch.tensor(asked, device=states.device)
        shares = list(chain.from_iterable(sample.weights for sample in data_samples))
        weights = torch.tensor(shares, device=states.device)
        likelihood = self.log_likelihood(states, seen, rows, **inputs['answer'])
        return dict(loss_answer=-(weights * likelihood).sum() / len(data_samples))

    def log_likelihood(
        self, states: Tensor, seen: Tensor, rows: Tensor, input_ids: Tensor, attention_mask: Tensor
    ) -> Tensor:
        """(A,) log-likelihood of A answers, end marker included, in float32.

        Args:
            states, seen: (Q, L, D) and (Q, L) of the questions.
            rows: (A,) the question of each answer.
            input_ids, attention_mask: (A, N) of the answers, first special token included.
        """
        # Each token predicts the next: inputs lose the last one, targets the first.
        logits = self.next_token_logits(states, seen, rows, input_ids[:, :-1])
        targets = input_ids[:, 1:].masked_fill(attention_mask[:, 1:] == 0, IGNORED)
        losses = F.cross_entropy(
            logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORED, reduction='none'
        )
        return -losses.view_as(targets).sum(dim=1)

    def next_token_logits(self, states: Tensor, seen: Tensor, rows: Tensor, ids: Tensor) -> Tensor:
        """(A, N, V) float32 logits of what follows each of the tokens ``ids`` (A, N)."""
        hidden = self.answer_decoder(ids, media=states, media_mask=seen, rows=rows)
        return self.answer_decoder.predict_tokens(hidden).float()

    def answer(self, inputs: dict[str, Any], data_samples: Sequence[VideoDataSample]) -> None:
        """Set ``pred_answer`` and ``pred_score`` of the samples, all readable."""
        states, tokens = self.score(inputs, data_samples), inputs['question']
        if self.candidates:
            best, scores = self.rank(states, tokens['attention_mask'], tokens['input_ids'][:, :1])
            texts = [self.candidates[index] for index in best.tolist()]
        else:
            ids, scores = self.write(states, tokens['attention_mask'], tokens['input_ids'][:, :1])
            texts = [self.data_preprocessor.text_of(row) for row in ids]
        for sample, text, score in zip(data_samples, texts, scores.cpu(), strict=True):
            sample.set_field(text, 'pred_answer')
            sample.set_field(score, 'pred_score')

    def rank(self, states: Tensor, seen: Tensor, start: Tensor) -> tuple[Tensor, Tensor]:
        """(Q,) number of the best candidate of every question, and its log-likelihood.

        The candidates of the likeliest first tokens (``num_candidates``) are judged as a whole;
        ALBEF counts their first token twice, here it counts once.

        Args:
            states, seen: of the questions, as in :meth:`log_likelihood`.
            start: (Q, 1) first token of every answer.
        """
        tokens = self._tokens_of_candidates(states.device)
        ids, mask = tokens['input_ids'], tokens['attention_mask']
        own = torch.arange(len(states), device=states.device)
        first = self.next_token_logits(states, seen, own, start)[:, 0].log_softmax(dim=-1)
        kept = min(self.num_candidates or len(ids), len(ids))
        # Column 0 holds the special token that every answer begins with.
        chosen = first[:, ids[:, 1]].topk(kept, dim=1).indices
        rows, picked = own.repeat_interleave(kept), chosen.flatten()
        parts = [
            self.log_likelihood(states, seen, part, ids[which], mask[which])
            for part, which in zip(*map(self._in_parts, (rows, picked)), strict=True)
        ]
        scores, places = torch.cat(parts).view(-1, kept).max(dim=1)
        return chosen.gather(1, places[:, None])[:, 0], scores

    def _in_parts(self, rows: Tensor) -> Sequence[Tensor]:
        return rows.split(self.pairs_per_forward)

    def _tokens_of_candidates(self, device: torch.device) -> dict[str, Tensor]:
        if self._candidate_tokens is None:
            preprocessor = self.data_preprocessor
            length = preprocessor.max_answer_length
            self._candidate_tokens = preprocessor.tokens(self.candidates, length)
        return {name: tensor.to(device) for name, tensor in self._candidate_tokens.items()}

    def write(self, states: Tensor, seen: Tensor, start: Tensor) -> tuple[Tensor, Tensor]:
        """(Q, N) tokens of answers written greedily, and their log-likelihood (Q,).

        Args: those of :meth:`rank`.
        """
        rows, ids = torch.arange(len(states), device=states.device), start
        total = torch.zeros(len(states), device=states.device)
        ended = torch.zeros(len(states), dtype=torch.bool, device=states.device)
        for _ in range(self.max_new_tokens):
            logits = self.next_token_logits(states, seen, rows, ids)[:, -1]
            score, token = logits.log_softmax(dim=-1).max(dim=-1)
            # An answer that has ended keeps its score while longer ones go on.
            total += score.masked_fill(ended, 0.0)
            ids = torch.cat([ids, token.masked_fill(ended, self.end_id)[:, None]], dim=1)
            ended = ended | (token == self.end_id)
            # Waits for the device once a word; this spares the words after the last end.
            if ended.all():
                break
        return ids, total
