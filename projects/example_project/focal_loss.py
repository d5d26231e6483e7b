"""Focal loss."""

from torch import Tensor, nn
from torch.nn.functional import log_softmax, one_hot

from internvideo.registry import MODELS


@MODELS.register_module()
class FocalLoss(nn.Module):
    """Mean of ``-sum_k t_k (1 - p_k)^gamma log p_k`` (arXiv 1708.02002, equation 4).

    Takes class indices (B,) or soft targets (B, K) such as mixup makes.

    Args:
        gamma: how much well-classified clips are weighed down; 0 is cross-entropy.
    """

    def __init__(self, gamma: float = 2.0) -> None:
        super().__init__()
        self.gamma = gamma

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        if target.ndim == 1:
            target = one_hot(target, logits.shape[1])
        log_prob = log_softmax(logits.float(), dim=-1)
        weight = (1 - log_prob.exp()) ** self.gamma
        return -(target * weight * log_prob).sum(dim=-1).mean()
