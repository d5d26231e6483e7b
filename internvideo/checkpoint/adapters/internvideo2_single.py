"""Checkpoints of the published single-modality InternVideo2 models, and back.

Published files hold the encoder without a prefix and the classifier beside it::

    cls_token  pos_embed*  patch_embed.*  blocks.*  clip_projector.*   ->  backbone.*
    fc_norm.*  head.*  extra_mlp.*  down.*  down_norm.*                ->  head.*

so the classifier ``head.weight`` is ``head.head.weight`` here.  A checkpoint in our own names is
understood as well, so that one run can start from another with other classes or another size.
"""

import os
from collections.abc import Mapping

from torch import Tensor, nn

from internvideo.checkpoint.files import read_state_dict
from internvideo.checkpoint.report import LoadReport, Shapes
from internvideo.checkpoint.tensor_conversion import State, inflate_patch_kernel, strip_prefixes
from internvideo.ops.position_tables import Grid, interpolate_separate_tables
from internvideo.registry import CHECKPOINT_ADAPTERS

from .base import CheckpointAdapter, NameTable
from .internvideo2_names import (
    ENCODER_PARTS,
    PATCH_KERNEL,
    PUBLISHED_DECODER_PARTS,
    extract_stage2_vision,
    is_decoder_part,
    override_from_stage2,
)
from .kinetics import remap_k710_head
from .position_tables import replace_entry, resize_joint_table
from .transformer_hints import transformer_hints

HEAD_PARTS = ('fc_norm', 'head', 'extra_mlp', 'down', 'down_norm')
HEAD_MODES = ('keep', 'reset', 'remap')
PREFIXES = ('backbone.', 'encoder.')
NAMES = NameTable(
    *((f'{part}.', f'head.{part}.') for part in HEAD_PARTS),
    ('', 'backbone.'),
    ('', 'head.'),  # parts of other heads, on the way back
)


@CHECKPOINT_ADAPTERS.register_module(name='internvideo2_single')
class InternVideo2SingleAdapter(CheckpointAdapter):
    """Turns a published InternVideo2 file into the state of a recognizer or of a bare encoder.

    Pretraining and distillation files load too: their decoders are left over, and the head that
    they do not have is new.

    Args:
        head: ``'keep'`` the classifier as it is; ``'reset'``: drop it, the model's own stays;
            ``'remap'``: pick the rows of a Kinetics-710 classifier for 400, 600 or 700 classes.
        delete_head: the published scripts' word for ``head='reset'``.
        interpolate: resize position tables to the model's frame count and resolution.
        orig_t_size: time steps of the checkpoint's joint table; by default inferred when only one
            reading fits, else the published 8.
        center_init: how a patch kernel of one frame is spread over a longer tubelet: all weight
            on the centre frame, or (default) evenly.
        extra: a second file, of stage 2, whose ``vision_encoder.*`` entries override the first's.
        stage2: the source itself is a stage-2 file: take its vision tower without the decoders.
        trusted_pickle: as for the source, for ``extra``.

    Raises:
        ValueError: an unknown ``head``.

    Source: arXiv 2403.15377 and the published fine-tuning and probing scripts.
    """

    names = NAMES
    prefixes = PREFIXES
    parts = ENCODER_PARTS
    own_marks = tuple(f'head.{part}.' for part in HEAD_PARTS)
    published_marks = (
        *(f'{part}.' for part in HEAD_PARTS if part != 'head'),
        'head.weight',
        'head.bias',
        *PUBLISHED_DECODER_PARTS,
    )
    new_part_hint = (
        '; if the file holds a classifier for these classes, set model.init_cfg.head=keep'
    )

    def __init__(
        self,
        head: str = 'keep',
        delete_head: bool = False,
        interpolate: bool = True,
        orig_t_size: int | None = None,
        center_init: bool = False,
        extra: str | os.PathLike | None = None,
        stage2: bool = False,
        trusted_pickle: bool = False,
    ) -> None:
        if head not in HEAD_MODES:
            raise ValueError(f'head must be one of {", ".join(HEAD_MODES)}, got {head!r}')
        self.head = 'reset' if delete_head else head
        self.interpolate = interpolate
        self.orig_t_size = orig_t_size
        self.center_init = center_init
        self.extra = extra
        self.stage2 = stage2
        self.trusted_pickle = trusted_pickle

    def to_ours(
        self,
        published: Mapping[str, Tensor],
        model: nn.Module,
        report: LoadReport | None = None,
    ) -> State:
        """The entries of ``published`` in the names and sizes of ``model``.

        Args:
            published: a published state dict.
            model: a recognizer with ``backbone`` and ``head``, or a bare encoder; it gives the
                target shapes and the grid of its position tables.
            report: takes down what was reshaped, what is new and what is left over.

        Returns:
            Entries to load.  Those that the model lacks for no known reason are among them.

        Raises:
            ValueError: the model has no such encoder, or its grid leaves open how the position
                table of the checkpoint is to be read.
        """
        report = LoadReport() if report is None else report
        shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
        is_bare = not any(name.startswith('backbone.') for name in shapes)
        target = {_published_name(name, is_bare): shape for name, shape in shapes.items()}
        if 'cls_token' not in target or PATCH_KERNEL not in target:
            raise ValueError(f'{type(model).__name__} has no InternVideo2 encoder to load into')
        state = self._adapt_names(published, target.get('head.weight', (0,))[0], report)
        # Another width is another architecture, which cannot fit: left in its own sizes, the file
        # is reported as it is.
        if _width(state) == target['cls_token'][-1]:
            encoder = model if is_bare else model.backbone
            self._adapt_sizes(state, encoder.grid, target[PATCH_KERNEL][2], report)
        state = self._explain(state, target, report)
        self._rename_notes(report, is_bare)
        return {_our_name(name, is_bare): tensor for name, tensor in state.items()}

    def _rename(self, published: Mapping[str, Tensor]) -> State:
        """Names of a recognizer without decoders."""
        state = extract_stage2_vision(published) if self.stage2 else published
        state = strip_prefixes(state, PREFIXES)
        kept = {name: tensor for name, tensor in state.items() if not is_decoder_part(name)}
        return super()._rename(kept)

    def hints(self, theirs: Shapes, ours: Shapes, report: LoadReport) -> list[str]:
        """Architecture, position tables, patches and classes, where they differ."""
        return transformer_hints(theirs, ours, report)

    def prepare(
        self,
        published: Mapping[str, Tensor],
        grid: Grid,
        tubelet_size: int = 1,
        num_classes: int = 0,
        report: LoadReport | None = None,
    ) -> State:
        """Published names throughout: head, prefixes, stage 2, patch kernel, position tables.

        Args:
            published: a published state dict; kept as it is.
            grid: temporal positions, rows and columns of the model.
            tubelet_size: depth of the model's patch kernel.
            num_classes: rows of the model's classifier.
            report: takes down what was reshaped.

        Returns:
            The entries in their order; those that stage 2 adds follow at the end.
        """
        report = LoadReport() if report is None else report
        state = self._adapt_names(published, num_classes, report)
        self._adapt_sizes(state, grid, tubelet_size, report)
        return state

    def _adapt_names(
        self, published: Mapping[str, Tensor], num_classes: int, report: LoadReport
    ) -> State:
        if self.is_ours(published):
            published = self.to_published(published)
        state = extract_stage2_vision(published) if self.stage2 else dict(published)
        self._adapt_head(state, num_classes, report)
        state = strip_prefixes(state, PREFIXES)
        if self.extra is not None:
            state = override_from_stage2(state, read_state_dict(self.extra, self.trusted_pickle))
        return state

    def _adapt_sizes(self, state: State, grid: Grid, tubelet_size: int, report: LoadReport) -> None:
        self._adapt_kernel(state, tubelet_size, report)
        if self.interpolate:
            if 'pos_embed' in state:
                resize_joint_table(state, 'pos_embed', grid, self.orig_t_size, report)
            self._adapt_separate_tables(state, grid, report)

    def _adapt_head(self, state: State, num_classes: int, report: LoadReport) -> None:
        if self.head == 'reset':
            state.pop('head.weight', None)
            state.pop('head.bias', None)
        elif self.head == 'remap' and 'head.weight' in state:
            weight, bias = remap_k710_head(
                state['head.weight'], state.get('head.bias'), num_classes
            )
            replace_entry(state, 'head.weight', weight, 'Kinetics-710 classes picked', report)
            if bias is not None:
                replace_entry(state, 'head.bias', bias, 'Kinetics-710 classes picked', report)

    def _adapt_kernel(self, state: State, tubelet_size: int, report: LoadReport) -> None:
        kernel = state.get(PATCH_KERNEL)
        if kernel is None or tubelet_size == 1 or kernel.ndim != 5 or kernel.shape[2] != 1:
            return
        inflated = inflate_patch_kernel(kernel, tubelet_size, center=self.center_init)
        how = f'inflated over time, {"centre" if self.center_init else "mean"}'
        replace_entry(state, PATCH_KERNEL, inflated, how, report)

    def _adapt_separate_tables(self, state: State, grid: Grid, report: LoadReport) -> None:
        names = ('pos_embed_spatial', 'pos_embed_temporal')
        if not all(name in state for name in names):
            return
        tables = interpolate_separate_tables(*(state[name] for name in names), grid)
        for name, table in zip(names, tables, strict=True):
            replace_entry(state, name, table, 'interpolated', report)

    def _explain(self, state: State, target: Mapping[str, tuple], report: LoadReport) -> State:
        """Take out what this model never holds, and note the head parts that are new to it."""
        there = {_part(name) for name in state}
        wanted = {_part(name) for name in target}
        report.new = [
            name for name in target if _part(name) in HEAD_PARTS and _part(name) not in there
        ]
        report.left_over = [
            name
            for name in state
            if _part(name) not in wanted and (is_decoder_part(name) or self._may_drop(name, wanted))
        ]
        return {name: tensor for name, tensor in state.items() if name not in report.left_over}

    def _may_drop(self, name: str, wanted: set[str]) -> bool:
        """Whether a head part has no use: in a bare encoder, under a new head, without pooling."""
        part = _part(name)
        if part == 'clip_projector':
            return True
        return part in HEAD_PARTS and (self.head == 'reset' or not wanted & set(HEAD_PARTS))

    def _rename_notes(self, report: LoadReport, is_bare: bool) -> None:
        report.new = [_our_name(name, is_bare) for name in report.new]
        report.reshaped = {_our_name(k, is_bare): v for k, v in report.reshaped.items()}
        report.remapped = {_our_name(k, is_bare): v for k, v in report.remapped.items()}


def _part(name: str) -> str:
    return name.partition('.')[0]


def _our_name(published: str, is_bare: bool) -> str:
    if is_bare:
        return published
    return NAMES.to_ours(published)


def _published_name(ours: str, is_bare: bool) -> str:
    return ours if is_bare else NAMES.to_published(ours)


def _width(state: Mapping[str, Tensor]) -> int | None:
    names = ('cls_token', 'pos_embed', 'pos_embed_spatial')
    return next((state[name].shape[-1] for name in names if name in state), None)
