"""CLIP's image and text towers as the start of video models (arXiv 2103.00020).

Files are in the names of the first release, which open_clip keeps::

    visual.conv1.weight  visual.transformer.resblocks.*  ...    ->  backbone.* or vision_encoder.*
    token_embedding.weight  transformer.resblocks.*  ...         ->  text_encoder.*

A file of the image tower alone has its names without ``visual.``.
"""

import re
from collections.abc import Collection, Mapping, Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from internvideo.checkpoint.report import LoadReport, Shapes
from internvideo.checkpoint.tensor_conversion import State, inflate_patch_kernel
from internvideo.ops.position_tables import interpolate_image_table
from internvideo.registry import CHECKPOINT_ADAPTERS

from .base import CheckpointAdapter, Direction
from .position_tables import replace_entry
from .transformer_hints import transformer_hints

TOWERS = ('vision', 'text')
INFLATIONS = ('center', 'mean')
VISUAL = 'visual.'
TEXT = 'text_encoder.'
VISION_FIELDS = ('backbone.', 'vision_encoder.')
BLOCK = r'transformer\.resblocks\.\d+\.(?:attn|mlp|ln_1|ln_2)\.'
VISION_NAMES = re.compile(
    rf'(?:class_embedding|positional_embedding|conv1\.weight|proj)$|ln_(?:pre|post)\.|{BLOCK}'
)
TEXT_NAMES = re.compile(
    rf'(?:positional_embedding|token_embedding\.weight|text_projection)$|ln_final\.|{BLOCK}'
)
BLOCKS = re.compile(BLOCK)
# What a model may hold beside its video tower, which ends before them.
OUTER = {'ln_post.weight': 'visual_ln_post.weight', 'ln_post.bias': 'visual_ln_post.bias'}
OUTER |= {'proj': 'visual_proj', 'logit_scale': 'logit_scale'}


@CHECKPOINT_ADAPTERS.register_module(name='clip')
class OpenAIClipAdapter(CheckpointAdapter):
    """Weights of CLIP as the start of a video model, with what CLIP lacks named as new.

    The table of patches is resized to the model's grid (bicubic), that of texts is cut to its
    first rows or filled up with zeros, and the patch kernel is spread over the frames of a
    tubelet.

    Args:
        towers: which of ``'vision'`` and ``'text'`` to take; a tower that the model does not have
            is left over.
        inflation: ``'center'``: the kernel stands at the middle frame of a tubelet; ``'mean'``:
            at all, divided by their number.

    Raises:
        ValueError: an unknown tower or inflation.
    """

    directions = frozenset({Direction.FIT})

    def __init__(self, towers: Sequence[str] = TOWERS, inflation: str = 'center') -> None:
        if not towers or not set(towers) <= set(TOWERS):
            raise ValueError(f'towers must be of {", ".join(TOWERS)}, got {list(towers)}')
        if inflation not in INFLATIONS:
            raise ValueError(f'inflation must be one of {", ".join(INFLATIONS)}, got {inflation!r}')
        self.towers, self.inflation = tuple(towers), inflation

    @property
    def gives_whole_model(self) -> bool:
        """CLIP is where a training starts, never a whole video model."""
        return False

    def to_ours(
        self, published: Mapping[str, Tensor], model: nn.Module, report: LoadReport | None = None
    ) -> State:
        """Entries of ``published`` in the names and sizes of ``model``.

        Raises:
            ValueError: the file lacks a tower that is asked for and that the model has, or the
                model has none of them.
        """
        report, own = LoadReport() if report is None else report, model.state_dict()
        field = next((f for f in VISION_FIELDS if any(n.startswith(f) for n in own)), '')
        prefixes = dict(vision=field, text=TEXT)
        placed: dict[str, str] = {}
        for name in published:
            tower, inner = _tower(name, published)
            if tower in self.towers and (ours := _place(inner, prefixes[tower], own)):
                placed[name] = ours
        report.left_over = [name for name in published if name not in placed]
        state = {ours: published[name] for name, ours in placed.items()}
        for tower, landmark in (('vision', 'conv1.weight'), ('text', 'token_embedding.weight')):
            wanted = f'{prefixes[tower]}{landmark}'
            if tower in self.towers and wanted in own and wanted not in state:
                raise ValueError(f'the file holds no {tower} tower of CLIP (no {landmark})')
        if not state:
            asked = ' or '.join(self.towers)
            raise ValueError(f'{type(model).__name__} has no {asked} tower of CLIP to load into')
        report.new = [name for name in own if name not in state and not self._expects(name, field)]
        self._resize(state, own, model, field, report)
        return state

    def _expects(self, name: str, field: str) -> bool:
        """Whether an entry of the model is one that CLIP has too."""
        if name.startswith(TEXT):
            return 'text' in self.towers and bool(TEXT_NAMES.match(name.removeprefix(TEXT)))
        inside = name.startswith(field)
        return inside and 'vision' in self.towers and bool(VISION_NAMES.match(name[len(field) :]))

    def _resize(
        self,
        state: State,
        own: Mapping[str, Tensor],
        model: nn.Module,
        field: str,
        report: LoadReport,
    ) -> None:
        kernel, table = f'{field}conv1.weight', f'{field}positional_embedding'
        if kernel in state and state[kernel].ndim == 4:
            depth = own[kernel].shape[2]
            center = self.inflation == 'center'
            inflated = inflate_patch_kernel(state[kernel], depth, center=center)
            replace_entry(state, kernel, inflated, f'inflated over time, {self.inflation}', report)
        if table in state and state[table].shape != own[table].shape:
            encoder = getattr(model, field.rstrip('.')) if field else model
            resized = interpolate_image_table(state[table][None], encoder.grid[1:])[0]
            replace_entry(state, table, resized, 'interpolated', report)
        texts = f'{TEXT}positional_embedding'
        if texts in state:
            length = own[texts].shape[0]
            rows = state[texts][:length]
            padded = F.pad(rows, (0, 0, 0, length - len(rows)))
            if len(state[texts]) != length:
                replace_entry(state, texts, padded, 'cut or filled with zeros', report)

    def hints(self, theirs: Shapes, ours: Shapes, report: LoadReport) -> list[str]:
        """Architecture and patches, where they differ."""
        return transformer_hints(theirs, ours, report)


def _tower(name: str, published: Collection[str]) -> tuple[str, str]:
    """Tower that an entry belongs to, and its name in there."""
    if name.startswith(VISUAL):
        return 'vision', name.removeprefix(VISUAL)
    has_text = 'token_embedding.weight' in published
    return ('text' if has_text else 'vision'), name


def _place(inner: str, prefix: str, own: Collection[str]) -> str:
    """Name of an entry in the model, empty if the model has no such part."""
    ours = f'{prefix}{inner}'
    if ours in own:
        return ours
    if inner in OUTER:
        return OUTER[inner] if OUTER[inner] in own else ''
    # A block more than the model has must not go unnoticed, unless the tower is not there at all.
    known = any(name.startswith(f'{prefix}transformer.') for name in own)
    return ours if known and BLOCKS.match(inner) else ''
