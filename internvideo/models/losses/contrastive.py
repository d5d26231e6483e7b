"""Contrastive learning between two modalities, over the batches of all processes."""

import torch
from torch import Tensor, nn

from internvideo.ops.features import normalise
from internvideo.registry import MODELS

from .gathering import check_gather_gradient, gather_features, share_gradient, share_value, world

AGGREGATES = ('mean', 'max')


def similarity(first: Tensor, second: Tensor, temp: Tensor | float, how: str = 'mean') -> Tensor:
    """(M, N) inner products over temperature of unit vectors.

    Args:
        first, second: (M, D) and (N, D); one of them may be (..., L, D), whose products are
            averaged over its tokens (``how='mean'``) or of which the largest counts (``'max'``).
        temp: temperature.

    Raises:
        ValueError: both have a token axis, or ``how`` is unknown.
    """
    check_aggregate(how)
    if first.ndim + second.ndim > 5:
        raise ValueError('only one side of a similarity may have a token axis')
    if first.ndim == second.ndim:
        return first @ second.T / temp
    letters = 'mld,nd->mnl' if first.ndim == 3 else 'md,nld->mnl'
    products = torch.einsum(letters, first, second) / temp
    return products.mean(dim=-1) if how == 'mean' else products.amax(dim=-1)


def check_aggregate(how: str) -> str:
    """Return ``how`` if it names a way to reduce tokens, else raise ValueError."""
    if how not in AGGREGATES:
        raise ValueError(f'aggregate must be one of {", ".join(AGGREGATES)}, got {how!r}')
    return how


def match_matrix(ids: Tensor | None, others: Tensor | None, like: Tensor) -> Tensor:
    """Mask (M, N) of ``like``'s shape, true for equal ids or, without ids, on the diagonal."""
    if ids is None:
        return torch.eye(*like.shape, dtype=torch.bool, device=like.device)
    return ids[:, None] == others[None]


def contrastive_rows(scores: Tensor, matches: Tensor) -> Tensor:
    """Mean over rows of the cross-entropy against uniform targets over the row's matches."""
    log_p = scores.float().log_softmax(dim=-1)
    return -((log_p * matches).sum(dim=-1) / matches.sum(dim=-1)).mean()


@MODELS.register_module()
class ContrastiveLoss(nn.Module):
    """Symmetric contrastive loss in which all pairs of one id are positives.

    Every process computes the rows of its own batch against the columns of all, so memory grows
    linearly with the global batch; the value is the mean over processes.

    Args:
        gather_gradient: ``'local'``: features get one W-th of the gradient of the global loss
            once parameter gradients are averaged over W processes, while the temperature gets
            all of it, as in the published code and for its learning rates; ``'sum'``: both get
            the gradient of the global loss.
        aggregate: ``'mean'`` or ``'max'`` over tokens where one side has a token axis.

    Raises:
        ValueError: an unknown option.
    """

    def __init__(self, gather_gradient: str = 'local', aggregate: str = 'mean') -> None:
        super().__init__()
        self.gather_gradient = check_gather_gradient(gather_gradient)
        self.aggregate = check_aggregate(aggregate)

    def forward(
        self, first: Tensor, second: Tensor, temp: Tensor, ids: Tensor | None = None
    ) -> Tensor:
        """Scalar loss.

        Args:
            first, second: (B, D) features, row by row of one pair; one may be (B, L, D).  They
                are normalised here.
            temp: scalar temperature.
            ids: (B,) integers; rows of equal id, anywhere in the global batch, are positives of
                each other.  None: only row and column of the same pair.

        Raises:
            ValueError: both sides have a token axis, or batch sizes differ.
        """
        if len(first) != len(second) or (ids is not None and len(ids) != len(first)):
            raise ValueError(f'batches of {len(first)} and {len(second)} features do not pair up')
        # Autocast would round the products, whose errors a temperature of 0.01 makes large.
        with torch.autocast(first.device.type, enabled=False):
            sides = [
                gather_features(normalise(x, 'l2'), self.gather_gradient) for x in (first, second)
            ]
            loss = self._local_loss(*sides, share_gradient(temp), ids, len(first))
        return share_value(loss)

    def _local_loss(
        self, first: Tensor, second: Tensor, temp: Tensor, ids: Tensor | None, batch: int
    ) -> Tensor:
        # Features are gathered in the order of ranks, from batches of one size.
        start = world()[0] * batch
        rows = slice(start, start + batch)
        if ids is None:  # every pair of the global batch has an id of its own
            ids = torch.arange(start, start + batch, device=first.device)
        all_ids = gather_features(ids)
        matches = match_matrix(ids, all_ids, first)
        forth = similarity(first[rows], second, temp, self.aggregate)
        back = similarity(second[rows], first, temp, self.aggregate)
        return (contrastive_rows(forth, matches) + contrastive_rows(back, matches)) / 2
