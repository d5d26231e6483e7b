"""Frames, audio and captions of one batch, ready for a model of several modalities."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from internvideo.models.data_preprocessors import config_checks
from internvideo.models.data_preprocessors.clip_data_preprocessor import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    ClipDataPreprocessor,
)
from internvideo.registry import MODELS, TASK_UTILS
from internvideo.structures import VideoDataSample

Tokens = dict[str, Tensor]


@MODELS.register_module()
class MediaTextPreprocessor(ClipDataPreprocessor):
    """Moves media to the device, normalises pictures and turns captions into tokens.

    Args:
        mean, std: per colour channel, on the scale 0..255.
        tokenizer: config (or object) of the tokenizer of the model's text tower, in
            ``TASK_UTILS``; None for batches without captions.
        non_blocking: passed to the copy to the device.

    Input: ``dict(inputs, data_samples)`` of ``collate_media``: ``video`` uint8 (B, C, T, H, W),
    ``audio`` (B, frames, mels), either or both; readable data samples come first.  Output: the
    same with ``video`` in float32 and, where the samples have a ``caption``, ``text``: tokens
    ``dict(input_ids, attention_mask)`` of (B, L), or ``{kind: tokens}`` when captions are
    dicts.  L is the largest ``max_text_length`` of the batch, by default the tokenizer's length.

    Raises:
        ValueError: captions without a tokenizer, or of some samples of a batch only.
    """

    # What the class tells a rehearsal, see docs/rehearsal.md.
    check_config = staticmethod(config_checks.texts)

    def __init__(
        self,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
        tokenizer: dict[str, Any] | Any = None,
        non_blocking: bool = True,
    ) -> None:
        super().__init__(mean, std, non_blocking=non_blocking)
        self.tokenizer = TASK_UTILS.build(tokenizer) if isinstance(tokenizer, dict) else tokenizer

    def forward(self, data: dict[str, Any], training: bool = False) -> dict[str, Any]:
        """See the class."""
        inputs, data_samples = data['inputs'], data.get('data_samples')
        if inputs is None:
            return dict(inputs=None, data_samples=data_samples)
        inputs = self.cast_data(dict(inputs))
        if inputs.get('video') is not None:
            inputs['video'] = self.normalise(inputs['video'])
        # Unreadable samples come last and have no inputs.
        size = len(next(iter(inputs.values())))
        text = self.tokens_of((data_samples or [])[:size])
        if text is not None:
            inputs['text'] = text
        return dict(inputs=inputs, data_samples=data_samples)

    def tokens_of(
        self, data_samples: Sequence[VideoDataSample]
    ) -> Tokens | dict[str, Tokens] | None:
        """Tokens of the captions on the device, or None when no sample has one."""
        captions = [sample.get('caption') for sample in data_samples]
        if all(caption is None for caption in captions):
            return None
        if any(caption is None for caption in captions):
            raise ValueError('some data samples of the batch have a caption and some have none')
        lengths = [sample.get('max_text_length') or 0 for sample in data_samples]
        length = max(lengths) or None
        if not isinstance(captions[0], Mapping):
            return self.tokenize(captions, length)
        kinds = _kinds(captions)  # one batch of tokens per kind, for an objective of its own
        return {kind: self.tokenize([c[kind] for c in captions], length) for kind in kinds}

    def tokenize(self, texts: Sequence[str], max_length: int | None = None) -> Tokens:
        """Tokens of texts, on the device."""
        if self.tokenizer is None:
            raise ValueError('captions need model.data_preprocessor.tokenizer')
        return self.cast_data(self.tokenizer(texts, max_length))


def _kinds(captions: Sequence[Any]) -> list[str]:
    """Kinds that every caption of a batch has, of which there must be one."""
    if not all(isinstance(caption, Mapping) for caption in captions):
        raise ValueError('some captions of the batch are of several kinds and some of one')
    kinds = [kind for kind in captions[0] if all(kind in caption for caption in captions)]
    if not kinds:
        found = sorted({kind for caption in captions for kind in caption})
        raise ValueError(f'the captions of a batch share no kind; they have {", ".join(found)}')
    return kinds
