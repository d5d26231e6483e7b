"""Base of models of two towers, video and text, trained by a contrastive loss."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from internvideo.models.data_preprocessors.config_checks import reads_texts
from internvideo.models.tasks.base import VideoModel
from internvideo.registry import MODELS
from internvideo.structures import VideoDataSample
from internvideo.structures.encoded import RetrievalModel

from .samples import pair_ids, set_features


class DualEncoder(RetrievalModel, VideoModel):
    """Video and text tower in one space, compared under a learned temperature.

    Children have the published names ``vision_encoder``, ``text_encoder`` and ``temp``.

    Args:
        vision_encoder: config of the video encoder.
        text_encoder: config of the text tower: tokens (B, L) -> features (B, ``out_dim``).
        temp, temp_min: temperature at the start, and its lower bound; ``temp=None``: a subclass
            has a parameter of its own.
        contrastive: config of the contrastive loss.

    ``forward`` takes ``inputs = dict(video=(B, C, T, H, W), text=dict(input_ids=(B, L)))``, of
    which either may be absent but in mode ``'loss'``, and data samples whose ``pair_id`` tells
    duplicates.  Modes: ``'loss'``; ``'tensor'``: {modality: (B, D) feature, not normalised};
    ``'predict'``: the data samples with normalised ``vision_feature`` and ``text_feature``.
    """

    encoder_field = 'vision_encoder'
    check_config = staticmethod(reads_texts)
    traced_mode = 'tensor'
    """Mode in which a rehearsal follows a test batch."""

    def __init__(
        self,
        vision_encoder: dict[str, Any],
        text_encoder: dict[str, Any],
        temp: float | None,
        temp_min: float,
        contrastive: dict[str, Any],
        data_preprocessor: dict[str, Any] | nn.Module | None,
        init_cfg: dict[str, Any] | None,
    ) -> None:
        super().__init__(data_preprocessor, init_cfg)
        self.temp_min = temp_min
        if temp is not None:
            self.temp = nn.Parameter(torch.tensor(float(temp)))
        self.vision_encoder = MODELS.build(vision_encoder)
        self.text_encoder = MODELS.build(text_encoder)
        self.contrastive = MODELS.build(dict(type='ContrastiveLoss') | contrastive)

    def check_widths(self, video_dim: int) -> None:
        """Raise ValueError unless the text's features are ``video_dim`` wide, too."""
        if video_dim != self.text_encoder.out_dim:
            raise ValueError(
                f'video features are {video_dim} wide, text features {self.text_encoder.out_dim}'
            )

    def forward(
        self,
        inputs: dict[str, Any] | None,
        data_samples: Sequence[VideoDataSample] | None = None,
        mode: str = 'tensor',
    ) -> dict[str, Tensor] | list[VideoDataSample]:
        """Run one mode (see the class).  Raises ValueError for an unknown mode or no input."""
        if mode not in ('loss', 'tensor', 'predict'):
            raise ValueError(f"mode must be 'tensor', 'loss' or 'predict', got {mode!r}")
        if not inputs:
            raise ValueError(f'the batch holds nothing readable, so mode={mode!r} cannot run')
        if mode == 'loss':
            return self.loss(inputs, data_samples)
        features = self.encode(inputs)
        return features if mode == 'tensor' else set_features(features, data_samples)

    @property
    def modalities(self) -> tuple[str, ...]:
        """See :class:`RetrievalModel`."""
        return ('vision',)

    @property
    def temperature(self) -> float:
        """See :class:`RetrievalModel`."""
        return float(self.temp)

    def check_modality(self, modality: str) -> None:
        """See :class:`RetrievalModel`."""
        if modality not in self.modalities:
            raise ValueError('the model has no audio_encoder')

    def encode(self, inputs: dict[str, Any]) -> dict[str, Tensor]:
        """{modality: (B, D) feature, not normalised} of what ``inputs`` hold."""
        features = {}
        if inputs.get('video') is not None:
            features['vision'] = self.encode_video(inputs['video'])
        if inputs.get('text') is not None:
            features['text'] = self.encode_text(inputs['text']['input_ids'])
        return features

    def encode_video(self, video: Tensor) -> Tensor:
        """Clips or images (B, C, T, H, W) -> (B, D)."""
        return self.vision_encoder(video).pooled

    def encode_text(self, input_ids: Tensor) -> Tensor:
        """Tokens (B, L) -> (B, D)."""
        return self.text_encoder(input_ids)

    def loss(
        self, inputs: dict[str, Any], data_samples: Sequence[VideoDataSample] | None
    ) -> dict[str, Tensor]:
        """Compute ``{'loss_vtc': ...}`` after clamping the temperature in place."""
        with torch.no_grad():
            # From below only, as published; stage 2 of InternVideo2 clamps on both sides.
            self.temp.clamp_(min=self.temp_min)
        features = self.encode(inputs)
        lost = {'vision', 'text'} - features.keys()
        if lost:
            raise ValueError(f'the batch lacks {", ".join(sorted(lost))}')
        ids = pair_ids(data_samples, self.temp.device)
        pair = (features['vision'], features['text'])
        return dict(loss_vtc=self.contrastive(*pair, self.temp, ids))

    def no_weight_decay(self) -> set[str]:
        """Names of parameters that are never decayed."""
        return super().no_weight_decay() | {'temp'}
