"""Feature alignment between a student and its teachers, in float32."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from internvideo.registry import MODELS
from internvideo.structures.aligned_features import AlignedFeatures


def alignment_distance(student: Sequence[Tensor], target: Sequence[Tensor]) -> Tensor:
    """Mean over all vectors of ``2 - 2 <student, target>``: the squared distance of unit vectors.

    Args:
        student, target: one tensor (..., D) per layer; all layers have one shape.

    Raises:
        ValueError: another number of layers, or layers of another shape.
    """
    if len(student) != len(target):
        raise ValueError(f'{len(student)} student layers face {len(target)} target layers')
    products = []
    for ours, theirs in zip(student, target, strict=True):
        if ours.shape != theirs.shape:
            raise ValueError(
                f'student features {tuple(ours.shape)} do not match target features '
                f'{tuple(theirs.shape)}'
            )
        # In bfloat16 the products of near unit vectors differ from 1 by less than its resolution.
        dtype = torch.promote_types(ours.dtype, torch.float32)
        products.append((ours.to(dtype) * theirs.to(dtype)).sum(dim=-1).mean())
    return 2 - 2 * torch.stack(products).mean()


@MODELS.register_module()
class AlignmentLoss(nn.Module):
    """Weighted alignment terms (arXiv 2403.15377, section 3.1, equation 1).

    Args:
        clip_middle, clip_final, mae: weights of the aligned layers of the CLIP teacher, of its
            pooled vector, and of the aligned layers of the MAE teacher.  A term of weight 0 is
            not computed.

    Raises:
        ValueError: a negative weight.
    """

    def __init__(self, clip_middle: float = 1.0, clip_final: float = 1.0, mae: float = 1.0) -> None:
        super().__init__()
        self.weights = dict(clip_middle=clip_middle, clip_final=clip_final, mae=mae)
        if min(self.weights.values()) < 0:
            raise ValueError(f'loss weights must not be negative, got {self.weights}')

    def terms(self, student: AlignedFeatures, target: AlignedFeatures) -> dict[str, Tensor]:
        """Unweighted distance of each branch of the student whose weight is not 0.

        Raises ValueError when a branch does not match the target's.
        """
        targets = target.branches()
        return {
            name: alignment_distance(layers, targets[name])
            for name, layers in student.branches().items()
            if layers and self.weights[name]
        }

    def forward(self, student: AlignedFeatures, target: AlignedFeatures) -> dict[str, Tensor]:
        """Compute ``{'loss_clip_middle': ..., ...}``, weighted, whose sum is the objective."""
        terms = self.terms(student, target)
        return {f'loss_{name}': self.weights[name] * term for name, term in terms.items()}
