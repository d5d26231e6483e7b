"""The two-layer perceptron of a transformer block."""

import functools

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from .kernels import Fused, fused_mlp
from .linear import Linear

ACTIVATIONS = {'gelu': F.gelu, 'gelu_tanh': functools.partial(F.gelu, approximate='tanh')}


class Mlp(nn.Module):
    """``fc2(act(fc1(x)))`` on the last axis.

    Args:
        in_dim, hidden_dim, out_dim: widths; ``out_dim`` defaults to ``in_dim``.
        act: ``'gelu_tanh'`` (what released InternVideo2 weights were trained with) or ``'gelu'``.
        out_std: standard deviation of the initial ``fc2`` weight.
        fused: as for :class:`~internvideo.models.layers.norm.RMSNorm`; the kernel knows the tanh
            GELU only.
        recompute: keep the input of the activation for the backward pass, and compute its output
            again there: a quarter of what a transformer block keeps, for a few per cent of its
            time.

    Raises:
        ValueError: unknown ``act``, or ``fused=True`` with another activation than ``gelu_tanh``.
        ImportError: ``fused`` is True and the kernel is missing.
    """

    def __init__(
        self,
        in_dim: int,
        hidden_dim: int,
        out_dim: int | None = None,
        act: str = 'gelu_tanh',
        out_std: float = 0.02,
        fused: Fused = 'auto',
        recompute: bool = False,
    ) -> None:
        super().__init__()
        if act not in ACTIVATIONS:
            raise ValueError(f'act must be one of {", ".join(ACTIVATIONS)}, got {act!r}')
        if fused is True and act != 'gelu_tanh':
            raise ValueError(f"fused=True computes act='gelu_tanh', got act={act!r}")
        self.act, self.recompute = act, recompute
        self.fc1 = Linear(in_dim, hidden_dim)
        self.fc2 = Linear(hidden_dim, out_dim or in_dim, std=out_std)
        self._kernel = fused_mlp(fused) if act == 'gelu_tanh' else None
        self._kernel_anywhere = fused is True

    def forward(self, x: Tensor) -> Tensor:
        # On a CPU the kernel raises, which is the answer to fused=True alone.
        if self._kernel is not None and (x.is_cuda or self._kernel_anywhere):
            return self._kernel(x, self.fc1, self.fc2)
        hidden = self.fc1(x)
        # A compiler decides by itself what is worth keeping.
        if self.recompute and torch.is_grad_enabled() and not torch.compiler.is_compiling():
            # Recomputing stops at the last kept tensor: the product of fc2 is not taken again.
            return checkpoint(self._activate, hidden, use_reentrant=False, preserve_rng_state=False)
        return self._activate(hidden)

    def _activate(self, hidden: Tensor) -> Tensor:
        return self.fc2(ACTIVATIONS[self.act](hidden))
