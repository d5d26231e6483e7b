"""Cross-entropy with soft or smoothed targets, computed in float32."""

from torch import Tensor, nn
from torch.nn.functional import log_softmax

from internvideo.registry import MODELS

from .batch_targets import smooth_one_hot


def soft_target_cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Mean over rows of ``-sum(target * log_softmax(logits))`` for two tensors (B, K)."""
    return -(target * log_softmax(logits.float(), dim=-1)).sum(dim=-1).mean()


@MODELS.register_module()
class SoftTargetCrossEntropy(nn.Module):
    """Cross-entropy with soft targets (B, K) or class indices (B,)."""

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        if target.ndim == 1:
            target = smooth_one_hot(target, logits.shape[1])
        return soft_target_cross_entropy(logits, target)


@MODELS.register_module()
class LabelSmoothingCrossEntropy(nn.Module):
    """Cross-entropy with smoothed class indices (B,) or soft targets (B, K) as they are.

    Args:
        smoothing: mass spread evenly over all classes; 0 is plain cross-entropy.
    """

    def __init__(self, smoothing: float = 0.1) -> None:
        super().__init__()
        if not 0.0 <= smoothing < 1.0:
            raise ValueError(f'smoothing must be in [0, 1), got {smoothing}')
        self.smoothing = smoothing

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        if target.ndim == 1:
            target = smooth_one_hot(target, logits.shape[1], self.smoothing)
        return soft_target_cross_entropy(logits, target)
