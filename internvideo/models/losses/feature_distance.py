"""Distances between the features of a student and of a teacher, of an earlier alignment family."""

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn

from internvideo.ops.features import check_norm, normalise
from internvideo.registry import MODELS


def _cosine(student: Tensor, target: Tensor) -> Tensor:
    return (2 - 2 * (student * target).sum(dim=-1)).mean()


DISTANCES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    'l2': _cosine,
    'mse': F.mse_loss,
    'smooth_l1': F.smooth_l1_loss,
}


@MODELS.register_module()
class FeatureDistanceLoss(nn.Module):
    """Distance of unmasked student and teacher features (arXiv 2303.16058, appendix).

    Args:
        norm: ``'l2'`` divides both sides by the norm of their last axis, ``'none'`` does not.
        distance: ``'l2'``, the mean over tokens of ``2 - 2 <student, target>``; ``'mse'``; or
            ``'smooth_l1'`` with threshold 1.

    Raises:
        ValueError: unknown ``norm`` or ``distance``.
    """

    def __init__(self, norm: str = 'l2', distance: str = 'l2') -> None:
        super().__init__()
        if distance not in DISTANCES:
            raise ValueError(f'distance must be one of {", ".join(DISTANCES)}, got {distance!r}')
        self.norm, self.distance = check_norm(norm), distance

    def plain(self, student: Tensor, target: Tensor) -> Tensor:
        """Distance of two tensors (..., D) of one shape, a scalar."""
        if student.shape != target.shape:
            raise ValueError(
                f'student features {tuple(student.shape)} do not match target features '
                f'{tuple(target.shape)}'
            )
        return DISTANCES[self.distance](normalise(student, self.norm), normalise(target, self.norm))

    def vision(self, student: Tensor, target: Tensor) -> Tensor:
        """Distance of token features (B, N, D) and (B, M, D), averaged over tokens if N != M."""
        if student.shape[1] != target.shape[1]:
            # No token has a partner on the other side.
            student = student.mean(dim=1, keepdim=True)
            target = target.mean(dim=1, keepdim=True)
        return self.plain(student, target)

    def forward(
        self, student: Tensor, target: Tensor, student_text: Tensor, target_text: Tensor
    ) -> Tensor:
        """Mean of the distances of the vision pair and of the text pair, a scalar."""
        return (self.vision(student, target) + self.plain(student_text, target_text)) / 2
