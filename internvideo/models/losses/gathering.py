"""Gathering of the features of all processes with their gradients."""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

GATHER_GRADIENTS = ('local', 'sum')


def world() -> tuple[int, int]:
    """(rank, number of processes)."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: float) -> Tensor:
        ctx.scale, ctx.rows = scale, len(x)
        return _all_gather(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        # Every process has a gradient for the features of all: add up those for its own.
        grad = grad.contiguous()
        dist.all_reduce(grad)
        start = dist.get_rank() * ctx.rows
        return grad[start : start + ctx.rows] * ctx.scale, None


class _MeanGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        # all_reduce works in place, on a gradient that may serve others as well.
        grad = grad.clone()
        dist.all_reduce(grad)
        return grad / dist.get_world_size()


def _all_gather(x: Tensor) -> Tensor:
    parts = [torch.empty_like(x) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, x.contiguous())
    return torch.cat(parts)


def gather_features(x: Tensor, gradient: str = 'sum') -> Tensor:
    """Gather (B, ...) of every process, with equal B, into (W B, ...) in rank order.

    The loss of each process may depend on the features of all.  ``gradient`` says what comes
    back to the features of this one: ``'sum'``, the gradients of all processes' losses added up;
    ``'local'``, their mean.  Averaging parameter gradients over processes then gives the
    gradient of the mean of all losses (``'sum'``), or one W-th of it (``'local'``).

    Raises ValueError for another ``gradient``.
    """
    check_gather_gradient(gradient)
    processes = world()[1]
    if processes == 1:
        return x
    if not x.is_floating_point():  # ids have no gradient
        return _all_gather(x)
    return _Gather.apply(x, 1.0 if gradient == 'sum' else 1.0 / processes)


def check_gather_gradient(gradient: str) -> str:
    """Return ``gradient`` if it is known, else raise ValueError."""
    if gradient not in GATHER_GRADIENTS:
        known = ', '.join(GATHER_GRADIENTS)
        raise ValueError(f'gather_gradient must be one of {known}, got {gradient!r}')
    return gradient


def share_gradient(x: Tensor) -> Tensor:
    """``x``, which all processes hold alike, with its gradient averaged over them."""
    return x if world()[1] == 1 else _MeanGradient.apply(x)


def share_value(loss: Tensor) -> Tensor:
    """``loss`` with the mean of all processes as its value and its own gradient."""
    processes = world()[1]
    if processes == 1:
        return loss
    mean = loss.detach().clone()
    dist.all_reduce(mean)
    # The bracket is a constant: it changes the value and leaves the gradient alone.
    return loss + (mean / processes - loss.detach())
