"""Prediction of a target network's tokens where the student saw nothing."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from internvideo.models.losses.alignment import alignment_distance
from internvideo.models.masks.token_masks import visible_indices
from internvideo.ops.features import normalise
from internvideo.registry import MODELS


def hidden_tokens(tokens: Tensor, mask: Tensor, num_hidden: int) -> Tensor:
    """Tokens (B, N, D) at the ``num_hidden`` True places of each row of (B, N): (B, H, D)."""
    fits = (mask.sum(dim=1) == num_hidden).all()
    # Asynchronous: an ordinary check would wait for the device in every step.
    torch._assert_async(fits, f'mask does not hide {num_hidden} tokens of each clip')
    return tokens.take_along_dim(visible_indices(~mask, num_hidden)[:, :, None], dim=1)


@MODELS.register_module()
class LatentPredictionLoss(nn.Module):
    """Cosine distance of predicted and target tokens (arXiv 2512.01342, second stage).

    Each mask contributes the mean over its hidden tokens of ``2 - 2 cos``; both sides are divided
    by their l2 norm here.
    """

    def forward(
        self, predictions: Sequence[Tensor], target: Tensor, masks: Sequence[Tensor]
    ) -> dict[str, Tensor]:
        """Compute ``{'loss_mask0': ..., ...}``, whose sum is the objective.

        Args:
            predictions: of each mask the predicted tokens (B, H, D) at its hidden places, in
                raster order.
            target: (B, N, D) tokens of the target network for the unmasked clip.
            masks: (B, N) bool each, True = hidden; all rows of one hide the same number.

        Raises:
            ValueError: another number of predictions than masks, or other widths.
            RuntimeError: a mask that hides another number of tokens than are predicted.
        """
        if len(predictions) != len(masks):
            raise ValueError(f'{len(predictions)} predictions face {len(masks)} masks')
        losses = {}
        for index, (predicted, mask) in enumerate(zip(predictions, masks, strict=True)):
            wanted = hidden_tokens(target, mask, predicted.shape[1])
            losses[f'loss_mask{index}'] = alignment_distance(
                [normalise(predicted, 'l2')], [normalise(wanted, 'l2')]
            )
        return losses
