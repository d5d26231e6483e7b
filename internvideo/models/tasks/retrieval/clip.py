"""CLIP post-training of InternVideo2: a video tower against a large or small text tower.

Source: arXiv 2403.15377, section 3.2 (InternVideo2-CLIP) and its model zoo for the small models.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from internvideo.models.data_preprocessors.config_checks import reads_texts
from internvideo.models.tasks.base import VideoModel
from internvideo.registry import MODELS
from internvideo.structures import VideoDataSample
from internvideo.structures.encoded import RetrievalModel
from internvideo.structures.rehearsal import SmallSizes

from .freezing import freeze_parts
from .samples import pair_ids, set_features


@MODELS.register_module(name=['InternVideo2CLIP', 'InternVideo2_CLIP', 'InternVideo2_CLIP_small'])
class InternVideo2CLIP(RetrievalModel, VideoModel):
    """Video and text towers trained by a contrastive loss.

    Children have the published names: ``vision_encoder``, ``text_encoder``, ``temp`` and, where
    ``align_dim`` is given, ``vision_align``.

    Args:
        vision_encoder: config of the video encoder (:class:`InternVideo2`).
        text_encoder: config of the text tower (:class:`LlamaText` or :class:`MobileCLIPText`);
            its feature must be as wide as the video's.
        align_dim: project the pooled video vector (LayerNorm, linear) to this width; None: not.
        temp, temp_min: temperature at the start, and its lower bound.
        freeze_vision: the video encoder does not learn; its pooler does if
            ``open_vision_clip_projector``.
        freeze_text: the text tower does not learn; its projection does if
            ``open_text_projection``, its low-rank adapters do if ``open_text_lora``.
        frozen_eval: frozen modules stay in evaluation mode.  The published runs left dropout and
            stochastic depth on in them: False.
        contrastive: config of the contrastive loss.

    ``forward`` takes ``inputs = dict(video=(B, C, T, H, W), text=dict(input_ids=(B, L)))``, of
    which either may be absent but in mode ``'loss'``, and data samples whose ``pair_id`` tells
    duplicates.  Modes: ``'loss'``; ``'tensor'``: {modality: (B, D) feature, not normalised};
    ``'predict'``: the data samples with normalised ``vision_feature`` and ``text_feature``.

    Raises:
        ValueError: features of the two towers differ in width.
    """

    encoder_field = 'vision_encoder'

    def __init__(
        self,
        vision_encoder: dict[str, Any],
        text_encoder: dict[str, Any],
        align_dim: int | None = None,
        temp: float = 0.01,
        temp_min: float = 0.01,
        freeze_vision: bool = True,
        open_vision_clip_projector: bool = True,
        freeze_text: bool = True,
        open_text_projection: bool = False,
        open_text_lora: bool = False,
        frozen_eval: bool = True,
        contrastive: dict[str, Any] | None = None,
        data_preprocessor: dict[str, Any] | nn.Module | None = None,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(data_preprocessor, init_cfg)
        self.temp_min = temp_min
        self.temp = nn.Parameter(torch.tensor(float(temp)))
        self.vision_encoder = MODELS.build(vision_encoder)
        self.text_encoder = MODELS.build(text_encoder)
        width = self.vision_encoder.pooled_dim
        self.vision_align = None
        if align_dim:
            self.vision_align = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, align_dim))
        if (align_dim or width) != self.text_encoder.out_dim:
            raise ValueError(
                f'video features are {align_dim or width} wide, text features '
                f'{self.text_encoder.out_dim}'
            )
        self.contrastive = MODELS.build(dict(type='ContrastiveLoss') | (contrastive or {}))
        if freeze_vision:
            children = self.vision_encoder.named_children()
            pooler = [name for name, part in children if part is self.vision_encoder.pooler]
            opened = pooler if open_vision_clip_projector else []
            self._frozen += freeze_parts(self, ['vision_encoder'], opened)
        if freeze_text:
            opened = ['projection'] if open_text_projection else []
            # peft calls its weights lora_A and lora_B.
            opened += ['lora_'] if open_text_lora else []
            self._frozen += freeze_parts(self, ['text_encoder'], opened)
        # Their parameters learn nothing either way: only the mode of the modules differs.
        self._frozen = self._frozen if frozen_eval else []

    check_config = staticmethod(reads_texts)
    traced_mode = 'tensor'
    """Mode in which a rehearsal follows a test batch."""

    @classmethod
    def shrink(cls, config: dict[str, Any], small: SmallSizes) -> dict[str, Any]:
        """Offer a small copy to a rehearsal."""
        given = [name for name in ('align_dim',) if name in config]
        return small.narrowed(config, *given)

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
        pooled = self.vision_encoder(video).pooled
        return pooled if self.vision_align is None else self.vision_align(pooled)

    def encode_text(self, input_ids: Tensor) -> Tensor:
        """Tokens (B, L) -> (B, D)."""
        return self.text_encoder(input_ids)

    def loss(
        self, inputs: dict[str, Any], data_samples: Sequence[VideoDataSample] | None
    ) -> dict[str, Tensor]:
        """Compute ``{'loss_vtc': ...}`` after clamping the temperature in place."""
        with torch.no_grad():
            # From below only, as published for this stage; stage 2 clamps on both sides.
            self.temp.clamp_(min=self.temp_min)
        features = self.encode(inputs)
        lost = {'vision', 'text'} - features.keys()
        if lost:
            raise ValueError(f'the batch lacks {", ".join(sorted(lost))}')
        ids = pair_ids(data_samples, self.temp.device)
        pair = (features['vision'], features['text'])
        return dict(loss_vtc=self.contrastive(*pair, self.temp, ids))

    def no_weight_decay(self) -> set[str]:
        """Names of parameters that are never decayed: the whole text tower is among them."""
        text = {f'text_encoder.{name}' for name, _ in self.text_encoder.named_parameters()}
        return super().no_weight_decay() | text | {'temp'}
