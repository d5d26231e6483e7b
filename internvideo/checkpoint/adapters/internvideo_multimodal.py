"""Checkpoints of InternVideo's multimodal model, and back.

Names of a file, which lie under ``state_dict``::

    clip.visual.*                                        ->  vision_encoder.*
    clip.{visual_ln_post,visual_proj,logit_scale}        ->  the same without clip.
    clip.{token_embedding,transformer,ln_final,...}      ->  text_encoder.*
    caption_decoder.*                                    ->  caption_decoder.*
"""

from collections.abc import Collection, Mapping, Sequence

from torch import Tensor, nn

from internvideo.checkpoint.report import LoadReport, Shapes
from internvideo.checkpoint.tensor_conversion import State
from internvideo.ops.position_tables import interpolate_image_table
from internvideo.registry import CHECKPOINT_ADAPTERS

from .base import CheckpointAdapter, NameTable, renamed
from .position_tables import replace_entry
from .transformer_hints import transformer_hints

DUAL_ENCODER = 'clip.'
VISION = 'vision_encoder.'
DECODER = 'caption_decoder.'
# What follows the towers in training is in no published file.
TRAINING_PARTS = ('momentum_towers.', 'queued.')
SIZES = {768: 'B/16', 1024: 'L/14'}
WIDTH = f'{VISION}ln_pre.weight'
NAMES = NameTable(
    (f'{DUAL_ENCODER}visual.', VISION),
    *((f'{DUAL_ENCODER}{n}', n) for n in ('visual_ln_post.', 'visual_proj', 'logit_scale')),
    (DECODER, DECODER),
    (DUAL_ENCODER, 'text_encoder.'),
)


@CHECKPOINT_ADAPTERS.register_module(name='internvideo_multimodal')
class MultimodalAdapter(CheckpointAdapter):
    """Published files into :class:`InternVideoMultimodal`, and back.

    The table of patches is resized to the model's grid (bicubic); the decoder of a file is left
    over by a model without one.  Momentum towers and queues are new.

    Args:
        new_parts: children of the model that the file may lack, such as ``caption_decoder`` of a
            file of the towers alone: they then stay as they were initialised.

    Raises:
        ValueError: ``new_parts`` that the model does not have.
    """

    names = NAMES
    # The second tells it from a file of CLIP, which has the other two.
    parts = tuple(f'{DUAL_ENCODER}{n}.' for n in ('visual', 'visual_ln_post', 'token_embedding'))
    own_marks = (VISION, 'text_encoder.')
    published_marks = (DUAL_ENCODER,)
    model_parts = ('vision_encoder', 'text_encoder', 'visual_ln_post')
    shares_names = True

    def __init__(self, new_parts: Sequence[str] = ()) -> None:
        self.new_parts = tuple(new_parts)

    def to_ours(
        self, published: Mapping[str, Tensor], model: nn.Module, report: LoadReport | None = None
    ) -> State:
        """Entries of ``published`` in the names and sizes of ``model``."""
        report, own = LoadReport() if report is None else report, model.state_dict()
        state = self._rename(published)
        report.left_over = [n for n in state if n.startswith(DECODER) and not _has(own, DECODER)]
        state = {name: value for name, value in state.items() if name not in report.left_over}
        if lost := [part for part in self.new_parts if not _has(own, part)]:
            raise ValueError(f'new_parts: the model has no {", ".join(lost)}')
        allowed = (*TRAINING_PARTS, *self.new_parts)
        report.new = [name for name in own if name not in state and name.startswith(allowed)]
        table = f'{VISION}positional_embedding'
        if table in state and state[table].shape[-1] == own[table].shape[-1]:
            grid = model.vision_encoder.grid[1:]
            if len(state[table]) != len(own[table]):
                resized = interpolate_image_table(state[table][None], grid)[0]
                replace_entry(state, table, resized, 'interpolated', report)
        return state

    def lacks(self, published: Collection[str]) -> list[str]:
        """Name the towers that none of the ``published`` names belongs to."""
        return super().lacks([_with_prefix(name) for name in published])

    def is_published(self, names: Collection[str]) -> bool:
        """Whether these are names of a published file, with or without their prefix."""
        return any(name.startswith(('visual.', DUAL_ENCODER)) for name in names)

    def _rename(self, published: Mapping[str, Tensor]) -> State:
        return renamed(published, published_name_to_ours)

    def _to_published(self, ours: Mapping[str, Tensor]) -> State:
        kept = {n: value for n, value in ours.items() if not n.startswith(TRAINING_PARTS)}
        return super()._to_published(kept)

    def hints(self, theirs: Shapes, ours: Shapes, report: LoadReport) -> list[str]:
        """Size, architecture and patches, where they differ."""
        widths = [shapes[WIDTH][0] for shapes in (theirs, ours) if WIDTH in shapes]
        if len(widths) == 2 and widths[0] != widths[1]:
            size = SIZES.get(widths[0])
            named = f', the published {size}' if size else ''
            return [
                f'the video tower of the checkpoint is {widths[0]} wide{named}, that of the model '
                f'{widths[1]}: choose the config of the same size'
            ]
        return transformer_hints(theirs, ours, report)


def published_name_to_ours(published: str) -> str:
    """Our name of a published entry, whose ``clip.`` a file of the towers alone may lack."""
    return NAMES.to_ours(_with_prefix(published))


def _with_prefix(name: str) -> str:
    return name if name.startswith((DUAL_ENCODER, DECODER)) else f'{DUAL_ENCODER}{name}'


def _has(names: Collection[str], part: str) -> bool:
    return any(name.startswith(part) for name in names)
