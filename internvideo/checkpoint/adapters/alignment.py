"""Checkpoints of pretraining and distillation: students and their teachers.

Published students hold encoder and decoders side by side::

    cls_token  pos_embed*  patch_embed.*  blocks.*  clip_projector.*             ->  backbone.*
    clip_decoder.*  final_clip_decoder.*  mae_decoder.*  {clip,mae}_pos_embed*   ->  neck.*

Teachers are bare encoders.  The distillation teacher is a stage-2 file, which the adapter
``internvideo2_single`` reads with ``stage2=True``.
"""

from collections.abc import Mapping

from torch import Tensor, nn

from internvideo.checkpoint.report import LoadReport, Shapes
from internvideo.checkpoint.tensor_conversion import (
    State,
    average_patch_kernel,
    inflate_patch_kernel,
    strip_prefixes,
)
from internvideo.ops.position_tables import interpolate_image_table
from internvideo.registry import CHECKPOINT_ADAPTERS

from .base import CheckpointAdapter, NameTable
from .internvideo2_names import ENCODER_PARTS, PATCH_KERNEL, PUBLISHED_DECODER_PARTS
from .position_tables import replace_entry, resize_tables
from .transformer_hints import transformer_hints

OWN_PREFIXES = ('backbone.', 'neck.')
OWN_FACTS = ('teacher_digest',)
"""What only our files hold: it tells teachers apart, and changes nothing of the student."""
NECK_PARTS = tuple(part for part in PUBLISHED_DECODER_PARTS if part != 'img_pos_embed')
ENCODER_PREFIXES = ('encoder.', 'backbone.')
INTERNVL_TEXT_PARTS = ('transformer.', 'text_projection', 'logit_scale')


@CHECKPOINT_ADAPTERS.register_module(name='internvideo2_student')
class StudentAdapter(CheckpointAdapter):
    """Published pretraining and distillation students into ``MaskedAlignment``, and back.

    Args:
        interpolate: resize all position tables to the model's frame count and resolution.

    Source: arXiv 2403.15377 and the published pretraining and distillation scripts.
    """

    names = NameTable(
        *((part, f'neck.{part}') for part in NECK_PARTS),
        ('', 'backbone.'),
        ('', 'neck.'),  # what else a neck holds, on the way back
    )
    parts = ENCODER_PARTS
    own_marks = OWN_PREFIXES
    published_marks = ENCODER_PARTS
    model_parts = ('backbone', 'neck')

    def __init__(self, interpolate: bool = True) -> None:
        self.interpolate = interpolate

    def to_ours(
        self, published: Mapping[str, Tensor], model: nn.Module, report: LoadReport | None = None
    ) -> State:
        """Entries of ``published`` in the names (and table sizes) of ``model``."""
        report = LoadReport() if report is None else report
        report.left_over = [name for name in published if name in OWN_FACTS]
        state = self._rename(published)
        report.new = [name for name in model.state_dict() if name in OWN_FACTS]
        if self.interpolate:
            own, grid = model.state_dict(), model.backbone.grid
            for name, part in (('backbone', model.backbone), ('neck', model.neck)):
                resize_tables(state, own, f'{name}.', part.position_tables(), grid, report)
        return state

    def _rename(self, published: Mapping[str, Tensor]) -> State:
        kept = {name: tensor for name, tensor in published.items() if name not in OWN_FACTS}
        # A run may also start from the file of another run of ours.
        return kept if self.is_ours(kept) else super()._rename(kept)

    def _to_published(self, ours: Mapping[str, Tensor]) -> State:
        return super()._to_published({k: v for k, v in ours.items() if k not in OWN_FACTS})

    def hints(self, theirs: Shapes, ours: Shapes, report: LoadReport) -> list[str]:
        """Architecture, position tables and patches, where they differ."""
        return transformer_hints(theirs, ours, report)


@CHECKPOINT_ADAPTERS.register_module(name='internvl')
class InternVLAdapter(CheckpointAdapter):
    """The published InternVL-6B vision tower into :class:`InternVLVision`, and back.

    2-D patch kernels become kernels of one frame, and the position table is resized.  Files of
    the whole InternVL-C hold its text tower as well, which is left over.  The names are the
    published ones.
    """

    parts = ENCODER_PARTS
    model_parts = ('patch_embed', 'blocks')

    def to_ours(
        self, published: Mapping[str, Tensor], model: nn.Module, report: LoadReport | None = None
    ) -> State:
        """Entries of ``published`` in the sizes of ``model``."""
        report = LoadReport() if report is None else report
        report.left_over = [name for name in published if name.startswith(INTERNVL_TEXT_PARTS)]
        state = self._vision_tower(published, report)
        if 'pos_embed' in state:
            # A tower of images: its table has no time axis.
            table = interpolate_image_table(state['pos_embed'], model.grid[1:])
            replace_entry(state, 'pos_embed', table, 'interpolated', report)
        return state

    def _rename(self, published: Mapping[str, Tensor]) -> State:
        return self._vision_tower(published, LoadReport())

    def _vision_tower(self, published: Mapping[str, Tensor], report: LoadReport) -> State:
        state = {k: v for k, v in published.items() if not k.startswith(INTERNVL_TEXT_PARTS)}
        if PATCH_KERNEL in state and state[PATCH_KERNEL].ndim == 4:
            kernel = inflate_patch_kernel(state[PATCH_KERNEL], 1)
            replace_entry(state, PATCH_KERNEL, kernel, 'one frame deep', report)
        return state

    def hints(self, theirs: Shapes, ours: Shapes, report: LoadReport) -> list[str]:
        """Architecture, position table and patches, where they differ."""
        return transformer_hints(theirs, ours, report)


@CHECKPOINT_ADAPTERS.register_module(name='videomae_teacher')
class VideoMAETeacherAdapter(CheckpointAdapter):
    """The encoder of a published VideoMAE pretraining file into :class:`VideoMAE`, and back.

    Only entries that start with ``encoder.`` (``backbone.`` in our own files) are taken, unless
    none does (a bare encoder).  A model of one frame per token gets the kernel averaged over
    time.  The fixed position table, which files hold or not depending on their size, stays the
    model's own.
    """

    names = NameTable(('encoder.', ''))
    prefixes = ENCODER_PREFIXES
    parts = ('patch_embed.', 'blocks.')
    published_marks = ('encoder.',)
    model_parts = ('patch_embed', 'blocks')

    def to_ours(
        self, published: Mapping[str, Tensor], model: nn.Module, report: LoadReport | None = None
    ) -> State:
        """Entries of ``published`` in the names and sizes of ``model``."""
        report = LoadReport() if report is None else report
        inside = self._encoder(published)
        report.left_over = [name for name in published if name not in inside]
        state = strip_prefixes(inside, ENCODER_PREFIXES)
        if state.pop('pos_embed', None) is not None:
            report.left_over.append('pos_embed')
        report.new = [name for name in model.state_dict() if name == 'pos_embed']
        kernel = state.get(PATCH_KERNEL)
        if kernel is not None and kernel.shape[2] > model.patch_embed.kernel[0] == 1:
            replace_entry(state, PATCH_KERNEL, average_patch_kernel(kernel), 'averaged', report)
        return state

    def _encoder(self, published: Mapping[str, Tensor]) -> State:
        inside = {k: v for k, v in published.items() if k.startswith(ENCODER_PREFIXES)}
        return inside or dict(published)

    def _rename(self, published: Mapping[str, Tensor]) -> State:
        return strip_prefixes(self._encoder(published), ENCODER_PREFIXES)

    def hints(self, theirs: Shapes, ours: Shapes, report: LoadReport) -> list[str]:
        """Architecture, position table and patches, where they differ."""
        return transformer_hints(theirs, ours, report)
