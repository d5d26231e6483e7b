"""Reader of clips and of texts with clips in view, taken from stage 2."""

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from internvideo.models.data_preprocessors.config_checks import reads_texts
from internvideo.models.tasks.base import VideoModel
from internvideo.models.tasks.retrieval.freezing import freeze_parts
from internvideo.registry import MODELS
from internvideo.structures import VideoDataSample
from internvideo.structures.rehearsal import SmallSizes

MODES = ('loss', 'tensor', 'predict')


class ClipReader(VideoModel):
    """The vision tower and the fusion encoder of :class:`InternVideo2Stage2`, by its names.

    Args:
        vision_encoder: config of the video encoder; its pooling is not used, so leave it out
            (``clip_embed_dim=None``).
        text_encoder: config of the text and fusion encoder; its ``media_dim`` is set here.
        av_concat_dim: width to which vision tokens are projected before fusion, as in models that
            hear; None: they go into fusion as they are.
        blind: read texts without their clips, by the same parameters: every clip is replaced by
            one of mean colour, whose tokens say nothing.  The baseline that answers must beat.
        pairs_per_forward: texts that are read at once in testing.
        freeze: parts that do not learn, of the class's ``parts``: ``vision``, ``text``.
        unfreeze_keys: parameters of frozen parts whose name contains one of these learn.
        data_preprocessor: config of a :class:`QuestionPreprocessor`.

    Raises:
        ValueError: unknown parts, or ``pairs_per_forward`` that is not positive.
    """

    encoder_field = 'vision_encoder'
    parts: ClassVar[dict[str, str]] = dict(vision='vision_encoder', text='text_encoder')

    def __init__(
        self,
        vision_encoder: dict[str, Any],
        text_encoder: dict[str, Any],
        av_concat_dim: int | None = None,
        blind: bool = False,
        pairs_per_forward: int = 512,
        freeze: Sequence[str] = (),
        unfreeze_keys: Sequence[str] = (),
        data_preprocessor: dict[str, Any] | nn.Module | None = None,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(data_preprocessor, init_cfg)
        if pairs_per_forward < 1:
            raise ValueError(f'pairs_per_forward must be positive, got {pairs_per_forward}')
        self.blind, self.pairs_per_forward = blind, pairs_per_forward
        self.vision_encoder = MODELS.build(vision_encoder)
        width = self.vision_encoder.embed_dim
        self.av_concat_vision_proj = None
        if av_concat_dim:
            projection = nn.Linear(width, av_concat_dim), nn.LayerNorm(av_concat_dim)
            self.av_concat_vision_proj = nn.Sequential(*projection)
        media_dim = av_concat_dim or width
        self.text_encoder = MODELS.build(text_encoder | dict(media_dim=media_dim))
        self.freeze(freeze, unfreeze_keys)

    check_config = staticmethod(reads_texts)
    traced_mode = 'tensor'
    """Mode in which a rehearsal follows a test batch."""

    @classmethod
    def shrink(cls, config: dict[str, Any], small: SmallSizes) -> dict[str, Any]:
        """Offer a small copy to a rehearsal."""
        given = [name for name in ('av_concat_dim',) if name in config]
        return small.narrowed(config, *given)

    def freeze(self, names: Sequence[str], unfreeze_keys: Sequence[str] = ()) -> None:
        """Freeze parts (see the class)."""
        unknown = sorted(set(names) - set(self.parts))
        if unknown:
            raise ValueError(f'freeze must be of {", ".join(self.parts)}, got {unknown}')
        self._frozen = freeze_parts(self, [self.parts[name] for name in names], unfreeze_keys)

    def forward(
        self,
        inputs: dict[str, Any] | None,
        data_samples: Sequence[VideoDataSample] | None = None,
        mode: str = 'tensor',
    ) -> Any:
        """Run one mode (see the class).

        Raises ValueError for an unknown mode or, but for ``'predict'``, nothing readable.
        """
        if mode not in MODES:
            raise ValueError(f"mode must be 'tensor', 'loss' or 'predict', got {mode!r}")
        if mode == 'predict':
            return self.predict(inputs, data_samples)
        if not inputs:
            raise ValueError(f'the batch holds nothing readable, so mode={mode!r} cannot run')
        if mode == 'loss':
            return self.loss(inputs, data_samples)
        return self.score(inputs, data_samples)

    def predict(
        self, inputs: dict[str, Any] | None, data_samples: Sequence[VideoDataSample]
    ) -> list[VideoDataSample]:
        """Answer every readable data sample and return all of them in order."""
        readable = [sample for sample in data_samples if not sample.is_unreadable]
        if inputs and readable:
            self.answer(inputs, readable)
        elif readable:
            raise ValueError(f'no clip came with {len(readable)} readable data samples')
        return list(data_samples)

    def loss(
        self, inputs: dict[str, Any], data_samples: Sequence[VideoDataSample]
    ) -> dict[str, Tensor]:
        """Loss that training minimises."""
        raise NotImplementedError

    def score(
        self, inputs: dict[str, Any], data_samples: Sequence[VideoDataSample] | None
    ) -> Tensor:
        """Output of ``mode='tensor'``."""
        raise NotImplementedError

    def answer(self, inputs: dict[str, Any], data_samples: Sequence[VideoDataSample]) -> None:
        """Put answers into the data samples, all of which are readable."""
        raise NotImplementedError

    def encode_clips(self, video: Tensor) -> Tensor:
        """(M, C, T, H, W) clips -> (M, N, D) tokens as the fusion encoder takes them.

        A blind model gives one row, whatever the clips.
        """
        if self.blind:
            # Clips are normalised here: zero is the mean colour.
            video = torch.zeros_like(video[:1])
        tokens = self.vision_encoder(video).tokens
        return tokens if self.av_concat_vision_proj is None else self.av_concat_vision_proj(tokens)

    def clip_rows(
        self, data_samples: Sequence[VideoDataSample] | None, count: int, device: torch.device
    ) -> Tensor:
        """(count,) the row of :meth:`encode_clips` that each question is about."""
        if self.blind:
            return torch.zeros(count, dtype=torch.long, device=device)
        samples = data_samples or [{}] * count
        # Several questions may be about one clip, which is encoded once.
        rows = [sample.get('clip', row) for row, sample in zip(range(count), samples, strict=True)]
        return torch.tensor(rows, device=device)
