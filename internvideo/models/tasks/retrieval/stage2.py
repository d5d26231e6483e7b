"""Stage 2 of InternVideo2: video, audio and text in one space, and a fusion encoder on top.

Source: arXiv 2403.15377, section 3.2 and equation 4.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from internvideo.models.backbones.base import EncoderOutput
from internvideo.models.data_preprocessors.config_checks import reads_texts
from internvideo.models.losses.masked_language import (
    TokenMasker,
    masked_language_loss,
    targets_only,
)
from internvideo.models.losses.matching import NegativeSampler, match_logits, matching_loss
from internvideo.models.masks.token_masks import visible_indices
from internvideo.models.tasks.base import VideoModel
from internvideo.models.tasks.pretraining.teachers import aligned_layers, blocks_of
from internvideo.registry import MODELS
from internvideo.structures import VideoDataSample
from internvideo.structures.encoded import Encoded, RetrievalModel
from internvideo.structures.rehearsal import Finding, RehearsedRun, SmallSizes

from .freezing import freeze_parts
from .objectives import (
    AUDIO_OBJECTIVES,
    CONTRASTIVE,
    HEADS,
    LANGUAGE,
    MATCHING,
    active_objectives,
    captions_by_kind,
    check_weights,
)
from .samples import pair_ids, set_features

PUBLISHED_NAMES = [f'InternVideo2_Stage2{kind}' for kind in ('', '_visual', '_audiovisual')]
MATCHING_HEADS = {modality: HEADS[name] for name, modality in MATCHING.items()}
PARTS = dict(vision='vision_encoder', audio='audio_encoder', text='text_encoder')


@MODELS.register_module(name=['InternVideo2Stage2', *PUBLISHED_NAMES])
class InternVideo2Stage2(RetrievalModel, VideoModel):
    """Visual, and with an audio encoder audio-visual, video-language model.

    Children have the published names; the decoders of the masked alignment, which published
    files keep inside ``vision_encoder``, are ``neck`` here.

    Args:
        vision_encoder: config of the video encoder (:class:`InternVideo2`).
        text_encoder: config of the text and fusion encoder; its ``media_dim`` is set here.
            Masked language modelling needs ``FusionBertForMaskedLM``.
        embed_dim: width of the common space.
        audio_encoder: config of the audio encoder (:class:`BEATs`); needs ``av_concat_dim``.
        av_concat_dim: width to which all media tokens are projected before fusion; None: vision
            tokens go into fusion as they are.
        neck: config of the decoders of the masked alignment; None leaves them out.
        clip_layers: aligned blocks, see :func:`aligned_layers`.
        targets: config of the teachers of the alignment; None: no alignment.
        alignment: config of its loss.
        uta_image_only: align images only.
        image_masker, video_masker: configs of the maskers of the vision tower in training; None:
            all tokens are seen.  They need no teacher unless they draw from its attention.
        loss_weights: objective -> weight, of ``uta vtc atc avc avtc vtm atm avtm mlm amlm
            avmlm``; what is absent or 0 is not computed.
        loss_captions: objective -> kind of caption, for batches with several kinds.
        contrastive: config of the contrastive loss.
        hard_negatives: match against hard negatives rather than random ones.
        masking: fields of :class:`TokenMasker`.
        temp, temp_range: temperature at the start, and where it is kept.
        num_test_segments: clips per video when testing, each of every n-th frame; features and
            projected tokens are averaged.
        freeze: parts that do not learn, of ``vision`` (its decoders ``neck`` included),
            ``audio``, ``text``.
        unfreeze_keys: parameters of frozen parts whose name contains one of these learn.

    ``forward`` takes ``inputs = dict(video=(B, C, T, H, W), audio=(B, frames, mels),
    text=dict(input_ids, attention_mask) or {kind: such a dict})``, of which any may be absent,
    and data samples whose ``pair_id`` (default: their place) tells duplicates.  One frame is an
    image.  Modes: ``'loss'``: weighted terms; ``'tensor'``: {modality: :class:`Encoded`};
    ``'predict'``: the data samples with normalised ``vision_feature``, ``audio_feature`` and
    ``text_feature``.

    Raises:
        ValueError: unknown objectives, parts or options, or objectives whose parts are missing.
    """

    encoder_field = 'vision_encoder'

    def __init__(
        self,
        vision_encoder: dict[str, Any],
        text_encoder: dict[str, Any],
        embed_dim: int = 512,
        audio_encoder: dict[str, Any] | None = None,
        av_concat_dim: int | None = None,
        neck: dict[str, Any] | None = None,
        clip_layers: Mapping[str, float] | Sequence[int] | None = None,
        targets: dict[str, Any] | None = None,
        alignment: dict[str, Any] | None = None,
        uta_image_only: bool = False,
        image_masker: dict[str, Any] | None = None,
        video_masker: dict[str, Any] | None = None,
        loss_weights: Mapping[str, float] | None = None,
        loss_captions: Mapping[str, str] | None = None,
        contrastive: dict[str, Any] | None = None,
        hard_negatives: bool = True,
        masking: Mapping[str, Any] | None = None,
        temp: float = 0.07,
        temp_range: tuple[float, float] = (0.001, 0.5),
        num_test_segments: int = 1,
        freeze: Sequence[str] = (),
        unfreeze_keys: Sequence[str] = (),
        data_preprocessor: dict[str, Any] | nn.Module | None = None,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(data_preprocessor, init_cfg)
        self.loss_weights = check_weights(loss_weights or dict(vtc=1.0, vtm=1.0, mlm=1.0))
        self.loss_captions = dict(loss_captions or {})
        self.temp_range, self.num_test_segments = tuple(temp_range), num_test_segments
        self.temp = nn.Parameter(torch.tensor(float(temp)))

        self.vision_encoder = MODELS.build(vision_encoder)
        self.vision_proj = nn.Linear(self.vision_encoder.pooled_dim, embed_dim)
        width = self.vision_encoder.embed_dim
        self.av_concat_vision_proj = _projection(width, av_concat_dim)
        self._make_text(text_encoder, av_concat_dim or width, embed_dim)
        self.audio_encoder = None
        if audio_encoder is not None:
            self._make_audio(audio_encoder, av_concat_dim, embed_dim)
        self._check_parts()

        self.uta_image_only = uta_image_only
        self._make_alignment(neck, clip_layers, targets, alignment)
        self.maskers = dict(
            image=MODELS.build(image_masker) if image_masker else None,
            video=MODELS.build(video_masker) if video_masker else None,
        )
        self.contrastive = MODELS.build(dict(type='ContrastiveLoss') | (contrastive or {}))
        self.negative_sampler = NegativeSampler(hard_negatives, self.contrastive.aggregate)
        vocabulary = self.text_encoder.config.vocab_size
        self.token_masker = TokenMasker(**dict(vocab_size=vocabulary) | dict(masking or {}))
        unknown = sorted(set(freeze) - set(PARTS))
        if unknown:
            raise ValueError(f'freeze must be of {", ".join(PARTS)}, got {unknown}')
        self._frozen = self._freeze(freeze, unfreeze_keys)

    def _freeze(self, parts: Sequence[str], keys: Sequence[str]) -> list[nn.Module]:
        frozen = freeze_parts(self, [PARTS[name] for name in parts], keys)
        # Published files keep these decoders inside the vision encoder, so they freeze with it.
        if 'vision' in parts and self.neck is not None:
            frozen += freeze_parts(self, ['neck'], keys, published=PARTS['vision'])
        return frozen

    def _make_text(self, config: dict[str, Any], media_dim: int, embed_dim: int) -> None:
        self.text_encoder = MODELS.build(config | dict(media_dim=media_dim))
        self.text_proj = nn.Linear(self.text_encoder.hidden_size, embed_dim)
        self.itm_head = nn.Linear(self.text_encoder.hidden_size, 2)

    def _make_audio(self, config: dict[str, Any], av_concat_dim: int | None, width: int) -> None:
        if av_concat_dim is None:
            raise ValueError('audio_encoder needs av_concat_dim')
        self.audio_encoder = MODELS.build(config)
        self.audio_proj = nn.Linear(self.audio_encoder.embed_dim, width)
        self.av_concat_audio_proj = _projection(self.audio_encoder.embed_dim, av_concat_dim)
        # Parts exist only with their objectives, since published files hold no others.
        if self._weight('avtc') or self._weight('avtm'):
            self.av_fusion = nn.Linear(2 * width, width)
        for name in ('atm', 'avtm'):
            if self._weight(name):
                setattr(self, HEADS[name], nn.Linear(self.text_encoder.hidden_size, 2))

    def _make_alignment(
        self,
        neck: dict[str, Any] | None,
        clip_layers: Mapping[str, float] | Sequence[int] | None,
        targets: dict[str, Any] | None,
        loss: dict[str, Any] | None,
    ) -> None:
        self.neck, self.targets = None, None
        if neck is not None:
            encoder = self.vision_encoder
            self.clip_layers = aligned_layers(encoder.depth, clip_layers or {})
            sizes = dict(
                embed_dim=encoder.embed_dim,
                pooled_dim=encoder.pooled_dim,
                grid=encoder.grid,
                sep_pos_embed=encoder.sep_pos_embed,
                image_pos_embed=encoder.image_pos_embed,
                clip_layers=len(self.clip_layers),
            )
            self.neck = MODELS.build(neck | sizes)
        if self._weight('uta'):
            if targets is None or neck is None:
                raise ValueError('the objective uta needs targets and a neck')
            self.targets = MODELS.build(targets) if isinstance(targets, dict) else targets
            self.alignment = MODELS.build(dict(type='AlignmentLoss') | (loss or {}))

    def _weight(self, objective: str) -> float:
        return self.loss_weights.get(objective, 0.0)

    def _check_parts(self) -> None:
        if self.audio_encoder is None:
            lost = [name for name in AUDIO_OBJECTIVES if self._weight(name)]
            if lost:
                raise ValueError(f'the objectives {", ".join(lost)} need audio_encoder')
        if any(self._weight(name) for name in LANGUAGE) and not hasattr(
            self.text_encoder, 'predict_tokens'
        ):
            raise ValueError(
                'masked language modelling needs a text encoder of type FusionBertForMaskedLM'
            )

    traced_mode = 'tensor'
    """Mode in which a rehearsal follows a test batch."""

    @classmethod
    def shrink(cls, config: dict[str, Any], small: SmallSizes) -> dict[str, Any]:
        """Offer a small copy to a rehearsal."""
        given = [name for name in ('av_concat_dim',) if name in config]
        return small.narrowed(config, 'embed_dim', *given)

    @classmethod
    def needed_depth(cls, config: Mapping[str, Any]) -> int:
        """Blocks that an encoder needs, for a rehearsal."""
        return blocks_of(config.get('clip_layers'))

    @classmethod
    def text_kinds(cls, config: Mapping[str, Any]) -> list[str]:
        """Kinds of caption that the objectives ask for, for a rehearsal."""
        return list(dict.fromkeys((config.get('loss_captions') or {}).values()))

    @property
    def frozen_teachers(self) -> dict[str, Any]:
        """Teachers, which are no modules of the model, by field of its config."""
        held = getattr(self.targets, 'frozen_teachers', {})
        return {f'targets.{name}': teacher for name, teacher in held.items()}

    @staticmethod
    def check_config(config: Mapping[str, Any], field: str, run: RehearsedRun) -> Iterator[Finding]:
        """Check that objectives on audio have audio data and an audio encoder."""
        yield from reads_texts(config, field, run)
        has_audio_encoder = config.get('audio_encoder') is not None
        weights = config.get('loss_weights') or {}
        lost = [name for name in AUDIO_OBJECTIVES if weights.get(name)]
        kinds = {name: run.count_items(name).by_kind for name in run.loaders}
        for name, found in kinds.items():
            if not has_audio_encoder and any(kind.startswith('audio') for kind in found):
                yield Finding(f'{name}.dataset', 'has audio, the model has no audio_encoder')
        trained = kinds.get('train_dataloader')
        if lost and trained and not any(kind.startswith('audio') for kind in trained):
            yield Finding(
                'train_dataloader.dataset', f'no corpus has audio, which {", ".join(lost)} need'
            )

    def init_weights(self) -> None:
        """Initialise the model and load the teachers of the alignment."""
        super().init_weights()
        self.load_targets()

    def load_targets(self) -> None:
        """Load the teachers once, in a resumed run with its first step."""
        if self.targets is not None:
            self.targets.load()

    def forward(
        self,
        inputs: dict[str, Any] | None,
        data_samples: Sequence[VideoDataSample] | None = None,
        mode: str = 'tensor',
    ) -> dict[str, Any] | list[VideoDataSample]:
        """Run one mode (see the class).  Raises ValueError for an unknown mode or no input."""
        if mode not in ('loss', 'tensor', 'predict'):
            raise ValueError(f"mode must be 'tensor', 'loss' or 'predict', got {mode!r}")
        if not inputs:
            raise ValueError(f'the batch holds nothing readable, so mode={mode!r} cannot run')
        if mode == 'loss':
            return self.loss(inputs, data_samples)
        encoded = self.encode(inputs)
        if mode == 'tensor':
            return encoded
        return set_features({k: v.feature for k, v in encoded.items()}, data_samples)

    def encode(self, inputs: dict[str, Any]) -> dict[str, Encoded]:
        """Encode every modality of ``inputs``, unmasked, with captions of several kinds by kind."""
        encoded = {}
        if inputs.get('video') is not None:
            encoded['vision'] = self.encode_video(inputs['video'])
        if inputs.get('audio') is not None:
            encoded['audio'] = self.encode_audio(inputs['audio'])
        texts = inputs.get('text') or {}
        return self._with_both(encoded) | {
            kind or 'text': self.encode_text(**tokens)
            for kind, tokens in captions_by_kind(texts).items()
        }

    def encode_video(self, video: Tensor) -> Encoded:
        """Unmasked (B, C, T, H, W) clips, or images, of ``num_test_segments`` clips each.

        Raises ValueError when the frames are not those of that many clips.
        """
        # An image is one clip, however many segments videos are tested with.
        segments = self.num_test_segments if video.shape[2] > 1 else 1
        if video.shape[2] % segments:
            raise ValueError(
                f'{video.shape[2]} frames do not make num_test_segments={segments} clips'
            )
        if segments > 1:
            # Segment s takes the frames s, s + segments, ...
            video = video.unflatten(2, (-1, segments)).movedim(3, 1).flatten(0, 1)
        out = self.vision_encoder(video)
        # As published: pooled vectors are averaged before their projection, tokens after theirs,
        # whose LayerNorm does not commute with a mean.
        pooled = out.pooled.unflatten(0, (-1, segments)).mean(dim=1)
        tokens = self._media_tokens(out.tokens).unflatten(0, (-1, segments)).mean(dim=1)
        return Encoded(tokens, self.vision_proj(pooled))

    def _media_tokens(self, tokens: Tensor) -> Tensor:
        if self.av_concat_vision_proj is None:
            return tokens
        return self.av_concat_vision_proj(tokens)

    def encode_audio(self, bank: Tensor) -> Encoded:
        """Filter banks (B, frames, mels).  Raises ValueError without an audio encoder."""
        if self.audio_encoder is None:
            raise ValueError('this model has no audio_encoder')
        tokens = self.audio_encoder(bank)
        # From tokens before their projection, which serves fusion alone.
        feature = self.audio_proj(tokens.mean(dim=1))
        return Encoded(self.av_concat_audio_proj(tokens), feature)

    def encode_text(self, input_ids: Tensor, attention_mask: Tensor) -> Encoded:
        """Encode (B, L) tokens and mask by the text layers, whose first token is the feature."""
        states = self.text_encoder(input_ids, attention_mask, mode='text')
        return Encoded(states, self.text_proj(states[:, 0]), attention_mask, input_ids)

    def _with_both(self, media: dict[str, Encoded]) -> dict[str, Encoded]:
        """Add audio and vision together, audio first, where both are there."""
        if not {'audio', 'vision'} <= media.keys():
            return media
        pair = (media['audio'], media['vision'])
        feature = torch.cat([side.feature for side in pair], dim=1)
        if hasattr(self, 'av_fusion'):
            feature = self.av_fusion(feature)
        tokens = torch.cat([side.tokens for side in pair], dim=1)
        return media | dict(audio_vision=Encoded(tokens, feature))

    @property
    def modalities(self) -> tuple[str, ...]:
        """Return the modalities, audio and vision together where both were trained."""
        alone = ('vision',) if self.audio_encoder is None else ('vision', 'audio')
        return (*alone, 'audio_vision') if hasattr(self, 'av_fusion') else alone

    @property
    def temperature(self) -> float:
        """See :class:`RetrievalModel`."""
        return float(self.temp)

    def check_modality(self, modality: str) -> None:
        """See :class:`RetrievalModel`."""
        if modality in self.modalities:
            return
        if self.audio_encoder is None:
            raise ValueError('the model has no audio_encoder')
        raise ValueError('the model was not trained on both (loss_weights.avtc)')

    def matching_head(self, modality: str) -> str | None:
        """See :class:`RetrievalModel`."""
        head = MATCHING_HEADS.get(modality)
        return head if head and hasattr(self, head) else None

    def match_scores(
        self,
        samples: Encoded,
        texts: Encoded,
        sample_rows: Tensor,
        text_rows: Tensor,
        modality: str,
    ) -> Tensor:
        """Logits (P,) of belonging together of P pairs (see :class:`RetrievalModel`).

        Text tokens are the states of the text layers, those of samples all unmasked tokens.
        """
        head = getattr(self, MATCHING_HEADS[modality])
        sides = (samples.tokens, texts.tokens, texts.mask)
        # The raw logit of "belongs together", as published, not its probability.
        return match_logits(self.text_encoder, head, *sides, sample_rows, text_rows)[:, 1]

    def loss(
        self, inputs: dict[str, Any], data_samples: Sequence[VideoDataSample] | None
    ) -> dict[str, Tensor]:
        """Weighted terms ``loss_<objective>`` of all objectives that the batch allows.

        The temperature is clamped in place first.  In batches of audio and text alone, masked
        language modelling on audio runs when the weight of ``mlm`` is not 0, scaled by that of
        ``amlm``, as published.
        """
        with torch.no_grad():
            self.temp.clamp_(*self.temp_range)
        media, losses = {}, {}
        if inputs.get('video') is not None:
            media['vision'], losses = self._train_video(inputs['video'], data_samples)
        if inputs.get('audio') is not None:
            media['audio'] = self.encode_audio(inputs['audio'])
        media = self._with_both(media)
        active = active_objectives(media, self.loss_weights)
        texts = self._encode_captions(inputs.get('text') or {}, active)
        ids = pair_ids(data_samples, self.temp.device)
        # Random draws come in the published order: negatives first, then masked words.
        for run in (self._contrast, self._match, self._predict_tokens):
            losses |= run(active, media, texts, ids)
        return losses

    def _encode_captions(self, texts: dict[str, Any], active: set[str]) -> dict[str, Encoded]:
        """Map from objective to its text, encoding every kind of caption once."""
        kinds, encoded = captions_by_kind(texts), {}
        chosen = {}
        # Sorted: a set of strings has another order in every process.  Only avc has no text.
        for name in sorted(active - {'avc'}):
            # Captions of one unnamed kind serve every objective.
            kind = self.loss_captions.get(name) if None not in kinds else None
            if kind not in kinds:
                raise ValueError(
                    f'the objective {name} needs captions of kind {kind!r}, the batch holds '
                    f'{sorted(map(str, kinds))}'
                )
            if kind not in encoded:
                encoded[kind] = self.encode_text(**kinds[kind])
            chosen[name] = encoded[kind]
        return chosen

    def _train_video(
        self, video: Tensor, data_samples: Sequence[VideoDataSample] | None
    ) -> tuple[Encoded, dict[str, Tensor]]:
        """The masked video and the alignment loss, if any."""
        encoder = self.vision_encoder
        is_image = encoder.is_image(video.shape[2])
        aligns = self.targets is not None and (is_image or not self.uta_image_only)
        masker = self.maskers['image' if is_image else 'video']
        targets = None
        if aligns:
            self.load_targets()
            final = bool(self.alignment.weights['clip_final'])
            wants_attn = masker is not None and masker.needs_attention
            targets = self.targets(video, data_samples, final=final, attn=wants_attn)
        mask = self.draw_mask(masker, video, None if targets is None else targets.attn)
        visible = None if masker is None else 1 + masker.num_visible(self._grid_of(video))
        # Without alignment nothing is tapped and no decoder runs, whose output is wide.
        layers = self.clip_layers if aligns else ()
        out = encoder(video, mask, return_layers=layers, num_visible=visible)
        vision = Encoded(self._media_tokens(out.tokens), self.vision_proj(out.pooled))
        return vision, self._align(out, mask, targets, is_image) if aligns else {}

    @torch.no_grad()
    def draw_mask(self, masker: Any, video: Tensor, attn: Tensor | None) -> Tensor | None:
        """(B, 1+N) bool mask with the class token visible, or None without a masker."""
        if masker is None:
            return None
        mask = masker(attn, len(video), self._grid_of(video), video.device)
        return F.pad(mask.to(video.device), (1, 0), value=False)

    def _grid_of(self, video: Tensor) -> tuple[int, int, int]:
        encoder = self.vision_encoder
        return (video.shape[2] // encoder.tubelet_size, *encoder.grid[1:])

    def _align(
        self, out: EncoderOutput, mask: Tensor | None, targets: Any, is_image: bool
    ) -> dict[str, Tensor]:
        batch, rows = out.tokens.shape[:2]
        if mask is None:
            visible = torch.arange(rows, device=out.tokens.device).expand(batch, -1)
        else:
            visible = visible_indices(mask, rows)
        student = self.neck(out.pooled, out.layers, (), visible, is_image)
        # A pooled vector that the teacher does not compute has nothing to match.
        if targets.clip_final is None:
            student = student._replace(clip_final=None)
        target = targets.pick(visible, self.neck.clip_norm, self.neck.mae_norm)
        total = sum(self.alignment(student, target).values())
        return dict(loss_uta=self._weight('uta') * total)

    def _contrast(
        self,
        active: set[str],
        media: Mapping[str, Encoded],
        texts: Mapping[str, Encoded],
        ids: Tensor | None,
    ) -> dict[str, Tensor]:
        losses = {}
        for name in filter(active.__contains__, CONTRASTIVE):
            first, second = CONTRASTIVE[name]
            other = texts[name] if second == 'text' else media[second]
            loss = self.contrastive(media[first].feature, other.feature, self.temp, ids)
            losses[f'loss_{name}'] = self._weight(name) * loss
        return losses

    def _match(
        self,
        active: set[str],
        media: Mapping[str, Encoded],
        texts: Mapping[str, Encoded],
        ids: Tensor | None,
    ) -> dict[str, Tensor]:
        losses = {}
        for name in filter(active.__contains__, MATCHING):
            sample, text = media[MATCHING[name]], texts[name]
            # From the batch of this process alone, as published.
            negatives = self.negative_sampler(sample.feature, text.feature, self.temp, ids)
            head = getattr(self, HEADS[name])
            # On the unmasked words, whose states of the text layers are there already.
            loss = matching_loss(
                self.text_encoder, head, sample.tokens, text.tokens, text.mask, negatives
            )
            losses[f'loss_{name}'] = self._weight(name) * loss
        return losses

    def _predict_tokens(
        self,
        active: set[str],
        media: Mapping[str, Encoded],
        texts: Mapping[str, Encoded],
        ids: Tensor | None,
    ) -> dict[str, Tensor]:
        losses = {}
        for name in filter(active.__contains__, LANGUAGE):
            text = texts[name]
            masked, labels = self.token_masker(text.ids)
            # All layers run again: masked words change the states of the text layers, too.
            hidden = self.text_encoder(masked, text.mask, media=media[LANGUAGE[name]].tokens)
            hidden, labels = targets_only(hidden, labels)
            loss = masked_language_loss(self.text_encoder.predict_tokens(hidden), labels)
            losses[f'loss_{name}'] = self._weight(name) * loss
        return losses

    def no_weight_decay(self) -> set[str]:
        """Names of parameters that are never decayed."""
        names = super().no_weight_decay()
        if self.neck is not None:
            names |= {f'neck.{name}' for name in self.neck.no_weight_decay()}
        return names | {'temp'}


def _projection(in_dim: int, out_dim: int | None) -> nn.Sequential | None:
    return nn.Sequential(nn.Linear(in_dim, out_dim), nn.LayerNorm(out_dim)) if out_dim else None
