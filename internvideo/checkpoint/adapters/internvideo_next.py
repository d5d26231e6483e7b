"""Checkpoints of InternVideo-Next: released encoders and the files of both training stages.

Released files hold the bare encoder in float16, each name behind ``model.``; those of the stages
hold the encoder without a prefix beside the parts of its training::

    cls_token  pos_embed*  patch_embed.*  blocks.*  clip_projector.*  ->  the same, or backbone.*
    clip_decoder.*  to_bert_proj.*  bert_decoder.*  diffloss.*  ...   ->  the same
"""

from collections.abc import Collection, Mapping

from torch import Tensor, nn

from internvideo.checkpoint.report import LoadReport, Shapes
from internvideo.checkpoint.tensor_conversion import State, strip_prefixes
from internvideo.ops.position_tables import PositionTable
from internvideo.registry import CHECKPOINT_ADAPTERS

from .base import CheckpointAdapter
from .position_tables import resize_tables
from .transformer_hints import transformer_hints

FIELD = 'backbone.'
ENCODER_PARTS = ('cls_token', 'pos_embed', 'patch_embed.', 'blocks.', 'clip_projector.')
UNUSED = ('bert_decoder.embeddings.', 'bert_decoder.final_norm.')
"""51.6 million weights of the text model that the predictor is cut from."""
STAGE1_PARTS = ('clip_decoder.', 'final_clip_decoder.', 'diffloss.')
STAGE2_PARTS = ('selfdist_decoder.', 'selfdist_normproj_decoder.', 'selfdist_proj_clip.')
OWN_PARTS = ('teacher.', 'progress')
"""Of our second stage: the target network and the counters that a resumed run needs."""
OUTER_TABLES = ('clip_pos_embed', 'diff_pos_embed')
SHARED_PARTS = (*OUTER_TABLES, 'bert_mask_token', 'to_bert_proj.', 'bert_decoder.')
TRAINING_PARTS = (*STAGE1_PARTS, *STAGE2_PARTS, *SHARED_PARTS)


@CHECKPOINT_ADAPTERS.register_module(name='internvideo_next')
class InternVideoNextAdapter(CheckpointAdapter):
    """Fills an encoder, a model on top of one, or a model of a training stage.

    What a stage trains beside the encoder is left over where the model does not have it, and the
    heads of the second stage are new where the file is of the first.

    Args:
        interpolate: resize position tables to the model's frame count and resolution.
        orig_t_size: time steps of the file's tables; by default inferred.

    Source: arXiv 2512.01342 and the published files.
    """

    prefixes = ('model.', FIELD)
    parts = ('cls_token', 'patch_embed.norm_before.', 'blocks.')
    own_marks = (FIELD,)
    shares_names = True

    def __init__(self, interpolate: bool = True, orig_t_size: int | None = None) -> None:
        self.interpolate, self.orig_t_size = interpolate, orig_t_size

    def adapts(self, names: Collection[str], own: Collection[str]) -> bool:
        """Whether names that are not all the model's are those of a published file."""
        return names != own and not self.lacks(names)

    def to_ours(
        self, published: Mapping[str, Tensor], model: nn.Module, report: LoadReport | None = None
    ) -> State:
        """Entries of ``published`` in the names and sizes of ``model``.

        Raises:
            ValueError: the model has no encoder of this family.
        """
        report, own = LoadReport() if report is None else report, model.state_dict()
        field = next((f for f in ('', FIELD) if f'{f}patch_embed.norm_before.weight' in own), None)
        if field is None:
            raise ValueError(f'{type(model).__name__} has no InternVideo-Next encoder to load into')
        state = {
            _our_name(name, field): tensor
            for name, tensor in strip_prefixes(published, self.prefixes).items()
        }
        report.left_over = [name for name in state if self._is_left_over(name, own, field)]
        state = {name: state[name] for name in state if name not in report.left_over}
        report.new = [name for name in own if name not in state and _may_be_new(name, field)]
        if self.interpolate:
            encoder = getattr(model, FIELD.rstrip('.')) if field else model
            self._resize(state, own, encoder, field, report)
        return state

    @staticmethod
    def _is_left_over(name: str, own: Collection[str], field: str) -> bool:
        if name in own:
            return False
        if name.startswith(UNUSED):
            return True
        pooler = f'{field}clip_projector.'
        if name.startswith(pooler):
            return not any(known.startswith(pooler) for known in own)
        # A part that the model has in another size must not go unnoticed.
        part = next((part for part in TRAINING_PARTS if name.startswith(part)), None)
        return part is not None and not any(known.startswith(part) for known in own)

    def _resize(
        self,
        state: State,
        own: Mapping[str, Tensor],
        encoder: nn.Module,
        field: str,
        report: LoadReport,
    ) -> None:
        how = dict(orig_t_size=self.orig_t_size)
        tables = encoder.position_tables()
        resize_tables(state, own, field, tables, encoder.grid, report, **how)
        outer = dict.fromkeys(OUTER_TABLES, PositionTable(extra_rows=encoder.num_prefix_tokens))
        resize_tables(state, own, '', outer, encoder.grid, report, **how)

    def _rename(self, published: Mapping[str, Tensor]) -> State:
        """Names of a bare encoder, or of the model of a stage where the file is of one."""
        field = FIELD if any(n.startswith(TRAINING_PARTS) for n in published) else ''
        state = strip_prefixes(published, self.prefixes)
        return {_our_name(n, field): t for n, t in state.items() if not n.startswith(UNUSED)}

    def _to_published(self, ours: Mapping[str, Tensor]) -> State:
        kept = {name: tensor for name, tensor in ours.items() if not name.startswith(OWN_PARTS)}
        return strip_prefixes(kept, (FIELD,))

    def hints(self, theirs: Shapes, ours: Shapes, report: LoadReport) -> list[str]:
        """Architecture, position tables and patches, where they differ."""
        return transformer_hints(theirs, ours, report)


def _our_name(name: str, field: str) -> str:
    return f'{field}{name}' if name.startswith(ENCODER_PARTS) else name


def _may_be_new(name: str, field: str) -> bool:
    """Whether an entry of the model is one that a file of the encoder or stage 1 may lack."""
    return name.startswith((*STAGE2_PARTS, *OWN_PARTS)) or (
        bool(field) and name.startswith('head.')
    )
