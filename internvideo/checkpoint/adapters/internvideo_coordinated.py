"""Two published classifiers into one model that coordinates them.

::

    VideoMAE's classifier      ->  backbone.*            head.*
    UniFormerV2's classifier   ->  multimodal_encoder.*  multimodal_head.*

What joins them is in no published file, and starts as nothing.
"""

import os
from collections.abc import Mapping

from torch import Tensor, nn

from internvideo.checkpoint.files import read_state_dict
from internvideo.checkpoint.report import LoadReport, Shapes
from internvideo.checkpoint.tensor_conversion import State
from internvideo.registry import CHECKPOINT_ADAPTERS

from .base import CheckpointAdapter, Direction
from .transformer_hints import transformer_hints
from .uniformerv2 import UniFormerV2Adapter
from .videomae import VideoMAEFinetuneAdapter

# Children of the model that each file fills, by the names of a recogniser.
MASKED = dict(backbone='backbone', head='head')
MULTIMODAL = dict(backbone='multimodal_encoder', head='multimodal_head')


class _Half(nn.Module):
    """One encoder and its head under the names of a recogniser."""

    def __init__(self, model: nn.Module, names: Mapping[str, str]) -> None:
        super().__init__()
        self.backbone, self.head = (getattr(model, names[part]) for part in ('backbone', 'head'))


@CHECKPOINT_ADAPTERS.register_module(name='internvideo_coordinated')
class CoordinatedAdapter(CheckpointAdapter):
    """Published classifiers of VideoMAE and UniFormerV2 into :class:`CrossModelRecognizer`.

    Args:
        multimodal: file of UniFormerV2, which loading needs; the checkpoint itself is that of
            VideoMAE.
        head: what becomes of both classifiers, as for the adapters of the two files.
        trusted_pickle: as for the first file, for ``multimodal``.
    """

    directions = frozenset({Direction.FIT})
    model_parts = (*MASKED.values(), *MULTIMODAL.values(), 'cross_attention')
    own_marks = ('multimodal_encoder.', 'cross_attention.')
    shares_names = True

    def __init__(
        self,
        multimodal: str | os.PathLike | None = None,
        head: str = 'keep',
        trusted_pickle: bool = False,
    ) -> None:
        self.multimodal, self.trusted_pickle = multimodal, trusted_pickle
        self.halves = (
            (VideoMAEFinetuneAdapter(head=head), MASKED),
            (UniFormerV2Adapter(head=head), MULTIMODAL),
        )

    @property
    def gives_whole_model(self) -> bool:
        """Files are where a training starts: what joins the encoders is new."""
        return False

    @property
    def further_files(self) -> tuple[str, ...]:
        """The file of the second encoder."""
        return () if self.multimodal is None else (os.fspath(self.multimodal),)

    def to_ours(
        self, published: Mapping[str, Tensor], model: nn.Module, report: LoadReport | None = None
    ) -> State:
        """Entries of both files in the names and sizes of ``model``.

        Raises:
            ValueError: there is no second file.
        """
        if self.multimodal is None:
            raise ValueError(
                'the adapter internvideo_coordinated needs its option multimodal: '
                'the file of UniFormerV2'
            )
        report, state = LoadReport() if report is None else report, {}
        files = (published, read_state_dict(self.multimodal, self.trusted_pickle))
        for (adapter, names), file in zip(self.halves, files, strict=True):
            part = LoadReport()
            found = adapter.to_ours(file, _Half(model, names), part)
            state |= {_placed(name, names): tensor for name, tensor in found.items()}
            report.new += [_placed(name, names) for name in part.new]
            report.left_over += part.left_over
            report.reshaped |= {_placed(n, names): shapes for n, shapes in part.reshaped.items()}
            report.remapped |= {_placed(n, names): how for n, how in part.remapped.items()}
        filled = tuple(f'{name}.' for name in (*MASKED.values(), *MULTIMODAL.values()))
        report.new += [name for name in model.state_dict() if not name.startswith(filled)]
        return state

    def hints(self, theirs: Shapes, ours: Shapes, report: LoadReport) -> list[str]:
        """Architecture and patches of the encoder that differs."""
        for prefix in MASKED['backbone'], MULTIMODAL['backbone']:
            given, own = (
                {k: v for k, v in shapes.items() if k.startswith(f'{prefix}.')}
                for shapes in (theirs, ours)
            )
            if given != own:
                return transformer_hints(given, own, report)
        return []


def _placed(name: str, names: Mapping[str, str]) -> str:
    part, _, rest = name.partition('.')
    return f'{names.get(part, part)}.{rest}'
