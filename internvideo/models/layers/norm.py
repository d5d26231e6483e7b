"""Root-mean-square normalisation, and batch statistics that are counted once."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx, once_differentiable

from .kernels import Fused, fused_rms_norm


def _statistics_dtype(dtype: torch.dtype) -> torch.dtype:
    return torch.float64 if dtype == torch.float64 else torch.float32


def _inverse_rms(x: Tensor, eps: float) -> Tensor:
    norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=_statistics_dtype(x.dtype))
    return norm.square_().div_(x.shape[-1]).add_(eps).rsqrt_()


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """``x / sqrt(mean(x ** 2) + eps) * weight``, cast to ``x.dtype`` before the weight."""
    mean_square = x.to(_statistics_dtype(x.dtype)).square().mean(-1, keepdim=True)
    return (x * torch.rsqrt(mean_square + eps)).to(x.dtype) * weight


class _RMSNormFunction(torch.autograd.Function):
    """:func:`rms_norm` that keeps its input and one number a token for the backward pass.

    Left to autograd, the chain of elementwise steps keeps three copies of the input and costs
    seven times a LayerNorm's backward pass on a CPU.
    """

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        inverse = _inverse_rms(x, eps)
        ctx.save_for_backward(x, weight, inverse)
        return (x * inverse).to(x.dtype) * weight

    @staticmethod
    # The in-place steps below would make a second derivative wrong; so it raises.
    @once_differentiable
    def backward(ctx: FunctionCtx, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        x, weight, inverse = ctx.saved_tensors
        # A backward pass may run inside autocast, which would round the products.
        with torch.autocast(x.device.type, enabled=False):
            normed = x * inverse
            product = (grad * normed).flatten(0, -2)
            grad_weight = product.sum(0).to(weight.dtype)
            # grad_x = inverse * (grad * weight - normed * mean(grad * weight * normed)).
            dot = (product @ weight.to(product.dtype)).view_as(inverse).div_(-x.shape[-1])
            grad_x = (grad * weight).to(normed.dtype).addcmul_(normed, dot).mul_(inverse)
            return grad_x.to(x.dtype), grad_weight, None


class RMSNorm(nn.Module):
    """RMSNorm over the last axis with a weight and no bias.

    Statistics are taken in float32 (float64 for float64 input) and the normalised value is cast
    back before the weight is applied, as the published weights were trained.

    Args:
        dim: length of the last axis.
        eps: added to the mean square.
        fused: ``'auto'`` uses a flash_attn or apex kernel on CUDA when there is one, ``True``
            insists on it, ``False`` never uses it.

    Raises:
        ImportError: ``fused`` is True and no kernel is installed.
    """

    def __init__(self, dim: int, eps: float = 1e-6, fused: Fused = 'auto') -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.empty(dim))
        self._kernel = fused_rms_norm(fused)
        self._kernel_anywhere = fused is True
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.ones_(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        if self._kernel is not None and (x.is_cuda or self._kernel_anywhere):
            return self._kernel(x, self.weight, self.eps)
        # A compiler fuses the plain form itself; without gradient there is nothing to keep.
        if torch.compiler.is_compiling() or not torch.is_grad_enabled():
            return rms_norm(x, self.weight, self.eps)
        return _RMSNormFunction.apply(x, self.weight, self.eps)

    def extra_repr(self) -> str:
        return f'{self.weight.numel()}, eps={self.eps}'


def batch_norms(module: nn.Module) -> list[nn.Module]:
    """Modules inside that keep running statistics of the batches that they see."""
    kinds = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
    found = (inner for inner in module.modules() if isinstance(inner, kinds))
    return [norm for norm in found if norm.track_running_stats]


@contextmanager
def uncounted_statistics(norms: Sequence[nn.Module]) -> Iterator[None]:
    """Let batch norms normalise as they do and leave their running statistics as they are.

    For activations that are computed again: the batch counts once.
    """
    counts = [(norm.momentum, norm.num_batches_tracked.clone()) for norm in norms]
    try:
        for norm in norms:
            # Passed to the kernel all the same, which would keep other tensors without them.
            norm.momentum = 0.0
        yield
    finally:
        for norm, (momentum, count) in zip(norms, counts, strict=True):
            norm.momentum = momentum
            norm.num_batches_tracked.copy_(count)
