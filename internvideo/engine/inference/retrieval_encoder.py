"""Runs a retrieval model: media and texts to features, pairs of them to logits."""

import logging
from collections.abc import Sequence
from typing import Any

import torch
from mmengine.logging import print_log
from torch import Tensor, nn

from internvideo.datasets.formats.captions import normalise_caption
from internvideo.models.tasks.retrieval.objectives import HEADS, MATCHING, Encoded
from internvideo.ops.features import normalise

from .devices import autocast

TEXT_BATCH = 64


class RetrievalEncoder:
    """A retrieval model on a device.

    Args:
        model: :class:`InternVideo2CLIP`, :class:`InternVideo2Stage2`, or another with their
            ``encode`` and a data preprocessor that tokenises.
        modality: ``'vision'``, ``'audio'`` or ``'audio_vision'``.
        device: torch device.
        dtype: of autocast.
        max_text_length: tokens that texts are cut to; None: the tokenizer's own length.

    Raises:
        ValueError: the model does not hear, or was not trained on both.
    """

    def __init__(
        self,
        model: nn.Module,
        modality: str,
        device: str,
        dtype: str = 'float32',
        max_text_length: int | None = None,
    ) -> None:
        self.autocast = autocast(device, dtype)
        if modality != 'vision' and getattr(model, 'audio_encoder', None) is None:
            raise ValueError(f'modality={modality!r} needs a model with audio_encoder')
        if modality == 'audio_vision' and not hasattr(model, 'av_fusion'):
            raise ValueError(
                "modality='audio_vision' needs a model trained on both (loss_weights.avtc)"
            )
        self.model, self.modality, self.device = model.to(device), modality, device
        self.max_text_length = max_text_length
        self.kind = next(kind for kind, medium in MATCHING.items() if medium == modality)

    @property
    def head(self) -> str:
        """The part of the model that tells whether a text and a medium belong together."""
        return HEADS[self.kind]

    @property
    def can_match(self) -> bool:
        """Whether the model has that part."""
        return hasattr(self.model, 'match_scores') and hasattr(self.model, self.head)

    @torch.inference_mode()
    def media(self, batch: dict[str, Any]) -> Encoded:
        """Features (B, D) of length 1 and, of models that match, tokens of a ``collate_media``."""
        inputs = self.model.data_preprocessor(batch)['inputs']
        with self.autocast:
            encoded = self.model.encode(inputs)[self.modality]
        return _with_unit_feature(encoded)

    @torch.inference_mode()
    def texts(self, texts: Sequence[str]) -> Encoded:
        """Features (N, D) of length 1 and, of models that match, states and mask.

        Texts are normalised as captions are in training.  One that is cut is warned of.

        Raises:
            ValueError: there is no text, or one holds no word.
        """
        texts = [normalise_query(text) for text in texts]
        if not texts:
            raise ValueError('there is no text')
        batches = [texts[i : i + TEXT_BATCH] for i in range(0, len(texts), TEXT_BATCH)]
        columns = zip(*map(self._text_batch, batches), strict=True)
        return Encoded(*(None if c[0] is None else torch.cat(c) for c in columns))

    def _text_batch(self, texts: Sequence[str]) -> Encoded:
        preprocessor = self.model.data_preprocessor
        tokens = preprocessor.tokenize(texts, self.max_text_length)
        length = tokens['input_ids'].shape[1]
        count = getattr(preprocessor.tokenizer, 'count', lambda _: 0)
        for text in texts:
            if (needed := count(text)) > length:
                note = f'a text of {needed} tokens is cut to {length}: {text[:60]} ...'
                print_log(note, logger='current', level=logging.WARNING)
        with self.autocast:
            encoded = self.model.encode(dict(text=tokens))['text']
        return _with_unit_feature(encoded)

    @torch.inference_mode()
    def match(
        self, texts: Encoded, tokens: Tensor, pairs: Sequence[tuple[int, int]], batch_size: int
    ) -> list[float]:
        """Logits of belonging together of (row of ``tokens``, row of ``texts``) pairs."""
        media, logits = Encoded(tokens, tokens[:, 0]), []
        for first in range(0, len(pairs), batch_size):
            rows = torch.tensor(pairs[first : first + batch_size], device=tokens.device).T
            with self.autocast:
                logits += self.model.match_scores(media, texts, *rows, self.kind).tolist()
        return logits


def normalise_query(text: str) -> str:
    """A text as captions are in training.  Raises ValueError when nothing is left of it."""
    normal = normalise_caption(text)
    if not normal:
        raise ValueError(f'the text {text!r} holds no word')
    return normal


def _with_unit_feature(encoded: Encoded | Tensor) -> Encoded:
    if isinstance(encoded, Tensor):
        return Encoded(None, normalise(encoded, 'l2'))
    return encoded._replace(feature=normalise(encoded.feature, 'l2'))
