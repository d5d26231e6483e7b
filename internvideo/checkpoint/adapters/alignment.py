"""Checkpoints of pretraining and distillation: students and their teachers.

Published students hold encoder and decoders side by side::

    cls_token  pos_embed*  patch_embed.*  blocks.*  clip_projector.*             ->  backbone.*
    clip_decoder.*  final_clip_decoder.*  mae_decoder.*  {clip,mae}_pos_embed*   ->  neck.*

Teachers are bare encoders.  The distillation teacher is a stage-2 file, which the adapter
``internvideo2_single`` reads with ``stage2=True``.
"""

from collections.abc import Mapping

from torch import Tensor, nn

from internvideo.checkpoint.report import LoadReport
from internvideo.checkpoint.tensor_conversion import (
    State,
    average_patch_kernel,
    infer_time_steps,
    inflate_patch_kernel,
    is_decoder_part,
    strip_prefixes,
)
from internvideo.ops.position_tables import (
    interpolate_image_table,
    interpolate_joint_table,
    interpolate_separate_tables,
)
from internvideo.registry import CHECKPOINT_ADAPTERS

PATCH_KERNEL = 'patch_embed.proj.weight'
OWN_PREFIXES = ('backbone.', 'neck.')
OWN_FACTS = ('teacher_digest',)
ENCODER_PREFIXES = ('encoder.', 'backbone.')
INTERNVL_TEXT_PARTS = ('transformer.', 'text_projection', 'logit_scale')


@CHECKPOINT_ADAPTERS.register_module(name='internvideo2_student')
class StudentAdapter:
    """Published pretraining and distillation students into ``MaskedAlignment``, and back.

    Args:
        interpolate: resize all position tables to the model's frame count and resolution.

    Source: arXiv 2403.15377 and the published pretraining and distillation scripts.
    """

    def __init__(self, interpolate: bool = True) -> None:
        self.interpolate = interpolate

    def to_ours(
        self, published: Mapping[str, Tensor], model: nn.Module, report: LoadReport | None = None
    ) -> State:
        """Entries of ``published`` in the names (and table sizes) of ``model``."""
        report = LoadReport() if report is None else report
        report.left_over = [name for name in published if name in OWN_FACTS]
        state = {_student_name(k): v for k, v in published.items() if k not in OWN_FACTS}
        report.new = [name for name in model.state_dict() if name in OWN_FACTS]
        if self.interpolate and _width(state, 'backbone.cls_token') == model.backbone.embed_dim:
            for prefix in ('backbone.', 'neck.clip_', 'neck.mae_'):
                _resize_tables(state, prefix, model.backbone.grid, report)
        return state

    def to_published(self, ours: Mapping[str, Tensor]) -> State:
        """The entries of a student's state under their published names."""
        kept = {name: tensor for name, tensor in ours.items() if name not in OWN_FACTS}
        return strip_prefixes(kept, OWN_PREFIXES)


@CHECKPOINT_ADAPTERS.register_module(name='internvl')
class InternVLAdapter:
    """The published InternVL-6B vision tower into :class:`InternVLVision`, and back.

    2-D patch kernels become kernels of one frame, and the position table is resized.  Files of
    the whole InternVL-C hold its text tower as well, which is left over.
    """

    def to_ours(
        self, published: Mapping[str, Tensor], model: nn.Module, report: LoadReport | None = None
    ) -> State:
        """Entries of ``published`` in the sizes of ``model``."""
        report = LoadReport() if report is None else report
        report.left_over = [name for name in published if name.startswith(INTERNVL_TEXT_PARTS)]
        state = {k: v for k, v in published.items() if k not in report.left_over}
        if state.get(PATCH_KERNEL) is not None and state[PATCH_KERNEL].ndim == 4:
            kernel = inflate_patch_kernel(state[PATCH_KERNEL], 1)
            _replace(state, PATCH_KERNEL, kernel, 'one frame deep', report)
        if 'pos_embed' in state:
            table = interpolate_image_table(state['pos_embed'], model.grid[1:])
            _replace(state, 'pos_embed', table, 'interpolated', report)
        return state

    def to_published(self, ours: Mapping[str, Tensor]) -> State:
        """The names are the published ones."""
        return dict(ours)


@CHECKPOINT_ADAPTERS.register_module(name='videomae_teacher')
class VideoMAETeacherAdapter:
    """The encoder of a published VideoMAE pretraining file into :class:`VideoMAE`, and back.

    Only entries that start with ``encoder.`` (``backbone.`` in our own files) are taken, unless
    none does (a bare encoder).  A model of one frame per token gets the kernel averaged over
    time.  The fixed position table, which files hold or not depending on their size, stays the
    model's own.
    """

    def to_ours(
        self, published: Mapping[str, Tensor], model: nn.Module, report: LoadReport | None = None
    ) -> State:
        """Entries of ``published`` in the names and sizes of ``model``."""
        report = LoadReport() if report is None else report
        inside = {k: v for k, v in published.items() if k.startswith(ENCODER_PREFIXES)}
        report.left_over = [name for name in published if inside and name not in inside]
        state = strip_prefixes(inside or published, ENCODER_PREFIXES)
        if state.pop('pos_embed', None) is not None:
            report.left_over.append('pos_embed')
        report.new = [name for name in model.state_dict() if name == 'pos_embed']
        kernel = state.get(PATCH_KERNEL)
        if kernel is not None and kernel.shape[2] > model.patch_embed.kernel[0] == 1:
            _replace(state, PATCH_KERNEL, average_patch_kernel(kernel), 'averaged', report)
        return state

    def to_published(self, ours: Mapping[str, Tensor]) -> State:
        """Entries under the names of a pretraining file, ``encoder.`` in front."""
        return {f'encoder.{name}': tensor for name, tensor in ours.items()}


def _student_name(published: str) -> str:
    if published.startswith(OWN_PREFIXES):
        return published
    return f'neck.{published}' if is_decoder_part(published) else f'backbone.{published}'


def _width(state: Mapping[str, Tensor], name: str) -> int | None:
    return state[name].shape[-1] if name in state else None


def _resize_tables(
    state: State, prefix: str, grid: tuple[int, int, int], report: LoadReport
) -> None:
    joint = state.get(f'{prefix}pos_embed')
    if joint is not None:
        extra = 0 if prefix.endswith('mae_') else 1
        steps = infer_time_steps(joint.shape[1] - extra, grid)
        resized = interpolate_joint_table(joint, steps, grid, extra_rows=extra)
        _replace(state, f'{prefix}pos_embed', resized, 'interpolated', report)
    names = [f'{prefix}pos_embed_{part}' for part in ('spatial', 'temporal')]
    if all(name in state for name in names):
        tables = interpolate_separate_tables(*(state[name] for name in names), grid)
        for name, table in zip(names, tables, strict=True):
            _replace(state, name, table, 'interpolated', report)


def _replace(state: State, name: str, tensor: Tensor, how: str, report: LoadReport) -> None:
    if tensor is not state[name]:
        report.note_reshaped(name, state[name].shape, tensor.shape, how)
        state[name] = tensor
