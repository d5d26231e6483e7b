"""Matching: a fusion encoder tells pairs that belong together from hard negatives of the batch.

Source: ALBEF, arXiv 2107.07651, section 3.2.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from internvideo.ops.features import normalise

from .contrastive import match_matrix, similarity

IGNORED = -100
# As published: far below any draw of normal noise.
FORBIDDEN = -9999.0


class Negatives(NamedTuple):
    """Negatives within a batch of B pairs.

    Attributes:
        media: (B,) clip that does not belong to each text.
        text: (B,) text that does not belong to each clip.
        exist: (B,) bool; rows without any admissible negative are left out of the loss.
    """

    media: Tensor
    text: Tensor
    exist: Tensor


@torch.no_grad()
def negative_weights(
    media: Tensor, text: Tensor, temp: Tensor | float, ids: Tensor | None, aggregate: str = 'mean'
) -> tuple[Tensor, Tensor]:
    """Weights of hard negatives: texts of each clip (B, B) and clips of each text (B, B).

    Softmax of the similarities, zero where the ids agree, not renormalised.

    Args:
        media, text: (B, D) features of one batch; one may have a token axis.
        temp: temperature.
        ids: (B,) integers, or None for all different.
    """
    media, text = normalise(media, 'l2'), normalise(text, 'l2')
    scores = similarity(media, text, temp, aggregate).float()
    same = match_matrix(ids, ids, scores)
    # The published code adds 1e-4 to all scores before, which a softmax does not see; its 0.01
    # keeps an infinity or a NaN from stopping the draw.
    return tuple(
        weights.softmax(dim=1).masked_fill(same, 0.0).nan_to_num(0.01, 0.01, 0.01)
        for weights in (scores, scores.T)
    )


class NegativeSampler:
    """Draws one negative clip per text and one negative text per clip.

    Args:
        hard: draw in proportion to :func:`negative_weights`; otherwise uniformly among pairs of
            another id.
        aggregate: ``'mean'`` or ``'max'`` over the tokens of a feature that has a token axis.
    """

    def __init__(self, hard: bool = True, aggregate: str = 'mean') -> None:
        self.hard, self.aggregate = hard, aggregate

    @torch.no_grad()
    def __call__(
        self, media: Tensor, text: Tensor, temp: Tensor | float, ids: Tensor | None
    ) -> Negatives:
        """Draw from torch's global generator: first the media, then the texts."""
        if not self.hard:
            noise = [torch.randn(len(media), len(media), device=media.device) for _ in range(2)]
            return random_negatives(*noise, ids)
        to_text, to_media = negative_weights(media, text, temp, ids, self.aggregate)
        other = ~match_matrix(ids, ids, to_text)
        drawn = [_draw(weights, other) for weights in (to_media, to_text)]
        return Negatives(*drawn, other.any(dim=1))


def random_negatives(media_noise: Tensor, text_noise: Tensor, ids: Tensor | None) -> Negatives:
    """The largest of (B, B) noise among pairs of another id: a uniform draw."""
    same = match_matrix(ids, ids, media_noise)
    drawn = [(noise + FORBIDDEN * same).argmax(dim=1) for noise in (media_noise, text_noise)]
    return Negatives(*drawn, (~same).any(dim=1))


def _draw(weights: Tensor, other: Tensor) -> Tensor:
    """Draw one column per row, uniformly over ``other`` where the weights underflow."""
    weights = weights * other
    empty = weights.sum(dim=1, keepdim=True) == 0
    weights = torch.where(empty, other.to(weights.dtype), weights)
    # multinomial refuses a row of zeros; the loss leaves out what it draws here.
    weights = torch.where(other.any(dim=1, keepdim=True), weights, 1.0)
    return weights.multinomial(1)[:, 0]


def match_logits(
    encoder: Callable[..., Tensor],
    head: nn.Module,
    media: Tensor,
    text: Tensor,
    text_mask: Tensor,
    media_rows: Tensor,
    text_rows: Tensor,
) -> Tensor:
    """(P, 2) logits, second column = "belong together", of P pairs.

    Args:
        encoder: fusion encoder; its upper layers run on the text states.
        head: map from the first token's state to the two logits.
        media: (M, N, D) media tokens, whose keys are computed once however many pairs they are in.
        text, text_mask: (T, L, D) states of the text layers, (T, L) where there is text.
        media_rows, text_rows: (P,) what the pairs are made of.
    """
    fused = encoder(
        embeds=text[text_rows],
        attention_mask=text_mask[text_rows],
        media=media,
        rows=media_rows,
        mode='fusion',
    )
    return head(fused[:, 0])


def matching_loss(
    encoder: Callable[..., Tensor],
    head: nn.Module,
    media: Tensor,
    text: Tensor,
    text_mask: Tensor,
    negatives: Negatives,
) -> Tensor:
    """Mean cross-entropy over B matching pairs and 2 B others.

    Pairs whose negative does not exist are left out.
    """
    # One pass of the fusion encoder over positives, negative clips and negative texts.
    own = torch.arange(len(text), device=text.device)
    media_rows = torch.cat([own, negatives.media, own])
    text_rows = torch.cat([own, own, negatives.text])
    logits = match_logits(encoder, head, media, text, text_mask, media_rows, text_rows)
    wrong = torch.where(negatives.exist, 0, IGNORED)
    labels = torch.cat([torch.ones_like(own), wrong, wrong])
    return F.cross_entropy(logits.float(), labels, ignore_index=IGNORED)
