"""Runs a retrieval model: samples and texts to features, pairs of them to logits."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from mmengine.logging import print_log
from torch import Tensor

from internvideo.datasets.formats.captions import normalise_caption
from internvideo.ops.distinct_rows import distinct_rows
from internvideo.structures.encoded import Encoded, RetrievalModel, TokenFeatures

TEXTS_AT_ONCE = 256


class RetrievalEncoder:
    """A retrieval model on a device.

    Args:
        model: a :class:`RetrievalModel`, on its device.
        modality: one of its ``modalities``.
        autocast: context of its forward passes.
        max_text_length: tokens that texts are cut to; None: the tokenizer's own length.

    Raises:
        ValueError: the model encodes no such modality.
        TypeError: it is no :class:`RetrievalModel`.
    """

    def __init__(
        self,
        model: Any,
        modality: str,
        autocast: AbstractContextManager,
        max_text_length: int | None = None,
    ) -> None:
        if not isinstance(model, RetrievalModel):
            raise TypeError(
                f'{type(model).__name__} encodes no samples and texts: derive it from '
                'internvideo.structures.encoded.RetrievalModel'
            )
        model.check_modality(modality)
        self.model, self.modality, self.autocast = model, modality, autocast
        self.max_text_length = max_text_length

    @property
    def device(self) -> torch.device:
        """Of the weights."""
        return next(self.model.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """Of the weights, which engines may keep in half precision."""
        return next(self.model.parameters()).dtype

    @property
    def matching_head(self) -> str | None:
        """The part that tells whether a text and a sample belong together, if there is one."""
        return self.model.matching_head(self.modality)

    @torch.no_grad()
    def samples(self, batch: dict[str, Any]) -> Encoded | None:
        """Unit features (B, D), and tokens, of the readable samples of a ``collate_media``."""
        inputs = self.model.data_preprocessor(batch, False)['inputs']
        if inputs is None:
            return None
        inputs = {key: value.to(self.dtype) for key, value in inputs.items()}
        with self.autocast:
            encoded = self.model.encode(inputs)[self.modality]
        return Encoded.of(encoded).unit()

    def queries(self, texts: Sequence[str]) -> Encoded:
        """Encode what people write, normalised where the model wants it.

        A text that is cut is warned of.

        Returns:
            Unit features (N, D) and, of models that match, states and mask.

        Raises:
            ValueError: there is no text, or one holds no word.
        """
        normal = [normalise_query(text) for text in texts]
        texts = normal if self.model.normalises_queries else list(texts)
        if not texts:
            raise ValueError('there is no text')
        tokens = self.tokens(texts)
        self._warn_of_cuts(texts, tokens.length)
        return joined_texts(list(self.texts(tokens)), tokens.place.to(self.device))

    def _warn_of_cuts(self, texts: Sequence[str], length: int) -> None:
        count = getattr(self.model.data_preprocessor.tokenizer, 'count', lambda _: 0)
        for text in texts:
            if (needed := count(text)) > length:
                note = f'a text of {needed} tokens is cut to {length}: {text[:60]} ...'
                print_log(note, logger='current', level=logging.WARNING)

    def tokens(self, texts: Sequence[str]) -> 'DistinctTokens':
        """Tokens of the distinct ones among texts."""
        fields = self.model.data_preprocessor.tokenize(texts, self.max_text_length)
        return DistinctTokens(fields)

    @torch.no_grad()
    def texts(
        self, tokens: 'DistinctTokens', chosen: Callable[[int], bool] = lambda _: True
    ) -> Iterator[Encoded]:
        """Texts in chunks of equal size, those whose number is ``chosen``."""
        for number, chunk in enumerate(tokens.chunks(TEXTS_AT_ONCE)):
            if chosen(number):
                with self.autocast:
                    encoded = self.model.encode(dict(text=chunk))['text']
                yield Encoded.of(encoded).unit()

    @torch.no_grad()
    def match(
        self, samples: Encoded, texts: Encoded, sample_rows: Tensor, text_rows: Tensor
    ) -> Tensor:
        """(P,) float32 logits, on the CPU, of belonging together of P pairs of rows."""
        scores = [torch.zeros(0)]
        size = self.model.pairs_per_forward
        for pair in zip(sample_rows.split(size), text_rows.split(size), strict=True):
            with self.autocast:
                logits = self.model.match_scores(samples, texts, *pair, self.modality)
            scores.append(logits.float().cpu())
        return torch.cat(scores)


class DistinctTokens:
    """Tokenised texts, equal ones once.

    In other rows of a batch the last bits of a feature would differ, and equal texts no longer tie.

    Args:
        fields: what the tokenizer gives: name -> (N, L).

    Attributes:
        place: (N,) where each text is among the distinct ones.
        length: tokens that texts are padded or cut to.
    """

    def __init__(self, fields: dict[str, Tensor]) -> None:
        rows, self.place = distinct_rows(*fields.values())
        self.place = self.place.cpu()
        self._fields = {name: field[rows] for name, field in fields.items()}
        self.length = next(iter(fields.values())).shape[1]

    def chunks(self, size: int) -> Iterator[dict[str, Tensor]]:
        """Split distinct texts into chunks."""
        split = {name: field.split(size) for name, field in self._fields.items()}
        for parts in zip(*split.values(), strict=True):
            yield dict(zip(split, parts, strict=True))


def joined_texts(parts: Sequence[Encoded], place: Tensor | None = None) -> Encoded:
    """Texts of several chunks one after the other, with the row of each (``place``)."""
    joined = Encoded(*map(_joined, zip(*parts, strict=True)))
    return joined if place is None else Encoded(*(x if x is None else x[place] for x in joined))


def _joined(column: Sequence[Any]) -> Any:
    if column[0] is None:
        return None
    if isinstance(column[0], TokenFeatures):
        return TokenFeatures.joined(column)
    return torch.cat(column)


def normalise_query(text: str) -> str:
    """A text as captions are in training.  Raises ValueError when nothing is left of it."""
    normal = normalise_caption(text)
    if not normal:
        raise ValueError(f'the text {text!r} holds no word')
    return normal
