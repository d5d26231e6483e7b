"""Masked language modelling: which tokens are hidden, and the loss at them."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

IGNORED = -100


class MaskingDraws(NamedTuple):
    """Random draws of one batch of texts, each (B, L).

    Attributes:
        target: whether the token would be a target.
        hide: whether a target becomes the mask token.
        swap: whether a target that does not becomes a random token.
        words: random token ids.
    """

    target: Tensor
    hide: Tensor
    swap: Tensor
    words: Tensor


class TokenMasker:
    """Chooses targets of masked language modelling and hides them (BERT, arXiv 1810.04805).

    Of the targets 80 % become the mask token, 10 % a random token, 10 % stay.  Padding and the
    first token are never targets; the separator may be.

    Args:
        probability: of a token being a target.
        vocab_size, mask_id, pad_id, cls_id: of the vocabulary.

    Raises:
        ValueError: a probability outside [0, 1], or ids outside the vocabulary.
    """

    def __init__(
        self,
        probability: float = 0.5,
        vocab_size: int = 30522,
        mask_id: int = 103,
        pad_id: int = 0,
        cls_id: int = 101,
    ) -> None:
        if not 0.0 <= probability <= 1.0:
            raise ValueError(f'masking probability must be in [0, 1], got {probability}')
        wrong = [i for i in (mask_id, pad_id, cls_id) if not 0 <= i < vocab_size]
        if wrong:
            raise ValueError(f'token ids {wrong} are outside a vocabulary of {vocab_size}')
        self.probability, self.vocab_size, self.mask_id = probability, vocab_size, mask_id
        self.never = (pad_id, cls_id)

    def draw(self, shape: tuple[int, int], device: torch.device | str) -> MaskingDraws:
        """Fresh draws from torch's global generator."""
        # Draws come in the published order: targets, mask token, random token, its id.
        rates = (self.probability, 0.8, 0.5)  # of the fifth that is not hidden half is swapped
        flags = [torch.rand(shape, device=device) < rate for rate in rates]
        return MaskingDraws(*flags, torch.randint(self.vocab_size, shape, device=device))

    def __call__(
        self, input_ids: Tensor, draws: MaskingDraws | None = None
    ) -> tuple[Tensor, Tensor]:
        """(B, L) masked ids, and labels that are -100 where there is no target."""
        if draws is None:
            draws = self.draw(tuple(input_ids.shape), input_ids.device)
        targets = draws.target.bool()
        for token in self.never:
            targets = targets & (input_ids != token)
        hide = targets & draws.hide.bool()
        swap = targets & ~hide & draws.swap.bool()
        masked = torch.where(swap, draws.words, input_ids.masked_fill(hide, self.mask_id))
        return masked, input_ids.masked_fill(~targets, IGNORED)


def targets_only(hidden: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """(B, L, D) states and (B, L) labels, on the CPU without the rows that the loss ignores.

    The vocabulary makes the head dear.  Other devices keep all rows, whose number would have to
    be waited for, and so do stand-ins of tensors, which hold no numbers to choose by.
    """
    if hidden.device.type != 'cpu' or type(hidden) is not Tensor:
        return hidden, labels
    is_target = labels != IGNORED
    return hidden[is_target], labels[is_target]


def masked_language_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy of (..., V) logits over the targets, or 0 when there is none."""
    logits, labels = logits.float().flatten(0, -2), labels.flatten()
    # A mean over no targets would be NaN.
    total = F.cross_entropy(logits, labels, ignore_index=IGNORED, reduction='sum')
    return total / (labels != IGNORED).sum().clamp_min(1)
