"""SigLIP's files of the hub, of which the image tower is taken."""

from collections.abc import Mapping

from torch import Tensor, nn

from internvideo.checkpoint.report import LoadReport, Shapes, layout_hints
from internvideo.checkpoint.tensor_conversion import State, strip_prefixes
from internvideo.ops.position_tables import interpolate_image_table
from internvideo.registry import CHECKPOINT_ADAPTERS

from .base import CheckpointAdapter, Direction
from .position_tables import replace_entry

TABLE = 'vision_model.embeddings.position_embedding.weight'
TEXT_PARTS = ('text_model.', 'logit_scale', 'logit_bias')


@CHECKPOINT_ADAPTERS.register_module(name='siglip')
class SiglipAdapter(CheckpointAdapter):
    """Fills a ``SiglipVision``, its position table resized, and leaves the text tower over."""

    directions = frozenset({Direction.FIT})
    prefixes = ('vision_tower.',)
    parts = ('vision_model.embeddings.', 'vision_model.encoder.layers.')
    shares_names = True

    def to_ours(
        self, published: Mapping[str, Tensor], model: nn.Module, report: LoadReport | None = None
    ) -> State:
        """Entries of the image tower in the sizes of ``model``.

        Raises:
            ValueError: the model is no image tower of this family.
        """
        report, own = LoadReport() if report is None else report, model.state_dict()
        if TABLE not in own:
            raise ValueError(f'{type(model).__name__} has no image tower of SigLIP to load into')
        state = strip_prefixes(published, self.prefixes)
        report.left_over = [name for name in state if name.startswith(TEXT_PARTS)]
        state = {name: state[name] for name in state if name not in report.left_over}
        table = state.get(TABLE)
        if table is not None and table.shape[1] == own[TABLE].shape[1]:
            resized = interpolate_image_table(table[None], model.grid[1:], extra_rows=0)[0]
            if table.shape != own[TABLE].shape:
                replace_entry(state, TABLE, resized, 'interpolated', report)
        return state

    def hints(self, theirs: Shapes, ours: Shapes, report: LoadReport) -> list[str]:
        """Give the likely reason why a file does not fit."""
        if report.mismatched or report.missing:
            return ['another size: set arch, img_size and patch_size as the file has them']
        return layout_hints(report)
