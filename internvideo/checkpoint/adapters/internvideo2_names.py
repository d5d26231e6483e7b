"""Names that the single- and the multi-modality files of InternVideo2 have in common."""

from collections.abc import Mapping

from torch import Tensor

from internvideo.checkpoint.tensor_conversion import State

PATCH_KERNEL = 'patch_embed.proj.weight'
STAGE2_PREFIX = 'vision_encoder.'
ENCODER_PARTS = ('cls_token', 'patch_embed.', 'blocks.')
PUBLISHED_DECODER_PARTS = (
    'clip_decoder',
    'final_clip_decoder',
    'mae_decoder',
    'clip_pos_embed',
    'mae_pos_embed',
    'clip_img_pos_embed',
    'img_pos_embed',
)
"""Beginnings of the names that only pretraining, distillation and stage 2 use."""
DECODER_PARTS = (*PUBLISHED_DECODER_PARTS, 'neck.', 'teacher_digest')
"""The same, with our own names of these parts."""
STAGE2_DECODER_PARTS = ('clip_decoder', 'clip_pos_embed', 'img_pos_embed')
"""Parts of the names, in the vision tower of a stage-2 file, that its encoder does not need."""


def override_from_stage2(state: Mapping[str, Tensor], stage2: Mapping[str, Tensor]) -> State:
    """Overwrite (or add) the vision tower of a stage-2 file without its other entries."""
    tower = {
        name.replace(STAGE2_PREFIX, ''): tensor
        for name, tensor in stage2.items()
        if name.startswith(STAGE2_PREFIX)
    }
    if not tower:
        raise ValueError(f'the stage-2 file holds no entry that starts with {STAGE2_PREFIX!r}')
    return {**state, **tower}


def extract_stage2_vision(stage2: Mapping[str, Tensor]) -> State:
    """The vision tower of a stage-2 file without decoders and their tables, prefix removed."""
    tower = override_from_stage2({}, stage2)
    return {
        name: tensor
        for name, tensor in tower.items()
        if not any(part in name for part in STAGE2_DECODER_PARTS)
    }


def is_decoder_part(name: str) -> bool:
    """Whether ``name`` belongs to a decoder of pretraining, distillation or stage 2."""
    return name.startswith(DECODER_PARTS)
