"""Alignment with a frame-wise teacher beside the student's own reconstruction of pixels."""

from torch import Tensor

from internvideo.models.losses.alignment import AlignmentLoss
from internvideo.registry import MODELS
from internvideo.structures.aligned_features import AlignedFeatures


@MODELS.register_module()
class DiffusionAlignmentLoss(AlignmentLoss):
    """The three terms of InternVideo-Next's first stage (arXiv 2512.01342).

    Args:
        clip_middle, clip_final: weights of the aligned layers and of the pooled vector.
        diffusion: weight of the loss that the student's diffusion decoder returns.

    Raises:
        ValueError: a negative weight.
    """

    def __init__(
        self, clip_middle: float = 1.0, clip_final: float = 1.0, diffusion: float = 1.0
    ) -> None:
        super().__init__(clip_middle, clip_final, mae=0.0)
        if diffusion < 0:
            raise ValueError(f'loss weights must not be negative, got diffusion={diffusion}')
        self.diffusion = diffusion

    def forward(
        self, student: AlignedFeatures, target: AlignedFeatures, diffusion: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Compute ``{'loss_clip_middle': ..., ...}``, weighted, whose sum is the objective.

        Args:
            student, target: features at the visible tokens, and pooled ones.
            diffusion: the student's diffusion loss, a scalar or one value; None where it is not
                computed.
        """
        losses = super().forward(student, target)
        if diffusion is not None and self.diffusion:
            losses['loss_diffusion'] = self.diffusion * diffusion.mean()
        return losses
