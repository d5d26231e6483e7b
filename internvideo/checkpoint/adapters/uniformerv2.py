"""Checkpoints of UniFormerV2 (arXiv 2211.09552), and back.

Published files are bare dictionaries with ``backbone.`` in front of every name, the classifier's
as well, which is a head here::

    backbone.transformer.proj.0.*   ->  head.fc_norm.*
    backbone.transformer.proj.2.*   ->  head.head.*
    backbone.*                      ->  backbone.*

Names without that prefix are understood too, and so are files of ours, so that one run can start
from another with other classes or another size.  CLIP's own weights come by the adapter ``clip``.
"""

import json
import os
from collections.abc import Collection, Mapping
from pathlib import Path

from torch import Tensor, nn

from internvideo.checkpoint.report import LoadReport, Shapes
from internvideo.checkpoint.tensor_conversion import State, strip_prefixes
from internvideo.registry import CHECKPOINT_ADAPTERS

from .base import CheckpointAdapter, NameTable
from .kinetics import K710_CLASSES, pick_rows, remap_k710_head
from .position_tables import replace_entry, resize_tables
from .transformer_hints import transformer_hints

PREFIX = 'backbone.'
HEAD = 'head.'
NAMES = NameTable(
    ('transformer.proj.0.', 'head.fc_norm.'), ('transformer.proj.2.', 'head.head.'), ('', PREFIX)
)
HEAD_MODES = ('keep', 'reset', 'remap')
CLASSIFIER = ('head.head.weight', 'head.head.bias')


@CHECKPOINT_ADAPTERS.register_module(name='uniformerv2')
class UniFormerV2Adapter(CheckpointAdapter):
    """Published UniFormerV2 files into a recognizer or a bare :class:`UniFormerV2`, and back.

    Args:
        head: ``'keep'`` the classifier as it is; ``'reset'``: drop its linear map, the model's own
            stays; ``'remap'``: pick the rows of a Kinetics-710 classifier for 400, 600 or 700
            classes.
        delete_special_head: as the published scripts, ``head='reset'`` for a classifier of another
            number of classes than the model's, else ``'keep'``.
        label_map: JSON file with the Kinetics-710 class of each class of the model, for
            ``head='remap'`` in another order than the known ones.
        interpolate: resize the position table to the model's resolution.

    Raises:
        ValueError: an unknown ``head``, or a ``label_map`` without ``head='remap'``.
    """

    names = NAMES
    prefixes = (PREFIX,)
    parts = ('transformer.temporal_cls_token', 'transformer.resblocks.', 'transformer.dec.')
    own_marks = (HEAD,)
    published_marks = (f'{PREFIX}transformer.proj.', 'transformer.proj.')
    shares_names = True
    new_part_hint = (
        '; if the file holds a classifier for these classes, set model.init_cfg.head=keep'
    )

    def __init__(
        self,
        head: str = 'keep',
        delete_special_head: bool = False,
        label_map: str | os.PathLike | None = None,
        interpolate: bool = True,
    ) -> None:
        if head not in HEAD_MODES:
            raise ValueError(f'head must be one of {", ".join(HEAD_MODES)}, got {head!r}')
        self.head = 'reset' if delete_special_head else head
        self.keeps_own_classes = delete_special_head
        if label_map is not None and self.head != 'remap':
            raise ValueError(f"label_map={label_map} needs head='remap', got head={self.head!r}")
        self.label_map, self.interpolate = label_map, interpolate

    def to_ours(
        self, published: Mapping[str, Tensor], model: nn.Module, report: LoadReport | None = None
    ) -> State:
        """Entries of ``published`` in the names and sizes of ``model``.

        Raises:
            ValueError: the model has no UniFormerV2 encoder, or ``label_map`` does not fit.
        """
        report, own = LoadReport() if report is None else report, model.state_dict()
        is_bare = not any(name.startswith(PREFIX) for name in own)
        prefix = '' if is_bare else PREFIX
        if f'{prefix}transformer.temporal_cls_token' not in own:
            raise ValueError(f'{type(model).__name__} has no UniFormerV2 encoder to load into')
        state = self._rename(published)
        has_head = any(name.startswith(HEAD) for name in own)
        spare = [name for name in state if not has_head and name.startswith(HEAD)]
        if has_head:
            spare = self._adapt_head(state, own, report)
        report.left_over = [NAMES.to_published(name) for name in spare]
        state = {name: tensor for name, tensor in state.items() if name not in spare}
        if is_bare:
            state = {name.removeprefix(PREFIX): tensor for name, tensor in state.items()}
        if self.interpolate:
            encoder = model if is_bare else model.backbone
            tables = encoder.position_tables()
            resize_tables(state, own, prefix, tables, encoder.grid, report)
        return state

    def _rename(self, published: Mapping[str, Tensor]) -> State:
        # A run may also start from the file of another run of ours.
        if self.is_ours(published):
            return dict(published)
        return super()._rename(strip_prefixes(published, self.prefixes))

    def _to_published(self, ours: Mapping[str, Tensor]) -> State:
        return {f'{PREFIX}{name}': entry for name, entry in super()._to_published(ours).items()}

    def _adapt_head(self, state: State, own: Mapping[str, Tensor], report: LoadReport) -> list[str]:
        """Change the classifier as the options say, and return the entries that have no use."""
        if self.head == 'reset':
            name = CLASSIFIER[0]
            if self.keeps_own_classes and name in state and len(state[name]) == len(own[name]):
                return []
            report.new = [name for name in CLASSIFIER if name in own]
            return [name for name in CLASSIFIER if name in state]
        if self.head == 'remap' and all(name in state for name in CLASSIFIER):
            classes = len(own[CLASSIFIER[0]])
            given = [state[name] for name in CLASSIFIER]
            if self.label_map is None:
                picked = remap_k710_head(*given, classes)
            else:
                picked = pick_rows(*given, read_label_map(self.label_map, classes))
            for name, tensor in zip(CLASSIFIER, picked, strict=True):
                replace_entry(state, name, tensor, 'Kinetics-710 classes picked', report)
        return []

    def hints(self, theirs: Shapes, ours: Shapes, report: LoadReport) -> list[str]:
        """Options of the encoder in which file and model differ, then what all transformers say."""
        told = [_option_hint(*case) for case in _options(theirs, ours)]
        return [hint for hint in told if hint] + transformer_hints(theirs, ours, report)


def read_label_map(path: str | os.PathLike, num_classes: int) -> list[int]:
    """Kinetics-710 class of each of ``num_classes`` classes, from a JSON list.

    Raises:
        ValueError: not as many classes, or none of Kinetics-710; the message names the file.
    """
    rows = json.loads(Path(path).read_text('utf-8'))
    fits = isinstance(rows, list) and all(type(row) is int for row in rows)
    if not fits or len(rows) != num_classes or not all(0 <= row < K710_CLASSES for row in rows):
        raise ValueError(
            f'label_map={path} must be a JSON list of {num_classes} classes in [0, {K710_CLASSES})'
        )
    return rows


def _options(theirs: Shapes, ours: Shapes) -> list[tuple[str, object, object]]:
    """(option, value of the file, value of the model) of what entries and shapes tell."""

    def of(shapes: Shapes) -> dict[str, object]:
        names = {name.removeprefix(PREFIX): shape for name, shape in shapes.items()}
        kernel = names.get('conv1.weight', (0,) * 5)
        first = 'transformer.resblocks.0.lmhra1.pos_embed.1.weight'
        return {
            'balance': 'transformer.balance' in names,
            'no_lmhra': not _holds(names, '.lmhra1.'),
            'double_lmhra': _holds(names, '.lmhra2.'),
            'the inner width (dw_reduction)': names.get(first, (None,))[0],
            'temporal_downsample': len(kernel) == 5 and kernel[2] == 3,
            'the number of global_layers': sum('.dec.' in n and 'ln_1.bias' in n for n in names),
        }

    one, two = of(theirs), of(ours)
    return [(option, one[option], two[option]) for option in one]


def _holds(names: Collection[str], part: str) -> bool:
    return any(part in name for name in names)


def _option_hint(option: str, theirs: object, ours: object) -> str:
    if theirs == ours:
        return ''
    why = ''
    if option == 'balance':
        why = ' (published frozen models have none)'
    return f'{option} is {theirs} in the checkpoint and {ours} in the model{why}'
