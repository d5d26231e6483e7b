"""Masked feature alignment: pretraining from two teachers, distillation from one."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from internvideo.models.backbones.base import EncoderOutput
from internvideo.models.masks.token_masks import Masker, visible_indices
from internvideo.models.tasks.base import VideoModel
from internvideo.registry import MODELS
from internvideo.structures import VideoDataSample
from internvideo.structures.aligned_features import AlignedFeatures
from internvideo.structures.rehearsal import SmallSizes

from .targets import InlineTeachers, TargetFacts, Targets
from .teachers import aligned_layers, blocks_of


@MODELS.register_module()
class MaskedAlignment(VideoModel):
    """A student that sees few tokens and matches its teachers' features at these.

    Masked pretraining (arXiv 2403.15377, section 3.1) aligns with a CLIP and a MAE teacher, the
    mask drawn per frame from the CLIP teacher's attention; distillation aligns with one larger
    video encoder, the mask drawn over the whole clip.

    Args:
        backbone: config of the student encoder.
        neck: config of the decoders; widths, grid and layer counts come from the student.
        targets: config of the source of targets (``InlineTeachers`` or ``PrecomputedTargets``).
        masker: config of the masker, or a masker; may be None when the targets bring their mask.
        loss: config of the loss.
        clip_layers: aligned student blocks of the CLIP branch: indices, or ``dict(count=n,
            interval=d)``, see :func:`aligned_layers`.
        mae_layers: the same for the MAE branch; None leaves it out.
        frame_stride: the student sees every ``frame_stride``-th frame of the clip.
        data_preprocessor: config of the batch preprocessor.
        init_cfg: how to initialise.

    ``forward`` modes: ``'loss'`` gives the weighted terms; ``'tensor'`` the encoder's output for
    unmasked clips.  Views count as clips.

    Raises:
        ValueError: layers that do not exist, or teachers whose widths, layer counts or patch grid
            do not fit the student's decoders.
    """

    def __init__(
        self,
        backbone: dict[str, Any],
        neck: dict[str, Any],
        targets: dict[str, Any] | InlineTeachers,
        masker: dict[str, Any] | Masker | None,
        clip_layers: Mapping[str, float] | Sequence[int],
        mae_layers: Mapping[str, float] | Sequence[int] | None = None,
        loss: dict[str, Any] | None = None,
        frame_stride: int = 1,
        data_preprocessor: dict[str, Any] | nn.Module | None = None,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(data_preprocessor, init_cfg)
        self.frame_stride = frame_stride
        self.backbone = MODELS.build(backbone)
        depth = self.backbone.depth
        self.clip_layers = aligned_layers(depth, clip_layers)
        self.mae_layers = aligned_layers(depth, mae_layers) if mae_layers else []
        # A block is tapped once, however many branches align with it.
        self.layers = sorted({*self.clip_layers, *self.mae_layers})
        self.neck = MODELS.build(dict(neck) | self._neck_sizes())
        self.criterion = MODELS.build(loss or dict(type='AlignmentLoss'))
        self.masker = MODELS.build(masker) if isinstance(masker, dict) else masker
        self.targets = MODELS.build(targets) if isinstance(targets, dict) else targets
        # Which teachers the weights were trained with: 16 bytes, zero before they are known.
        self.register_buffer('teacher_digest', torch.zeros(16, dtype=torch.uint8))
        self._targets_loaded = False
        self._check_targets()
        if not self._wants_final:
            self._freeze_unaligned()

    def _freeze_unaligned(self) -> None:
        """Without the final term nothing behind the last aligned block gets a gradient.

        Left trainable, it would hold up DDP, which waits for every gradient.
        """
        last = self.layers[-1] + 1
        unaligned = [*self.backbone.blocks[last:], self.neck.final_clip_decoder]
        for module in filter(None, [*unaligned, self.backbone.pooler]):
            module.requires_grad_(False)

    def _neck_sizes(self) -> dict[str, Any]:
        return dict(
            embed_dim=self.backbone.embed_dim,
            pooled_dim=self.backbone.pooled_dim,
            grid=self.backbone.grid,
            sep_pos_embed=self.backbone.sep_pos_embed,
            clip_layers=len(self.clip_layers),
            mae_layers=len(self.mae_layers),
        )

    def _check_targets(self) -> None:
        neck, given = self.neck, self.targets.facts
        mae = (neck.mae_dim, len(self.mae_layers)) if self.mae_layers else (0, 0)
        # A pooled vector that no term reads may have any width.
        final = neck.clip_final_dim if self._wants_final else given.clip_final_dim
        wanted = TargetFacts(neck.clip_dim, len(self.clip_layers), final, *mae)
        faults = [
            f'{name} is {theirs} for the teachers and {ours} for the student'
            for name, theirs, ours in zip(TargetFacts._fields, given, wanted, strict=True)
            if theirs != ours
        ]
        steps, *sides = self.backbone.grid
        for name, grid in self.targets.grids.items():
            # An image teacher has one temporal position, and sees the frames one by one.
            if list(grid[1:]) != sides or grid[0] not in (1, steps):
                faults.append(f'the {name} teacher has patch grid {grid}, not {(steps, *sides)}')
        if self._wants_attention and not self.targets.has_attention:
            faults.append('the masker needs attention, which these targets do not bring')
        if faults:
            raise ValueError(f'teachers and student do not fit: {"; ".join(faults)}')

    @property
    def _wants_final(self) -> bool:
        return bool(self.neck.clip_final_dim and self.criterion.weights['clip_final'])

    @property
    def _wants_attention(self) -> bool:
        if self.masker is None or self.targets.brings_mask:
            return False
        return self.masker.needs_attention

    scales_learning_rate = True
    """Published rates are those of a batch of 256 clips; a rehearsal looks for ``lr_scaling``."""

    @classmethod
    def shrink(cls, config: dict[str, Any], small: SmallSizes) -> dict[str, Any]:
        """Offer a small copy to a rehearsal."""
        return config

    @classmethod
    def needed_depth(cls, config: Mapping[str, Any]) -> int:
        """Blocks that an encoder needs, for a rehearsal."""
        return max(blocks_of(config.get(name)) for name in ('clip_layers', 'mae_layers'))

    @property
    def frozen_teachers(self) -> dict[str, Any]:
        """Teachers, which are no modules of the model, by field of its config."""
        held = getattr(self.targets, 'frozen_teachers', {})
        return {f'targets.{name}': teacher for name, teacher in held.items()}

    def skip_loading(self) -> None:
        """Take the teachers as loaded, for a rehearsal."""
        self._targets_loaded = True

    def init_weights(self) -> None:
        """Initialise the student and load the teachers.

        Raises what the loading of a checkpoint raises: a missing file, another architecture.
        """
        super().init_weights()
        self.load_targets()

    def load_targets(self) -> None:
        """Load the teachers (or the files of their features) once.

        A resumed run, whose weights are not initialised, gets here with its first step.

        Raises:
            ValueError: the weights were trained with other teachers.
        """
        if self._targets_loaded:
            return
        self.targets.load()
        own = _digest_bytes(self.targets.digest)
        self._check_digest(self.teacher_digest, own)
        self.teacher_digest.copy_(own)
        self._targets_loaded = True

    def forward(
        self,
        inputs: Tensor | None,
        data_samples: Sequence[VideoDataSample] | None = None,
        mode: str = 'tensor',
    ) -> EncoderOutput | dict[str, Tensor]:
        """Run one mode on clips (B, C, F, H, W) or views (B, V, C, F, H, W).

        Raises ValueError for an unknown mode or a batch without a readable clip.
        """
        if mode not in ('loss', 'tensor'):
            raise ValueError(f"mode must be 'loss' or 'tensor', got {mode!r}")
        if inputs is None:
            raise ValueError(f'the batch has no readable clip, so mode={mode!r} cannot run')
        video = inputs if inputs.ndim == 5 else inputs.flatten(0, 1)
        if mode == 'tensor':
            return self.backbone(self.student_clips(video))
        self.load_targets()
        student, target = self.align(video, data_samples)
        return self.criterion(student, target)

    def student_clips(self, video: Tensor) -> Tensor:
        """The frames that the student sees."""
        return video[:, :, :: self.frame_stride]

    def align(
        self, video: Tensor, data_samples: Sequence[VideoDataSample] | None = None
    ) -> tuple[AlignedFeatures, AlignedFeatures]:
        """Features of student and teachers at the visible tokens of one drawn mask."""
        targets = self.compute_targets(video, data_samples)
        mask = self.draw_mask(targets, video)
        visible = visible_indices(mask, self.num_visible(targets))
        target = targets.pick(visible, self.neck.clip_norm, self.neck.mae_norm)
        student = self.student(video, mask, visible)
        return student if self._wants_final else student._replace(clip_final=None), target

    def compute_targets(
        self, video: Tensor, data_samples: Sequence[VideoDataSample] | None = None
    ) -> Targets:
        """Teacher features of clips (B, C, F, H, W), as far as loss and mask need them."""
        return self.targets(
            video, data_samples, final=self._wants_final, attn=self._wants_attention
        )

    @torch.no_grad()
    def draw_mask(self, targets: Targets, video: Tensor) -> Tensor:
        """(B, 1+N) bool mask, True = hidden, the class token visible."""
        mask = targets.mask
        if mask is None:
            if self.masker is None:
                raise ValueError('masker is None and the targets bring no mask')
            mask = self.masker(targets.attn, len(video), self.backbone.grid, video.device)
        return F.pad(mask.to(video.device), (1, 0), value=False)

    def num_visible(self, targets: Targets) -> int:
        """Visible tokens of each clip under the next mask, the class token included."""
        if targets.mask is not None:
            return targets.clip_middle[0].shape[1]
        return 1 + self.masker.num_visible(self.backbone.grid)

    def student(self, video: Tensor, mask: Tensor, visible: Tensor) -> AlignedFeatures:
        """Decoded student features.

        Args:
            video: clips (B, C, F, H, W) as the teachers get them.
            mask: (B, 1+N) bool, True = hidden.
            visible: (B, M) positions that it leaves visible.
        """
        features = self.backbone(
            self.student_clips(video),
            mask,
            return_layers=self.layers,
            num_visible=visible.shape[1],
        )
        streams = dict(zip(self.layers, features.layers, strict=True))
        return self.neck(
            features.pooled,
            [streams[index] for index in self.clip_layers],
            [streams[index] for index in self.mae_layers],
            visible,
        )

    def no_weight_decay(self) -> set[str]:
        """Names of parameters that are never decayed."""
        own = {f'neck.{name}' for name in self.neck.no_weight_decay()}
        return super().no_weight_decay() | own

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args: Any) -> None:
        # Where the teachers come after the checkpoint, load_targets() compares.
        found = state_dict.get(f'{prefix}teacher_digest')
        if found is not None and self._targets_loaded:
            self._check_digest(found, self.teacher_digest)
        super()._load_from_state_dict(state_dict, prefix, *args)

    @staticmethod
    def _check_digest(found: Tensor, own: Tensor) -> None:
        """Refuse to go on with other teachers than those the weights were trained with."""
        # A model on the meta device holds no numbers to compare.
        if found.is_meta or own.is_meta:
            return
        found, own = found.cpu(), own.cpu()
        if found.any() and own.any() and not torch.equal(found, own):
            raise ValueError(
                f'the checkpoint was trained with the teachers {_digest_text(found)}, this model '
                f'has {_digest_text(own)}: other teacher weights; start a new run with them, or '
                'give back the old ones'
            )


def _digest_bytes(text: str) -> Tensor:
    return torch.tensor(list(text.encode()), dtype=torch.uint8)


def _digest_text(digest: Tensor) -> str:
    return bytes(digest.cpu().tolist()).decode(errors='replace')
