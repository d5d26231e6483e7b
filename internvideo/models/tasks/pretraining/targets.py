"""Targets of a student, and the source that computes them on the spot."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from torch import Tensor

from internvideo.ops.features import normalise
from internvideo.ops.tokens import take_tokens
from internvideo.registry import MODELS
from internvideo.structures import VideoDataSample
from internvideo.structures.aligned_features import AlignedFeatures

from .teachers import FrozenTeacher, TeacherOutput


class TargetFacts(NamedTuple):
    """Sizes of the targets of a source, 0 for an absent branch or vector."""

    clip_dim: int
    clip_layers: int
    clip_final_dim: int
    mae_dim: int = 0
    mae_layers: int = 0


@dataclass
class Targets:
    """Raw teacher features of B clips.

    Attributes:
        clip_middle: one (B, 1+N, D) per aligned layer, class token first.
        clip_final: (B, D') or None.
        mae: one (B, N, D'') per aligned layer.
        attn: (B, N) attention of the CLIP teacher's pooler, or None.
        mask: (B, N), True = hidden, when the features hold the visible tokens of that mask only
            and are normalised already; else None.
    """

    clip_middle: list[Tensor]
    clip_final: Tensor | None = None
    mae: list[Tensor] = field(default_factory=list)
    attn: Tensor | None = None
    mask: Tensor | None = None

    def pick(self, visible: Tensor, clip_norm: str, mae_norm: str) -> AlignedFeatures:
        """Features at the ``visible`` (B, M) positions (class token first), normalised."""
        if self.mask is not None:
            return AlignedFeatures(self.clip_middle, self.clip_final, self.mae)
        # Picked before they are normalised: most tokens are hidden.
        middle = [normalise(take_tokens(layer, visible), clip_norm) for layer in self.clip_middle]
        # A copy: what comes out of inference mode may not be kept for the backward pass.
        final = None if self.clip_final is None else normalise(self.clip_final.clone(), clip_norm)
        # The MAE teacher has no class token: patches count from 0 there.
        patches = visible[:, 1:] - 1
        mae = [normalise(take_tokens(layer, patches), mae_norm) for layer in self.mae]
        return AlignedFeatures(middle, final, mae)


@MODELS.register_module()
class InlineTeachers:
    """Targets from teachers that run beside the student.

    Args:
        clip: config of the CLIP teacher (a :class:`FrozenTeacher`): gives aligned layers with a
            class token, the pooled vector, and attention for the mask.
        mae: config of the MAE teacher, whose encoder has no class token; None leaves it out.
    """

    brings_mask = False

    def __init__(self, clip: dict[str, Any], mae: dict[str, Any] | None = None) -> None:
        self.clip = _build_teacher(clip)
        self.mae = None if mae is None else _build_teacher(mae)

    @classmethod
    def needed_depth(cls, config: Mapping[str, Any]) -> int:
        """Blocks that the teachers' encoders need, for a rehearsal."""
        teachers = filter(None, (config.get('clip'), config.get('mae')))
        return max(FrozenTeacher.needed_depth(teacher) for teacher in teachers)

    def __deepcopy__(self, memo: dict) -> 'InlineTeachers':
        return self

    @property
    def facts(self) -> TargetFacts:
        """Sizes of the targets."""
        clip = (self.clip.encoder.embed_dim, len(self.clip.layers), self.clip.encoder.pooled_dim)
        if self.mae is None:
            return TargetFacts(*clip)
        return TargetFacts(*clip, self.mae.encoder.embed_dim, len(self.mae.layers))

    @property
    def has_attention(self) -> bool:
        """Whether the CLIP teacher has a pooler, and so attention to draw masks from."""
        return self.clip.encoder.gives_attn

    @property
    def grids(self) -> dict[str, tuple[int, int, int]]:
        """Patch grid of each teacher, by field."""
        teachers = dict(clip=self.clip, mae=self.mae)
        return {name: teacher.encoder.grid for name, teacher in teachers.items() if teacher}

    @property
    def frozen_teachers(self) -> dict[str, FrozenTeacher]:
        """Teachers by field."""
        teachers = dict(clip=self.clip, mae=self.mae)
        return {name: teacher for name, teacher in teachers.items() if teacher is not None}

    def load(self) -> None:
        """Load the teachers' weights."""
        for teacher in filter(None, (self.clip, self.mae)):
            teacher.load()

    @property
    def digest(self) -> str:
        """Digest of the teachers' weights."""
        parts = [teacher.digest for teacher in (self.clip, self.mae) if teacher]
        return hashlib.blake2b(' '.join(parts).encode(), digest_size=8).hexdigest()

    def __call__(
        self,
        video: Tensor,
        data_samples: Sequence[VideoDataSample] | None = None,
        final: bool = True,
        attn: bool = True,
    ) -> Targets:
        """Compute the targets of clips (B, C, F, H, W), ``final`` and ``attn`` only if wanted."""
        out = self.clip(video, pooled=final, attn=attn)
        mae = TeacherOutput([], None, None) if self.mae is None else self.mae(video)
        return Targets(out.layers, out.pooled if final else None, mae.layers, out.attn)


def _build_teacher(config: dict[str, Any]) -> FrozenTeacher:
    return MODELS.build(dict(type='FrozenTeacher') | dict(config))
