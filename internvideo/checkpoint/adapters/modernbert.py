"""ModernBERT's files of the hub, of which some layers are taken."""

import re
from collections.abc import Mapping

from torch import Tensor, nn

from internvideo.checkpoint.report import LoadReport, Shapes, layout_hints
from internvideo.checkpoint.tensor_conversion import State, strip_prefixes
from internvideo.registry import CHECKPOINT_ADAPTERS

from .base import CheckpointAdapter, Direction

LAYER = re.compile(r'layers\.(\d+)\.(.+)')
OTHER_PARTS = ('embeddings.', 'final_norm.', 'head.', 'decoder.', 'classifier.')


@CHECKPOINT_ADAPTERS.register_module(name='modernbert')
class ModernBertAdapter(CheckpointAdapter):
    """Fills ``ModernBertLayers`` with the layers that its ``layer_ids`` name."""

    directions = frozenset({Direction.FIT})
    prefixes = ('model.',)
    parts = ('layers.',)
    shares_names = True

    def to_ours(
        self, published: Mapping[str, Tensor], model: nn.Module, report: LoadReport | None = None
    ) -> State:
        """Entries of the named layers, counted from 0.

        Raises:
            ValueError: the model does not say which layers it has, or the file lacks one.
        """
        report, numbers = (
            LoadReport() if report is None else report,
            getattr(model, 'layer_ids', ()),
        )
        if not numbers:
            raise ValueError(f'{type(model).__name__} has no layers of ModernBERT (layer_ids)')
        state, places = {}, {number: index for index, number in enumerate(numbers)}
        for name, tensor in strip_prefixes(published, self.prefixes).items():
            found = LAYER.match(name)
            if found and int(found[1]) in places:
                state[f'layers.{places[int(found[1])]}.{found[2]}'] = tensor
            elif found or name.startswith(OTHER_PARTS):
                report.left_over.append(name)
            else:
                state[name] = tensor
        lost = [n for n, index in places.items() if f'layers.{index}.attn.Wo.weight' not in state]
        if lost:
            raise ValueError(
                f'the file holds no layers {lost}, which layer_ids={list(numbers)} name'
            )
        return state

    def hints(self, theirs: Shapes, ours: Shapes, report: LoadReport) -> list[str]:
        """Give the likely reason why a file does not fit."""
        if report.mismatched:
            return ['another size: set hidden_size and intermediate_size as the file has them']
        return layout_hints(report)
