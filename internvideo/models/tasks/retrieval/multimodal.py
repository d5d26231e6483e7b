"""The multimodal model of InternVideo: two towers, and a decoder that writes captions.

Source: arXiv 2212.03191, section 3.1.2, with the losses of CoCa (arXiv 2205.01917).
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from internvideo.models.tasks.pretraining.moving_average import MovingTarget, update_average
from internvideo.registry import MODELS
from internvideo.structures import VideoDataSample
from internvideo.structures.rehearsal import SmallSizes

from .dual_encoder import DualEncoder
from .freezing import freeze_parts

MAX_LOGIT_SCALE = math.log(100)
OBJECTIVES = ('contrastive', 'caption')
VIDEO_MODES = ('video', 'image')


class Towers(nn.Module):
    """Towers of video and text with their projections, as one module to be copied."""

    def __init__(
        self,
        vision_encoder: nn.Module,
        visual_ln_post: nn.Module,
        visual_proj: nn.Parameter,
        text_encoder: nn.Module,
    ) -> None:
        super().__init__()
        self.vision_encoder, self.visual_ln_post = vision_encoder, visual_ln_post
        self.visual_proj, self.text_encoder = visual_proj, text_encoder

    def forward(self, video: Tensor, input_ids: Tensor) -> tuple[Tensor, Tensor]:
        """Clips and tokens -> features (B, E) of both."""
        return self.project(self.vision_encoder(video).pooled), self.text_encoder(input_ids)

    def project(self, pooled: Tensor) -> Tensor:
        """Pooled vectors (B, D) of clips -> (B, E)."""
        return self.visual_ln_post(pooled) @ self.visual_proj


@MODELS.register_module()
class InternVideoMultimodal(DualEncoder):
    """Video and text towers trained by a contrastive loss and, with a decoder, by captioning.

    Children have the published names: ``visual_ln_post``, ``visual_proj``, ``logit_scale``,
    ``caption_decoder``; the towers are ``vision_encoder`` and ``text_encoder``.  The published
    losses are plain cross-entropies: a pair is a positive of itself alone.

    Args:
        vision_encoder: config of the video encoder (:class:`UniFormerV2`).
        text_encoder: config of the text tower (:class:`CLIPText`).
        caption_decoder: config of the decoder (:class:`CaptionDecoder`), whose width is that of
            the text tower and whose ``vision_width`` that of the encoder; None: there is none.
        loss_weights: of ``'contrastive'`` and ``'caption'``, 1 where not said.
        video_mode: ``'video'``, or ``'image'`` for a model that is shown single frames: each
            frame of a clip is encoded as a clip of its own.
        logit_scale: first value of the logarithm of the inverse temperature.  Training keeps it
            between 0 and ln 100.
        queue: config of :class:`QueuedContrastiveLoss` but ``dim``, for contrast with the keys of
            momentum towers; None: with the features of the global batch.
        momentum: share of the old value in the momentum towers at each step.
        contrastive: config of the contrastive loss that ``queue=None`` uses.
        freeze: children that do not learn.

    ``forward``: see :class:`DualEncoder`; mode ``'loss'`` gives ``loss_contrastive`` and
    ``loss_caption``.

    Raises:
        ValueError: parts whose widths or vocabularies differ, an unknown mode or objective, or
            no objective at all.
    """

    def __init__(
        self,
        vision_encoder: dict[str, Any],
        text_encoder: dict[str, Any],
        caption_decoder: dict[str, Any] | None = None,
        loss_weights: Mapping[str, float] | None = None,
        video_mode: str = 'video',
        logit_scale: float = math.log(1 / 0.07),
        queue: dict[str, Any] | None = None,
        momentum: float = 0.999,
        contrastive: dict[str, Any] | None = None,
        freeze: Sequence[str] = (),
        data_preprocessor: dict[str, Any] | nn.Module | None = None,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        loss = dict(gather_gradient='sum') | (contrastive or {})
        towers = (vision_encoder, text_encoder)
        super().__init__(*towers, None, 0.0, loss, data_preprocessor, init_cfg)
        self.loss_weights = _weights(loss_weights or {}, caption_decoder is not None)
        self.video_mode = check_video_mode(video_mode)
        self.logit_scale = nn.Parameter(torch.tensor(float(logit_scale)))
        width, out_dim = self.vision_encoder.pooled_dim, self.text_encoder.out_dim
        self.visual_ln_post = nn.LayerNorm(width)
        self.visual_proj = nn.Parameter(width**-0.5 * torch.randn(width, out_dim))
        self.caption_decoder = None
        if caption_decoder is not None:
            self.caption_decoder = MODELS.build(dict(type='CaptionDecoder') | caption_decoder)
            self._check_decoder()
        self._freeze_unused()
        self._frozen += freeze_parts(self, freeze)
        self.queued = self.momentum_towers = None
        if queue is not None:
            self.queued = MODELS.build(dict(type='QueuedContrastiveLoss', dim=out_dim) | queue)
            self.momentum_towers = MovingTarget(self._towers(), momentum)

    @classmethod
    def shrink(cls, config: dict[str, Any], small: SmallSizes) -> dict[str, Any]:
        """Offer a small copy to a rehearsal."""
        if config.get('queue') is None:
            return config
        # Small enough to be filled, and divided by batches of a few clips.
        return config | dict(queue=dict(config['queue'], queue_size=64))

    def _freeze_unused(self) -> None:
        """Freeze what no loss reads: left trainable, it would hold up DDP."""
        if self.text_encoder.text_mask_embedding is not None:
            self.text_encoder.text_mask_embedding.requires_grad_(False)
        if self.caption_decoder is not None and not self.loss_weights['caption']:
            self.caption_decoder.requires_grad_(False)

    def _check_decoder(self) -> None:
        decoder, text = self.caption_decoder, self.text_encoder
        vocabulary = text.text_limits[0]
        sides = {
            'width': (decoder.width, text.ln_final.weight.shape[0], 'the text tower'),
            'vision_width': (
                decoder.vision_width,
                self.vision_encoder.embed_dim,
                'the video encoder',
            ),
            'vocab_size': (decoder.vocab_size, vocabulary, 'the text tower'),
        }
        for field, (own, other, whose) in sides.items():
            if own != other:
                raise ValueError(
                    f'caption_decoder.{field}={own} does not fit {whose}, which has {other}'
                )

    def _towers(self) -> Towers:
        parts = (self.vision_encoder, self.visual_ln_post, self.visual_proj, self.text_encoder)
        return Towers(*parts)

    @property
    def temperature(self) -> float:
        """See :class:`RetrievalModel`."""
        return math.exp(-float(self.logit_scale.detach()))

    def encode_video(self, video: Tensor) -> Tensor:
        """Clips (B, C, T, H, W) -> (B, E)."""
        return self.video_states(video)[0]

    def encode_text(self, input_ids: Tensor) -> Tensor:
        """Tokens (B, L) -> (B, E)."""
        return self.text_states(input_ids)[0]

    def video_states(self, video: Tensor, mode: str | None = None) -> tuple[Tensor, Tensor]:
        """Encode clips (B, C, T, H, W) to features and tokens.

        Args:
            video: the clips.
            mode: as ``video_mode``, and that by default.

        Returns:
            Features (B, E), and tokens (B, T', 1 + HW, D) of the encoder's last layer, the class
            token of each slot first.  In mode ``'image'`` the T frames of a clip are T rows.
        """
        if check_video_mode(mode or self.video_mode) == 'image':
            video = video.transpose(1, 2).flatten(0, 1)[:, :, None]
        out = self.vision_encoder(video)
        return self._towers().project(out.pooled), self.vision_encoder.split_frames(out.tokens)

    def text_states(self, input_ids: Tensor, masked: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Tokens (B, L) -> features (B, E) and states (B, L, width).

        ``masked`` (B, L) is True where ``text_mask_embedding`` takes a token's place.
        """
        states = self.text_encoder.encode_tokens(input_ids, masked)
        return self.text_encoder.pool(states, input_ids), states

    def loss(
        self, inputs: dict[str, Any], data_samples: Sequence[VideoDataSample] | None
    ) -> dict[str, Tensor]:
        """Weighted terms, after clamping the scale of the logits in place."""
        lost = [name for name in ('video', 'text') if inputs.get(name) is None]
        if lost:
            raise ValueError(f'the batch lacks {", ".join(lost)}')
        with torch.no_grad():
            self.logit_scale.clamp_(0, MAX_LOGIT_SCALE)
        input_ids, frames = inputs['text']['input_ids'], inputs['video'].shape[2]
        if self.video_mode == 'image' and frames != 1:
            raise ValueError(
                f"clips of {frames} frames are {frames} images each in video_mode='image', and a "
                "text pairs with one: train on single frames, or with video_mode='video'"
            )
        vision, video_tokens = self.video_states(inputs['video'])
        text, states = self.text_states(input_ids)
        losses = {}
        if weight := self.loss_weights['contrastive']:
            value = self._contrast(inputs['video'], input_ids, vision, text)
            losses['loss_contrastive'] = weight * value
        if self.caption_decoder is not None and (weight := self.loss_weights['caption']):
            value = self.caption_decoder.loss(video_tokens.flatten(1, 2), states, input_ids)
            losses['loss_caption'] = weight * value
        return losses

    def _contrast(self, video: Tensor, input_ids: Tensor, vision: Tensor, text: Tensor) -> Tensor:
        temp = (-self.logit_scale).exp()
        if self.queued is None:
            return self.contrastive(vision, text, temp)
        # Loaded weights, from wherever they came, are what the momentum towers begin with.
        target = self.momentum_towers
        momentum = 0.0 if self.queued.is_empty else target.momentum
        update_average(target.network, self._towers(), momentum)
        if self.video_mode == 'image':
            video = video.transpose(1, 2).flatten(0, 1)[:, :, None]
        return self.queued(vision, text, *target(video, input_ids), temp)

    def generate(self, video: Tensor, max_length: int | None = None) -> Tensor:
        """Write a caption for each clip (B, C, T, H, W), word by word (greedily).

        Args:
            video: the clips.
            max_length: most tokens of a caption; None: as many as the text tower reads.

        Returns:
            Token ids (B, M), 0 behind the end of text.

        Raises:
            ValueError: there is no decoder, or the text tower reads fewer tokens.
        """
        if self.caption_decoder is None:
            raise ValueError('the model has no caption_decoder')
        vocabulary, context = self.text_encoder.text_limits
        length = max_length or context
        if length > context:
            raise ValueError(f'max_length={length} is more than context_length={context}')
        with torch.no_grad():
            tokens = self.video_states(video)[1].flatten(1, 2)
        # CLIP's vocabulary ends with the start and the end of text.
        return self.caption_decoder.generate(
            tokens, self.text_encoder.encode_tokens, vocabulary - 2, vocabulary - 1, length
        )

    def no_weight_decay(self) -> set[str]:
        """Names of parameters that are never decayed."""
        names = super().no_weight_decay() | {'logit_scale'}
        for part in ('text_encoder', 'caption_decoder'):
            module = getattr(self, part)
            if module is not None:
                names |= {f'{part}.{name}' for name in module.no_weight_decay()}
        return names


def check_video_mode(mode: str) -> str:
    """Return ``mode`` if it is known, else raise ValueError."""
    if mode not in VIDEO_MODES:
        raise ValueError(f'video_mode must be one of {", ".join(VIDEO_MODES)}, got {mode!r}')
    return mode


def _weights(given: Mapping[str, float], has_decoder: bool) -> dict[str, float]:
    unknown = sorted(set(given) - set(OBJECTIVES))
    if unknown or min(given.values(), default=0) < 0:
        raise ValueError(
            f'loss_weights must be of {", ".join(OBJECTIVES)} and not negative, got {dict(given)}'
        )
    weights = dict.fromkeys(OBJECTIVES, 1.0) | dict(given)
    if not weights['contrastive'] and not (has_decoder and weights['caption']):
        raise ValueError(
            f'loss_weights={dict(given)} leaves nothing to train'
            + ('' if has_decoder else ': without caption_decoder there is contrast alone')
        )
    return weights
