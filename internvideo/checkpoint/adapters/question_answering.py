"""Stage-2 checkpoints and BERT files into models that answer questions.

What the model has no use for is left over: of a stage-2 file the parts that only retrieval needs,
and of a model that writes answers its decoder where options are chosen::

    vision_encoder.clip_projector.*, vision_proj.*, text_proj.*, temp, itm_head.*, answer_decoder.*

The answer decoder starts from the fusion encoder, as ALBEF's (arXiv 2107.07651) does::

    text_encoder.[bert.]embeddings.*                       ->  answer_decoder.bert.embeddings.*
    text_encoder.[bert.]encoder.layer.{last n + i}.*       ->  answer_decoder.bert.encoder.layer.i.*
    text_encoder.cls.*                                     ->  answer_decoder.cls.*

Keys and values of its cross-attention read states of text, not of video, and are new.
"""

import re
from collections.abc import Collection, Mapping, Sequence

from mmengine.logging import print_log
from torch import Tensor, nn

from internvideo.checkpoint.report import LoadReport
from internvideo.checkpoint.tensor_conversion import State
from internvideo.registry import CHECKPOINT_ADAPTERS

from .base import Direction
from .internvideo2_multi import TEXT_PREFIX, BertAdapter, Stage2Adapter, is_repeated
from .internvideo2_names import STAGE2_PREFIX

DECODER = 'answer_decoder.'
SPARE_PARTS = (
    f'{STAGE2_PREFIX}clip_projector.',
    'vision_proj.',
    'text_proj.',
    'temp',
    'itm_head.',
    DECODER,
)
LAYER = re.compile(r'encoder\.layer\.(\d+)\.')
MEDIA_MAPS = ('crossattention.self.key.', 'crossattention.self.value.')


@CHECKPOINT_ADAPTERS.register_module(name='internvideo2_answering')
class AnsweringAdapter(Stage2Adapter):
    """Stage-2 files into :class:`VideoQuestionAnswering` and :class:`VideoMultipleChoice`.

    A file that has a decoder (of a model that was trained to answer) brings its own.

    Args:
        kind, orig_t_size, new_parts: see :class:`Stage2Adapter`.
        decoder: ``'text_encoder'``: the decoder starts from the fusion encoder; ``'init'``: it
            stays as it was initialised, such as by its own ``init_cfg``.

    Raises:
        ValueError: unknown ``kind`` or ``decoder``.
    """

    # What the decoder takes of the file hangs on its depth, which only a model says.
    directions = frozenset({Direction.FIT, Direction.PUBLISH})

    def __init__(
        self,
        kind: str = 'released',
        orig_t_size: int | None = None,
        new_parts: Sequence[str] = (),
        decoder: str = 'text_encoder',
    ) -> None:
        super().__init__(kind, orig_t_size, new_parts)
        if decoder not in ('text_encoder', 'init'):
            raise ValueError(f"decoder must be 'text_encoder' or 'init', got {decoder!r}")
        self.decoder = decoder

    def to_ours(
        self, published: Mapping[str, Tensor], model: nn.Module, report: LoadReport | None = None
    ) -> State:
        """Entries of ``published`` in the names and table sizes of ``model``."""
        report, own = LoadReport() if report is None else report, model.state_dict()
        state = super().to_ours(published, model, report)
        wanted = {name for name in own if name.startswith(DECODER) and name not in state}
        if wanted and self.kind == 'released' and self.decoder == 'text_encoder':
            copied = decoder_entries(published, own)
            state |= copied
            print_log(
                f'{len(copied)} entries of answer_decoder start from text_encoder, its last layers',
                logger='current',
            )
        report.new = [name for name in dict.fromkeys(report.new) if name not in state]
        report.new += [n for n in own if n in wanted - state.keys() and n not in report.new]
        return state

    def _is_spare(self, published: str, ours: str, own: Collection[str]) -> bool:
        if ours not in own and ours.startswith(SPARE_PARTS):
            return True
        return super()._is_spare(published, ours, own)


def decoder_entries(published: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> State:
    """Entries of the decoder in ``own`` that the fusion encoder of a stage-2 file gives."""
    text = {
        name.removeprefix(TEXT_PREFIX).removeprefix('bert.'): tensor
        for name, tensor in published.items()
        if name.startswith(TEXT_PREFIX) and not is_repeated(name)
    }
    skipped = count_layers(text) - count_layers(n for n in own if n.startswith(DECODER))
    found = {}
    for name, tensor in text.items():
        inner = shifted(name, skipped)
        if inner is None:
            continue
        ours = f'{DECODER}{inner}' if inner.startswith('cls.') else f'{DECODER}bert.{inner}'
        fits = ours in own and own[ours].shape == tensor.shape
        if fits and not any(part in name for part in MEDIA_MAPS):
            found[ours] = tensor
    return found


def count_layers(names: Collection[str]) -> int:
    """Number of BERT layers in ``names``."""
    return 1 + max((int(found[1]) for found in map(LAYER.search, names) if found), default=-1)


def shifted(name: str, skipped: int) -> str | None:
    """Rename ``name`` with its layer counted from ``skipped`` on, or None for layers below."""
    found = LAYER.search(name)
    if found is None:
        return name
    layer = int(found[1]) - skipped
    return LAYER.sub(f'encoder.layer.{layer}.', name) if layer >= 0 else None


@CHECKPOINT_ADAPTERS.register_module(name='bert_decoder')
class BertDecoderAdapter(BertAdapter):
    """BERT files into a decoder of fewer layers, which starts from the last ones of the file."""

    # Layers are counted anew, as the model's depth says, and the first ones are lost.
    directions = frozenset({Direction.FIT})

    def to_ours(
        self, published: Mapping[str, Tensor], model: nn.Module, report: LoadReport | None = None
    ) -> State:
        """Entries of ``published`` in the names of ``model``."""
        report = LoadReport() if report is None else report
        skipped = max(count_layers(published) - count_layers(model.state_dict()), 0)
        names = {name: shifted(name, skipped) for name in published}
        state = {new: published[name] for name, new in names.items() if new is not None}
        converted = super().to_ours(state, model, report)
        report.left_over += [name for name, new in names.items() if new is None]
        return converted
