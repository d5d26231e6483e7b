"""Checkpoints of ViCLIP (arXiv 2307.06942), whose names are ours.

Files hold their entries below ``model`` or bare.  What differs between a file and a model are the
lengths of the tables of time and of texts.
"""

import os
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

from internvideo.checkpoint.files import read_state_dict
from internvideo.checkpoint.report import LoadReport, Shapes, abbreviate
from internvideo.checkpoint.tensor_conversion import State
from internvideo.ops.position_tables import interpolate_image_table
from internvideo.registry import CHECKPOINT_ADAPTERS

from .base import CheckpointAdapter
from .clip import OpenAIClipAdapter
from .position_tables import replace_entry
from .transformer_hints import transformer_hints

TIME_TABLE = 'vision_encoder.temporal_positional_embedding'
TEXT_TABLE = 'text_encoder.positional_embedding'
SPACE_TABLE = 'vision_encoder.positional_embedding'


def fit_rows(table: Tensor, rows: int) -> Tensor:
    """Bring a table (..., rows, D) to another length as the published code does.

    A longer one is interpolated linearly between the centres of its rows; of a shorter one the
    first rows are taken.
    """
    if rows <= table.shape[-2]:
        return table if rows == table.shape[-2] else table[..., :rows, :]
    columns = table.float().reshape(-1, *table.shape[-2:]).transpose(1, 2)
    longer = F.interpolate(columns, size=rows, mode='linear', align_corners=False)
    return longer.transpose(1, 2).reshape(*table.shape[:-2], rows, -1)


class WiseFT(NamedTuple):
    """Mean of fine-tuned weights and those that fine-tuning started from (arXiv 2109.01903).

    Attributes:
        checkpoint: file of CLIP that training started from.
        coef: share of the trained weights.
        exclude: entries that stay as they were trained.
        inflation: how CLIP's patch kernel spreads over frames, see the adapter ``clip``.
        trusted_pickle: accept a file with arbitrary Python objects.
    """

    checkpoint: str | os.PathLike
    coef: float = 0.5
    exclude: Sequence[str] = (TIME_TABLE,)
    inflation: str = 'center'
    trusted_pickle: bool = False

    @classmethod
    def of(cls, given: 'Mapping[str, Any] | None') -> 'WiseFT | None':
        """Read the adapter's option ``wise_ft``.  Raises ValueError for what is wrong in it."""
        if given is None:
            return None
        unknown = sorted(set(given) - set(cls._fields))
        if unknown or 'checkpoint' not in given:
            raise ValueError(
                f'wise_ft is a dictionary of {", ".join(cls._fields)}, of which checkpoint must '
                f'be given; got {dict(given)}'
            )
        wise = cls(**given)
        if not 0.0 <= wise.coef <= 1.0:
            raise ValueError(f'wise_ft.coef must be in [0, 1], got {wise.coef}')
        return wise

    def blend(self, state: State, model: nn.Module, report: LoadReport) -> State:
        """Mix ``state``, of the model's names and sizes, with CLIP's weights, and note it.

        Raises:
            ValueError: an excluded entry that the model lacks, or a CLIP of other sizes.
        """
        own = model.state_dict()
        if lost := [name for name in self.exclude if name not in own]:
            raise ValueError(f'wise_ft.exclude: the model has no {", ".join(lost)}')
        clip = read_state_dict(self.checkpoint, self.trusted_pickle)
        fit, adapter = LoadReport(), OpenAIClipAdapter(inflation=self.inflation)
        initial = adapter.to_ours(clip, model, fit)
        fit.compare(_shapes(initial), _shapes(own))
        if not fit.explained:
            faults = '; '.join(fit.faults())
            raise ValueError(
                f'wise_ft.checkpoint {os.fspath(self.checkpoint)} is a CLIP of other sizes than '
                f'the model: {faults}'
            )
        common = [n for n in state if n in initial and n in own and n not in self.exclude]
        blended = {
            name: self.coef * state[name].float() + (1 - self.coef) * initial[name].float()
            for name in common
            if state[name].shape == own[name].shape  # what does not fit is said when it is loaded
        }
        report.notes.append(
            f'WiSE-FT: {len(blended)} entries are {self.coef:g} of this file and '
            f'{1 - self.coef:g} of {os.fspath(self.checkpoint)}, all but {abbreviate(self.exclude)}'
        )
        return state | blended


@CHECKPOINT_ADAPTERS.register_module(name='viclip')
class ViCLIPAdapter(CheckpointAdapter):
    """Published ViCLIP files into :class:`ViCLIP` of any number of frames and tokens, and back.

    The tables of time and of texts are brought to the model's lengths as published
    (:func:`fit_rows`), that of patches by bicubic interpolation.

    Args:
        wise_ft: fields of :class:`WiseFT`: load the mean of the file and of CLIP's weights, as the
            published zero-shot evaluation does.  It holds for whatever file is loaded by this
            adapter, one that is given for a whole model included.

    Raises:
        ValueError: see :class:`WiseFT`.
    """

    parts = ('vision_encoder.conv1.', 'text_encoder.token_embedding.')
    model_parts = ('vision_encoder', 'text_encoder')

    def __init__(self, wise_ft: Mapping[str, Any] | None = None) -> None:
        self.wise_ft = WiseFT.of(wise_ft)

    def to_ours(
        self, published: Mapping[str, Tensor], model: nn.Module, report: LoadReport | None = None
    ) -> State:
        """Entries of ``published`` in the sizes of ``model``."""
        report, own = LoadReport() if report is None else report, model.state_dict()
        # A tower without temporal table has no use for that of the file.
        report.left_over = [TIME_TABLE] if TIME_TABLE in published.keys() - own.keys() else []
        state = {name: v for name, v in published.items() if name not in report.left_over}
        for name in (TIME_TABLE, TEXT_TABLE):
            if _differs_in_rows(name, state, own):
                rows = own[name].shape[-2]
                longer = rows > state[name].shape[-2]
                how = 'interpolated' if longer else 'the first rows'
                replace_entry(state, name, fit_rows(state[name], rows), how, report)
        if _differs_in_rows(SPACE_TABLE, state, own):
            size = model.vision_encoder.grid[1:]
            table = interpolate_image_table(state[SPACE_TABLE][None], size)[0]
            replace_entry(state, SPACE_TABLE, table, 'interpolated', report)
        return state if self.wise_ft is None else self.wise_ft.blend(state, model, report)

    def adapts(self, names: Collection[str], own: Collection[str]) -> bool:
        """Any file: names are those of our models, only sizes and ``wise_ft`` change it."""
        return True

    @property
    def further_files(self) -> tuple[str, ...]:
        """CLIP's file for the mean of weights."""
        return () if self.wise_ft is None else (os.fspath(self.wise_ft.checkpoint),)

    @classmethod
    def whole_model_options(cls, options: Mapping[str, Any]) -> dict[str, Any]:
        """Options for a released file: the mean with CLIP's weights, where it is asked for."""
        return {key: value for key, value in options.items() if key == 'wise_ft'}

    def hints(self, theirs: Shapes, ours: Shapes, report: LoadReport) -> list[str]:
        """Architecture and patches, where they differ."""
        return transformer_hints(theirs, ours, report)


def _shapes(state: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in state.items()}


def _differs_in_rows(name: str, state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> bool:
    """Whether a table of both has the model's width, but other rows."""
    if name not in state or name not in own:
        return False
    old, new = state[name].shape, own[name].shape
    return old != new and len(old) == len(new) and old[-1] == new[-1]
