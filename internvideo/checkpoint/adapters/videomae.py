"""Checkpoints of VideoMAE: pretraining files, and fine-tuned classifiers, both ways.

::

    encoder.*                                           ->  backbone.*        (pretraining)
    decoder.*  encoder_to_decoder.*  mask_token             as they are
    patch_embed.*  blocks.*  norm.*  pos_embed          ->  backbone.*        (fine-tuned)
    fc_norm.*  head.*                                   ->  head.*

so the classifier ``head.weight`` is ``head.head.weight`` here.  Constant position tables are in no
file.
"""

from collections.abc import Mapping

from torch import Tensor, nn

from internvideo.checkpoint.report import LoadReport, Shapes
from internvideo.checkpoint.tensor_conversion import State, strip_prefixes
from internvideo.registry import CHECKPOINT_ADAPTERS

from .base import CheckpointAdapter, NameTable
from .kinetics import remap_k710_head
from .position_tables import replace_entry, resize_tables
from .transformer_hints import transformer_hints

DATA_PARALLEL = ('module.',)
"""In front of every name where the state of a wrapped model was saved."""
ENCODER_PREFIXES = ('encoder.', 'backbone.')
DECODER_PARTS = ('decoder.', 'encoder_to_decoder.', 'mask_token')
HEAD_PARTS = ('fc_norm', 'head')
HEAD_MODES = ('keep', 'reset', 'remap')


@CHECKPOINT_ADAPTERS.register_module(name='videomae_pretrain')
class VideoMAEPretrainAdapter(CheckpointAdapter):
    """Published VideoMAE pretraining files into ``MaskedAutoencoder``, and back.

    Source: arXiv 2203.12602 and the published pretraining script.
    """

    names = NameTable(('encoder.', 'backbone.'))
    prefixes = DATA_PARALLEL
    parts = ('encoder.patch_embed.', 'encoder.blocks.', 'decoder.')
    own_marks = ('backbone.',)
    published_marks = ('encoder.', 'module.')
    model_parts = ('backbone', 'decoder', 'encoder_to_decoder')
    shares_names = True

    def to_ours(
        self, published: Mapping[str, Tensor], model: nn.Module, report: LoadReport | None = None
    ) -> State:
        """Entries of ``published`` in the names of ``model``, a learned table in its size."""
        report = LoadReport() if report is None else report
        state = self._rename(published)
        encoder = model.backbone
        tables = encoder.position_tables()
        resize_tables(state, model.state_dict(), 'backbone.', tables, encoder.grid, report)
        return state

    def _rename(self, published: Mapping[str, Tensor]) -> State:
        return super()._rename(strip_prefixes(published, DATA_PARALLEL))

    def hints(self, theirs: Shapes, ours: Shapes, report: LoadReport) -> list[str]:
        """Architecture and patches, where they differ."""
        return transformer_hints(theirs, ours, report)


@CHECKPOINT_ADAPTERS.register_module(name='videomae_finetune')
class VideoMAEFinetuneAdapter(CheckpointAdapter):
    """Published VideoMAE classifiers, or the encoders of pretraining files, into a recogniser.

    A pretraining file, published or ours, brings the encoder: its decoder is left over, and so is
    its last norm where the classifier has one behind the mean (``fc_norm``).  The head is new then.
    A bare encoder is filled as well.

    Args:
        head: ``'keep'`` the classifier as it is; ``'reset'``: drop it, the model's own stays;
            ``'remap'``: pick the rows of a Kinetics-710 classifier for 400, 600 or 700 classes.
        interpolate: resize a learned position table to the model's frames and resolution.

    Raises:
        ValueError: an unknown ``head``.

    Source: arXiv 2203.12602 and the published fine-tuning script.
    """

    names = NameTable(*((f'{part}.', f'head.{part}.') for part in HEAD_PARTS), ('', 'backbone.'))
    prefixes = (*DATA_PARALLEL, *ENCODER_PREFIXES)
    parts = ('patch_embed.', 'blocks.')
    own_marks = tuple(f'head.{part}.' for part in HEAD_PARTS)
    published_marks = ('fc_norm.', 'head.weight', 'head.bias', 'encoder.', 'module.')
    new_part_hint = (
        '; if the file holds a classifier for these classes, set model.init_cfg.head=keep'
    )

    def __init__(self, head: str = 'keep', interpolate: bool = True) -> None:
        if head not in HEAD_MODES:
            raise ValueError(f'head must be one of {", ".join(HEAD_MODES)}, got {head!r}')
        self.head, self.interpolate = head, interpolate

    def to_ours(
        self, published: Mapping[str, Tensor], model: nn.Module, report: LoadReport | None = None
    ) -> State:
        """Entries of ``published`` in the names and sizes of ``model``.

        Args:
            published: a published state dict, or one of ours.
            model: a recogniser with ``backbone`` and ``head``, or a bare encoder.
            report: takes down what was reshaped, what is new and what is left over.
        """
        report = LoadReport() if report is None else report
        own = model.state_dict()
        is_bare = not any(name.startswith('backbone.') for name in own)
        state = self._recogniser_names(published)
        self._adapt_head(state, own, report)
        if is_bare:
            state = {name.removeprefix('backbone.'): value for name, value in state.items()}
        encoder, prefix = (model, '') if is_bare else (model.backbone, 'backbone.')
        if self.interpolate:
            tables = encoder.position_tables()
            resize_tables(state, own, prefix, tables, encoder.grid, report)
        return self._explain(state, own, prefix, report)

    def _rename(self, published: Mapping[str, Tensor]) -> State:
        state = self._recogniser_names(published)
        return {name: value for name, value in state.items() if not _is_decoder_part(name)}

    def _recogniser_names(self, published: Mapping[str, Tensor]) -> State:
        """Entries under the names of a recogniser, those of a decoder as they are."""
        state = strip_prefixes(published, DATA_PARALLEL)
        if self.is_ours(state):
            return state
        decoder = {name: value for name, value in state.items() if _is_decoder_part(name)}
        rest = {name: value for name, value in state.items() if name not in decoder}
        return super()._rename(strip_prefixes(rest, ENCODER_PREFIXES)) | decoder

    def _adapt_head(self, state: State, own: Mapping[str, Tensor], report: LoadReport) -> None:
        if self.head == 'reset':
            # The norm in front of the classifier is not part of it, as published.
            state.pop('head.head.weight', None)
            state.pop('head.head.bias', None)
        elif self.head == 'remap' and 'head.head.weight' in state and 'head.head.weight' in own:
            weight, bias = remap_k710_head(
                state['head.head.weight'],
                state.get('head.head.bias'),
                len(own['head.head.weight']),
            )
            replace_entry(state, 'head.head.weight', weight, 'Kinetics-710 classes picked', report)
            if bias is not None:
                replace_entry(state, 'head.head.bias', bias, 'Kinetics-710 classes picked', report)

    def _explain(
        self, state: State, own: Mapping[str, Tensor], prefix: str, report: LoadReport
    ) -> State:
        """Take out what this model never holds, and note the parts of the head that are new."""
        is_pretraining = not any(name.startswith('head.') for name in state)
        new_part = 'head.' if is_pretraining else 'head.head.'
        if is_pretraining or self.head == 'reset':
            report.new = [name for name in own if name.startswith(new_part) and name not in state]
        unused = DECODER_PARTS
        if is_pretraining:
            unused += (f'{prefix}norm.',)
        if not prefix:
            unused += ('head.',)
        report.left_over = [n for n in state if n not in own and n.startswith(unused)]
        return {name: value for name, value in state.items() if name not in report.left_over}

    def hints(self, theirs: Shapes, ours: Shapes, report: LoadReport) -> list[str]:
        """Architecture, patches and classes, where they differ."""
        return transformer_hints(theirs, ours, report)


def _is_decoder_part(name: str) -> bool:
    return name.startswith(DECODER_PARTS)
