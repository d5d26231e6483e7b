"""The two training stages of InternVideo-Next: an encoder, a predictor and what judges them.

Source: arXiv 2512.01342, sections 3.2 and 3.3.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from internvideo.models.backbones.base import EncoderOutput
from internvideo.models.backbones.internvideo_next import joint_table, resized_table
from internvideo.models.losses.latent_prediction import hidden_tokens
from internvideo.models.masks.block_masks import BlockMask
from internvideo.models.masks.token_masks import Masker, visible_indices
from internvideo.models.necks.alignment_neck import MLPDecoder
from internvideo.models.tasks.base import VideoModel
from internvideo.ops.features import check_norm, normalise
from internvideo.ops.position_tables import Grid
from internvideo.ops.tokens import take_tokens
from internvideo.registry import MODELS
from internvideo.structures import VideoDataSample
from internvideo.structures.aligned_features import AlignedFeatures
from internvideo.structures.rehearsal import SmallSizes

from .frame_targets import FrameTargets
from .frame_teacher import FrameTeacher
from .moving_average import MovingTarget, update_average
from .teachers import aligned_layers, blocks_of


def patch_pixels(video: Tensor, patch_size: int) -> Tensor:
    """(B, C, T, H, W) -> (B, T * L, C * p * p) pixels of each patch: channel, row, column."""
    batch, channels, frames, height, width = video.shape
    p = patch_size
    boxes = video.reshape(batch, channels, frames, height // p, p, width // p, p)
    return boxes.permute(0, 2, 3, 5, 1, 4, 6).flatten(4).flatten(1, 3)


class Prediction(NamedTuple):
    """Output of the predictor for B clips of N patches.

    Attributes:
        sequence: (B, n_c + M, D_p) what the predictor is given: class tokens, then M patches.
        layers: output of each of its layers, of the same shape.
        places: (B, M) patches of the clip that the sequence holds; None: all, in order.
        present: (B, M) False where a sequence is filled up to the longest; None: nowhere.
        tokens: (B, M, D_p) the last layer's output without class tokens.
    """

    sequence: Tensor
    layers: list[Tensor]
    places: Tensor | None
    present: Tensor | None
    tokens: Tensor


class EncoderPredictor(VideoModel):
    """An encoder that sees some patches of a clip, and a predictor that fills in the others.

    Base of both stages.  Beside the encoder, which is ``backbone`` here, parameters have the
    published names; what the published files hold without use is left out.

    Args:
        backbone: config of the encoder, with a joint table and tubelets of one frame.
        predictor: config of the predictor, see ``ModernBertLayers``.
        published_quirks: decay the predictor's table and its mask token, as published.
        data_preprocessor: config of the batch preprocessor.
        init_cfg: how to initialise.

    Raises:
        ValueError: an encoder with separate tables or longer tubelets.
    """

    def __init__(
        self,
        backbone: dict[str, Any],
        predictor: dict[str, Any] | None = None,
        published_quirks: bool = False,
        data_preprocessor: dict[str, Any] | nn.Module | None = None,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(data_preprocessor, init_cfg)
        self.backbone = MODELS.build(backbone)
        if self.backbone.sep_pos_embed or self.backbone.tubelet_size != 1:
            raise ValueError(
                'both stages take an encoder with a joint table and tubelets of one frame: set '
                'sep_pos_embed=False and tubelet_size=1'
            )
        self.published_quirks = published_quirks
        self.num_cls_tokens, dim = self.backbone.num_prefix_tokens, self.backbone.embed_dim
        shape = self.backbone.pos_embed.shape
        self.clip_pos_embed = nn.Parameter(torch.empty(shape))
        self.diff_pos_embed = nn.Parameter(torch.empty(shape))
        self.bert_mask_token = nn.Parameter(torch.empty(1, 1, dim))
        self.bert_decoder = MODELS.build(dict(type='ModernBertLayers') | dict(predictor or {}))
        self.to_bert_proj = MLPDecoder(dim, self.bert_decoder.hidden_size)
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Initialise tables and mask token as the encoder's."""
        table = joint_table(self.backbone.embed_dim, self.backbone.grid, self.num_cls_tokens)
        for parameter in (self.clip_pos_embed, self.diff_pos_embed):
            parameter.copy_(table)
        nn.init.normal_(self.bert_mask_token, std=0.02)

    scales_learning_rate = True
    """Published rates are those of a batch of 256 clips; a rehearsal looks for ``lr_scaling``."""

    @classmethod
    def shrink(cls, config: dict[str, Any], small: SmallSizes) -> dict[str, Any]:
        """Offer a small copy to a rehearsal."""
        return config

    @classmethod
    def needed_depth(cls, config: Mapping[str, Any]) -> int:
        """Blocks that an encoder needs, for a rehearsal."""
        return blocks_of(config.get('clip_layers'))

    def no_weight_decay(self) -> set[str]:
        """Names of parameters that are never decayed."""
        names = super().no_weight_decay() | {'clip_pos_embed'}
        return names if self.published_quirks else names | {'diff_pos_embed', 'bert_mask_token'}

    def forward(
        self,
        inputs: Tensor | None,
        data_samples: Sequence[VideoDataSample] | None = None,
        mode: str = 'tensor',
    ) -> EncoderOutput | dict[str, Tensor]:
        """Run ``'loss'`` or ``'tensor'`` (the encoder's output) on clips or views (B, V, ...).

        Raises ValueError for an unknown mode or a batch without a readable clip.
        """
        if mode not in ('loss', 'tensor'):
            raise ValueError(f"mode must be 'loss' or 'tensor', got {mode!r}")
        if inputs is None:
            raise ValueError(f'the batch has no readable clip, so mode={mode!r} cannot run')
        video = inputs if inputs.ndim == 5 else inputs.flatten(0, 1)
        return self.loss(video) if mode == 'loss' else self.backbone(video)

    def loss(self, video: Tensor) -> dict[str, Tensor]:
        """Weighted terms for clips (B, C, T, H, W)."""
        raise NotImplementedError

    def encode(
        self, video: Tensor, hidden: Tensor, num_visible: int, return_layers: Sequence[int] = ()
    ) -> EncoderOutput:
        """Encode clips of which ``num_visible`` patches are not ``hidden`` (B, N).

        Raises:
            ValueError: nothing is visible, or nothing is hidden.
        """
        if not 1 <= num_visible < hidden.shape[1]:
            raise ValueError(
                f'a mask must leave some patches visible and hide some, it leaves {num_visible} of '
                f'{hidden.shape[1]}'
            )
        mask = F.pad(hidden, (self.num_cls_tokens, 0), value=False)
        visible = self.num_cls_tokens + num_visible
        return self.backbone(video, mask, return_layers, num_visible=visible)

    def table(self, name: str, grid: Grid) -> Tensor:
        """A position table for clips of this grid."""
        return resized_table(getattr(self, name), self.backbone.grid, grid, self.num_cls_tokens)

    def predict(
        self, tokens: Tensor, visible: Tensor, grid: Grid, removed: Tensor | None = None
    ) -> Prediction:
        """Fill in the hidden patches of clips.

        Args:
            tokens: (B, n_c + V, D) of the encoder.
            visible: (B, V) places of its patches.
            grid: of the whole clip, N patches.
            removed: (B, N) True for patches that the predictor shall not see at all.
        """
        cls_tokens, seen = tokens.split([self.num_cls_tokens, visible.shape[1]], dim=1)
        table = self.table('diff_pos_embed', grid).to(tokens.dtype)
        cls_rows, rows = table[:, : self.num_cls_tokens], table[:, self.num_cls_tokens :]
        full = self.bert_mask_token.to(tokens.dtype).expand(len(tokens), rows.shape[1], -1)
        full = full.scatter(1, visible[:, :, None].expand_as(seen), seen) + rows
        places = present = None
        if removed is not None:
            counts = (~removed).sum(dim=1)
            places = visible_indices(removed, int(counts.max()))
            full = take_tokens(full, places)
            present = torch.arange(places.shape[1], device=counts.device) < counts[:, None]
        sequence = self.to_bert_proj(torch.cat([cls_tokens + cls_rows, full], dim=1))
        whole = None if present is None else F.pad(present, (self.num_cls_tokens, 0), value=True)
        layers = self.bert_decoder(sequence, whole, return_layers=True)
        return Prediction(sequence, layers, places, present, layers[-1][:, self.num_cls_tokens :])


class Stage1Pass(NamedTuple):
    """Outputs of the first stage's student.

    Attributes:
        encoded: of the encoder, with the aligned layers.
        aligned: features at the visible patches (and pooled ones), normalised.
        prediction: of the predictor, or None where no pixels are decoded.
        conditions: (R, D_p) predicted tokens of the R patches whose pixels are decoded.
        targets: (R, C * p * p) their pixels.
    """

    encoded: EncoderOutput
    aligned: AlignedFeatures
    prediction: Prediction | None
    conditions: Tensor | None
    targets: Tensor | None


@MODELS.register_module()
class InternVideoNextStage1(EncoderPredictor):
    """Alignment with an image teacher, and pixels of hidden patches by denoising.

    Args:
        backbone, predictor, published_quirks, data_preprocessor, init_cfg: as for
            :class:`EncoderPredictor`.
        decoder: config of the decoder of pixels, see ``DenoisingDecoder``; widths of rows and
            conditions come from here.
        teacher: config of the teacher, see ``FrameTeacher``; None: :meth:`terms` is given targets.
        masker: config of the masker, or a masker; ``AttentionMask`` per frame is the published one.
        clip_layers: aligned blocks of the encoder, see :func:`aligned_layers`.
        align_dim: token width of the teacher.
        align_final_dim: width of its pooled vector; 0 aligns the encoder's as it is.
        align_norm: ``'l2'`` or ``'none'``.
        loss: config of the loss, see ``DiffusionAlignmentLoss``.  Parts that no term trains are
            frozen.
        decoder_share: share of the hidden patches, drawn anew in each step, whose pixels are
            decoded; the loss is a mean over them.

    Raises:
        ValueError: teacher and student that do not fit: widths, number of layers, patches of a
            frame; a ``decoder_share`` outside (0, 1].
    """

    def __init__(
        self,
        backbone: dict[str, Any],
        predictor: dict[str, Any] | None = None,
        decoder: dict[str, Any] | None = None,
        teacher: dict[str, Any] | FrameTeacher | None = None,
        masker: dict[str, Any] | Masker | None = None,
        clip_layers: Mapping[str, float] | Sequence[int] = (),
        align_dim: int = 1536,
        align_final_dim: int = 1536,
        align_norm: str = 'l2',
        loss: dict[str, Any] | None = None,
        decoder_share: float = 1.0,
        published_quirks: bool = False,
        data_preprocessor: dict[str, Any] | nn.Module | None = None,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(backbone, predictor, published_quirks, data_preprocessor, init_cfg)
        if not 0 < decoder_share <= 1:
            raise ValueError(f'decoder_share must be in (0, 1], got {decoder_share}')
        self.align_norm, self.decoder_share = check_norm(align_norm), decoder_share
        encoder = self.backbone
        self.clip_layers = aligned_layers(encoder.depth, clip_layers)
        self.clip_decoder = nn.ModuleList(
            MLPDecoder(encoder.embed_dim, align_dim) for _ in self.clip_layers
        )
        self.final_clip_decoder: nn.Module = nn.Identity()
        if align_final_dim:
            self.final_clip_decoder = MLPDecoder(encoder.pooled_dim, align_final_dim)
        channels = encoder.patch_embed.proj.in_channels
        self.diffloss = MODELS.build(
            dict(type='DenoisingDecoder')
            | dict(decoder or {})
            | dict(
                target_dim=channels * encoder.patch_size**2,
                condition_dim=self.bert_decoder.hidden_size,
            )
        )
        self.criterion = MODELS.build(dict(type='DiffusionAlignmentLoss') | dict(loss or {}))
        self.masker = MODELS.build(masker) if isinstance(masker, dict) else masker
        self.teacher = MODELS.build(teacher) if isinstance(teacher, dict) else teacher
        self._targets_loaded = False
        if self.teacher is not None:
            self._check_teacher(align_dim, align_final_dim)
        self._freeze_untrained()

    @classmethod
    def shrink(cls, config: dict[str, Any], small: SmallSizes) -> dict[str, Any]:
        """Offer a small copy to a rehearsal."""
        return small.narrowed(config, 'align_dim', 'align_final_dim')

    def _check_teacher(self, dim: int, final_dim: int) -> None:
        theirs, ours = self.teacher.encoder, self.backbone
        pairs = {
            'width': (theirs.embed_dim, dim),
            'pooled width': (theirs.pooled_dim, final_dim or ours.pooled_dim),
            'number of aligned layers': (len(self.teacher.layers), len(self.clip_layers)),
            'patches of a frame': (tuple(theirs.grid[1:]), tuple(ours.grid[1:])),
        }
        faults = [
            f'{name} {given} of the teacher, {own} of the student'
            for name, (given, own) in pairs.items()
            if given != own
        ]
        if faults:
            raise ValueError(f'teacher and student do not fit: {"; ".join(faults)}')

    @property
    def _decodes(self) -> bool:
        return bool(self.criterion.diffusion)

    def _freeze_untrained(self) -> None:
        """Left trainable, parts without gradient would hold up DDP, which waits for each."""
        weights = self.criterion.weights
        unused: list[nn.Module | nn.Parameter | None] = []
        if not weights['clip_middle']:
            unused += [self.clip_decoder, self.clip_pos_embed]
        if not weights['clip_final']:
            unused += [self.final_clip_decoder, self.backbone.pooler]
        if not self._decodes:
            unused += [self.to_bert_proj, self.bert_decoder, self.diffloss]
            unused += [self.diff_pos_embed, self.bert_mask_token]
        for part in unused:
            if part is not None:
                part.requires_grad_(False)

    @property
    def frozen_teachers(self) -> dict[str, FrameTeacher]:
        """The teacher, which is no module of the model, by field of its config."""
        return {} if self.teacher is None else dict(teacher=self.teacher)

    def skip_loading(self) -> None:
        """Take the teacher as loaded, for a rehearsal."""
        self._targets_loaded = True

    def init_weights(self) -> None:
        """Initialise the student and load the teacher."""
        super().init_weights()
        self.load_targets()

    def load_targets(self) -> None:
        """Load the teacher once, in a resumed run with its first step."""
        if self.teacher is not None and not self._targets_loaded:
            self.teacher.load()
        self._targets_loaded = True

    def loss(self, video: Tensor) -> dict[str, Tensor]:
        """Weighted terms for clips (B, C, T, H, W).

        Raises:
            ValueError: there is no teacher or no masker.
        """
        if self.teacher is None or self.masker is None:
            raise ValueError('the first stage needs a teacher and a masker to train')
        self.load_targets()
        wants_final = bool(self.criterion.weights['clip_final'])
        targets = self.teacher(video, pooled=wants_final, attn=self.masker.needs_attention)
        grid = self.backbone.clip_grid(video)
        hidden = self.masker(targets.clip_attn(), len(video), grid, video.device)
        return self.terms(video, hidden, self.masker.num_visible(grid), targets)

    def terms(
        self,
        video: Tensor,
        hidden: Tensor,
        num_visible: int,
        targets: FrameTargets,
        removed: Tensor | None = None,
        steps: Tensor | None = None,
        noise: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Weighted terms, whose sum is the objective.

        Args:
            video: (B, C, T, H, W).
            hidden: (B, N) True where the encoder does not see a patch.
            num_visible: patches of a clip that it does see.
            targets: of the teacher for the whole clips.
            removed: (B, N) patches that the predictor leaves out, too.
            steps, noise: of the decoder's rows; None: drawn.
        """
        found = self.student(video, hidden, num_visible, removed)
        visible = visible_indices(hidden, num_visible)
        wanted = targets.pick(visible, self.align_norm)
        diffusion = None
        if found.conditions is not None:
            rows = self._rows(found.conditions)
            pixels, conditions = (x[rows] for x in (found.targets, found.conditions))
            diffusion = self.diffloss(pixels, conditions, steps=steps, noise=noise)
        return self.criterion(found.aligned, wanted, diffusion)

    def _rows(self, conditions: Tensor) -> Tensor | slice:
        if self.decoder_share == 1.0:
            return slice(None)
        count = max(1, int(len(conditions) * self.decoder_share))
        return torch.randperm(len(conditions), device=conditions.device)[:count]

    def student(
        self, video: Tensor, hidden: Tensor, num_visible: int, removed: Tensor | None = None
    ) -> Stage1Pass:
        """Encode, align and predict, with the arguments of :meth:`terms`."""
        encoded = self.encode(video, hidden, num_visible, self.clip_layers)
        visible, grid = visible_indices(hidden, num_visible), encoded.grid
        aligned = self.align(encoded, visible)
        if not self._decodes:
            return Stage1Pass(encoded, aligned, None, None, None)
        prediction = self.predict(encoded.tokens, visible, grid, removed)
        pixels = patch_pixels(video, self.backbone.patch_size)
        if removed is None:
            count = hidden.shape[1] - num_visible
            rows = (hidden_tokens(x, hidden, count) for x in (prediction.tokens, pixels))
            conditions, targets = (x.flatten(0, 1) for x in rows)
        else:
            kept = hidden.gather(1, prediction.places) & prediction.present
            conditions, targets = prediction.tokens[kept], pixels[hidden & ~removed]
        return Stage1Pass(encoded, aligned, prediction, conditions, targets)

    def align(self, encoded: EncoderOutput, visible: Tensor) -> AlignedFeatures:
        """Features of the aligned blocks at the ``visible`` (B, V) patches, and pooled ones."""
        table = self.table('clip_pos_embed', encoded.grid)[:, self.num_cls_tokens :]
        rows = take_tokens(table.expand(len(visible), -1, -1), visible)
        middle = []
        if self.criterion.weights['clip_middle']:
            middle = [
                normalise(decoder(x[:, self.num_cls_tokens :] + rows.to(x.dtype)), self.align_norm)
                for decoder, x in zip(self.clip_decoder, encoded.layers, strict=True)
            ]
        final = None
        if self.criterion.weights['clip_final']:
            final = normalise(self.final_clip_decoder(encoded.pooled), self.align_norm)
        return AlignedFeatures(middle, final, [])


@MODELS.register_module()
class InternVideoNextStage2(EncoderPredictor):
    """Prediction of the latents of a target network where the encoder sees nothing.

    The target is a copy of the encoder as training finds it in its first step, from whatever file
    that came, and sees whole clips in evaluation mode.  With ``momentum`` below 1 it follows the
    encoder at the beginning of the next step.  It is saved with the model, as are the numbers of
    masks drawn, so that a resumed run goes on with the same numbers.

    Args:
        backbone, predictor, published_quirks, data_preprocessor, init_cfg: as for
            :class:`EncoderPredictor`.
        maskers: configs of the maskers, or maskers: each hides another part of the clips, in a
            pass of its own.
        momentum: share of the old target in each update; 1 (published) freezes it.
        loss: config of the loss, see ``LatentPredictionLoss``.

    Raises:
        ValueError: no masker, or a ``momentum`` outside [0, 1].
    """

    def __init__(
        self,
        backbone: dict[str, Any],
        predictor: dict[str, Any] | None = None,
        maskers: Sequence[dict[str, Any] | Masker] = (),
        momentum: float = 1.0,
        loss: dict[str, Any] | None = None,
        published_quirks: bool = False,
        data_preprocessor: dict[str, Any] | nn.Module | None = None,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(backbone, predictor, published_quirks, data_preprocessor, init_cfg)
        if not maskers:
            raise ValueError('the second stage needs a masker at least')
        self.maskers = [MODELS.build(m) if isinstance(m, dict) else m for m in maskers]
        encoder, width = self.backbone, self.bert_decoder.hidden_size
        self.selfdist_decoder = MLPDecoder(width, encoder.embed_dim)
        # Of the published files: no term trains these two.
        self.selfdist_normproj_decoder = MLPDecoder(encoder.embed_dim, encoder.embed_dim)
        self.selfdist_proj_clip = MLPDecoder(encoder.pooled_dim, encoder.embed_dim)
        self.teacher = MovingTarget(encoder, momentum)
        self.criterion = MODELS.build(dict(type='LatentPredictionLoss') | dict(loss or {}))
        # Whether the target was taken from the encoder, then the masks drawn by each masker.
        self.register_buffer('progress', torch.zeros(1 + len(self.maskers), dtype=torch.int64))
        self._has_target = False
        self.clip_pos_embed.requires_grad_(False)
        for part in (self.selfdist_normproj_decoder, self.selfdist_proj_clip, encoder.pooler):
            if part is not None:
                part.requires_grad_(False)

    def loss(self, video: Tensor) -> dict[str, Tensor]:
        """Terms of each mask for clips (B, C, T, H, W)."""
        self.follow()
        masks, visible = self.draw_masks(video)
        target = self.target_tokens(video)
        predictions = [
            self.predicted(video, hidden, count)
            for hidden, count in zip(masks, visible, strict=True)
        ]
        return self.criterion(predictions, target, masks)

    def follow(self) -> None:
        """Update the target: from the encoder as it is at first, then by the average."""
        if not self._has_target or self.teacher.momentum < 1:
            momentum = self.teacher.momentum if self._has_target else 0.0
            update_average(self.teacher.network, self.backbone, momentum)
        if not self._has_target:
            self._has_target = True
            self.progress[0] = 1

    @torch.no_grad()
    def draw_masks(self, video: Tensor) -> tuple[list[Tensor], list[int]]:
        """A mask (B, N) of each masker, and how many patches of a clip it leaves visible."""
        grid, masks, visible = self.backbone.clip_grid(video), [], []
        for index, masker in enumerate(self.maskers, start=1):
            masks.append(masker(None, len(video), grid, video.device))
            visible.append(masker.num_visible(grid))
            if isinstance(masker, BlockMask):
                self.progress[index] = masker.calls
        return masks, visible

    def target_tokens(self, video: Tensor) -> Tensor:
        """Patch tokens (B, N, D) of the target for whole clips, neither normed nor normalised."""
        return self.teacher(video).tokens[:, self.num_cls_tokens :]

    def predicted(self, video: Tensor, hidden: Tensor, num_visible: int) -> Tensor:
        """Predicted latents (B, N - V, D) of the hidden patches, not normalised."""
        encoded = self.encode(video, hidden, num_visible)
        visible = visible_indices(hidden, num_visible)
        prediction = self.predict(encoded.tokens, visible, encoded.grid)
        count = hidden.shape[1] - num_visible
        # The head works token by token: what is visible need not go through it.
        return self.selfdist_decoder(hidden_tokens(prediction.tokens, hidden, count))

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args: Any) -> None:
        super()._load_from_state_dict(state_dict, prefix, *args)
        found = state_dict.get(f'{prefix}progress')
        if found is None or found.is_meta or found.shape != self.progress.shape:
            return
        started, *calls = found.tolist()
        self._has_target = bool(started)
        for masker, count in zip(self.maskers, calls, strict=True):
            if isinstance(masker, BlockMask):
                masker.calls = count
