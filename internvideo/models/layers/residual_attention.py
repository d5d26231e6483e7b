"""Transformer parts of CLIP (arXiv 2103.00020) under their published names, batch first.

The published layers take (tokens, batch, width); these take (batch, tokens, width), so that
stochastic depth drops samples, not token positions.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from .attention import attend, check_attn_backend
from .linear import Linear
from .residual import DropPath

QUICK = 1.702
"""Slope inside CLIP's activation ``x * sigmoid(1.702 x)``."""


class MultiheadAttention(nn.Module):
    """Attention with the parameters of ``torch.nn.MultiheadAttention``, computed by one kernel.

    Args:
        dim: width; must be divisible by ``num_heads``.
        attn_backend: ``'auto'``, ``'sdpa'``, ``'flash_attn'`` or ``'eager'``.
        is_causal: a token sees itself and those before it; computed by torch's own kernel.
        in_std, out_std: standard deviations of the initial maps.
    """

    def __init__(
        self,
        dim: int,
        num_heads: int,
        attn_backend: str = 'auto',
        is_causal: bool = False,
        in_std: float = 0.02,
        out_std: float = 0.02,
    ) -> None:
        super().__init__()
        if dim % num_heads:
            raise ValueError(f'width={dim} is not divisible by num_heads={num_heads}')
        self.num_heads, self.is_causal = num_heads, is_causal
        self.backend = check_attn_backend(attn_backend)
        self.in_proj_weight = nn.Parameter(torch.empty(3 * dim, dim))
        self.in_proj_bias = nn.Parameter(torch.empty(3 * dim))
        self.out_proj = Linear(dim, dim, std=out_std)
        nn.init.normal_(self.in_proj_weight, std=in_std)
        nn.init.zeros_(self.in_proj_bias)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """(B, M, D) queries over themselves or over ``context`` (B, N, D) -> (B, M, D).

        Raises ValueError for a context of causal attention.
        """
        if context is None:
            qkv = F.linear(x, self.in_proj_weight, self.in_proj_bias).chunk(3, dim=-1)
        elif self.is_causal:
            raise ValueError('causal attention has no other context than its own tokens')
        elif self.backend == 'auto' and x.shape[1] * self.num_heads < x.shape[-1]:
            # Fewer products than the D for each key and value.
            return self._attend_few(x, context)
        else:
            dim = x.shape[-1]
            weights = self.in_proj_weight.split([dim, 2 * dim])
            biases = self.in_proj_bias.split([dim, 2 * dim])
            keys_values = F.linear(context, weights[1], biases[1])
            qkv = (F.linear(x, weights[0], biases[0]), *keys_values.chunk(2, dim=-1))
        q, k, v = (part.unflatten(-1, (self.num_heads, -1)) for part in qkv)
        if self.is_causal:
            q, k, v = (part.transpose(1, 2) for part in (q, k, v))
            mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2)
        else:
            mixed = attend(q, k, v, self.backend)
        return self.out_proj(mixed.flatten(-2))

    def _attend_few(self, x: Tensor, context: Tensor) -> Tensor:
        """Attend without making keys and values: their maps act on the few queries and results.

        ``q (W_k c + b_k) = (W_k^T q) c + q b_k``, of which the softmax drops the last term, and
        ``sum_n a_n (W_v c_n + b_v) = W_v (sum_n a_n c_n) + b_v``.  Beside the context only the
        scores (B, M * heads, N) are kept.
        """
        weights = self.in_proj_weight.unflatten(0, (3, self.num_heads, -1))
        to_query, to_key, to_value = weights.unbind()
        bias = self.in_proj_bias.chunk(3)
        q = F.linear(x, to_query.flatten(0, 1), bias[0]).unflatten(-1, (self.num_heads, -1))
        q = torch.einsum('bmhd,hdc->bmhc', q * q.shape[-1] ** -0.5, to_key)
        scores = q.flatten(1, 2) @ context.transpose(1, 2)
        mixed = scores.softmax(dim=-1).to(context.dtype) @ context
        mixed = mixed.unflatten(1, (-1, self.num_heads))
        values = torch.einsum('bmhc,hdc->bmhd', mixed, to_value).flatten(-2)
        return self.out_proj(values + bias[2])


class QuickGELUMlp(nn.Module):
    """``c_proj(h * sigmoid(1.702 h))`` of ``h = c_fc(x)``, the MLP that CLIP was trained with.

    As ``silu(1.702 h) / 1.702``, whose factors go into the two matrix products: one pass over the
    wide tensor in place of three, and one tensor kept for the backward pass in place of two.

    Args:
        dim, hidden_dim: widths.
        in_std, out_std: standard deviations of the initial maps.
        dropout: behind the activation.
    """

    def __init__(
        self,
        dim: int,
        hidden_dim: int,
        in_std: float = 0.02,
        out_std: float = 0.02,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.c_fc = Linear(dim, hidden_dim, std=in_std)
        self.dropout = nn.Dropout(dropout)
        self.c_proj = Linear(hidden_dim, dim, std=out_std)

    def forward(self, x: Tensor) -> Tensor:
        """(..., D) -> (..., D)."""
        hidden = _scaled_map(x.flatten(0, -2), self.c_fc, QUICK, QUICK)
        hidden = F.silu(hidden, inplace=not hidden.requires_grad)
        return _scaled_map(self.dropout(hidden), self.c_proj, 1 / QUICK, 1.0).view_as(x)


def _scaled_map(x: Tensor, linear: nn.Linear, scale: float, bias_scale: float) -> Tensor:
    return torch.addmm(linear.bias, x, linear.weight.t(), beta=bias_scale, alpha=scale)


class ResidualAttentionBlock(nn.Module):
    """Pre-norm residual attention block: ``ln_1``, ``attn``, ``ln_2``, ``mlp``.

    Args:
        dim, num_heads, hidden_dim: widths; ``hidden_dim`` None: four times ``dim``.
        drop_path: stochastic depth rate of both branches, by samples.
        attn_backend, is_causal: as for :class:`MultiheadAttention`.
        depth: blocks of the whole tower, for CLIP's initialisation.
    """

    def __init__(
        self,
        dim: int,
        num_heads: int,
        hidden_dim: int | None = None,
        drop_path: float = 0.0,
        attn_backend: str = 'auto',
        is_causal: bool = False,
        depth: int = 12,
    ) -> None:
        super().__init__()
        # The standard deviations that CLIP starts from.
        residual_std = dim**-0.5 * (2 * depth) ** -0.5
        self.attn = MultiheadAttention(
            dim, num_heads, attn_backend, is_causal, in_std=dim**-0.5, out_std=residual_std
        )
        self.ln_1 = nn.LayerNorm(dim)
        self.mlp = QuickGELUMlp(dim, hidden_dim or 4 * dim, (2 * dim) ** -0.5, residual_std)
        self.ln_2 = nn.LayerNorm(dim)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, D) -> (B, N, D)."""
        x = x + self.drop_path(self.attn(self.ln_1(x)))
        return x + self.drop_path(self.mlp(self.ln_2(x)))


class ResidualTransformer(nn.Module):
    """Blocks under the published name ``resblocks``.

    Args:
        dim, depth, num_heads: sizes.
        drop_path_rate: stochastic depth of the last block; linear from 0.
        attn_backend, is_causal: as for :class:`MultiheadAttention`.
        checkpoint_num: recompute the activations of that many first blocks when training.
        hidden_dim: as for :class:`ResidualAttentionBlock`.
    """

    def __init__(
        self,
        dim: int,
        depth: int,
        num_heads: int,
        drop_path_rate: float = 0.0,
        attn_backend: str = 'auto',
        is_causal: bool = False,
        checkpoint_num: int = 0,
        hidden_dim: int | None = None,
    ) -> None:
        super().__init__()
        self.checkpoint_num = checkpoint_num
        # On the CPU even when the model is built on the meta device: the rates are numbers.
        rates = torch.linspace(0, drop_path_rate, depth, device='cpu').tolist()
        self.resblocks = nn.ModuleList(
            ResidualAttentionBlock(dim, num_heads, hidden_dim, rate, attn_backend, is_causal, depth)
            for rate in rates
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, D) -> (B, N, D)."""
        for index, block in enumerate(self.resblocks):
            recompute = index < self.checkpoint_num and self.training and torch.is_grad_enabled()
            x = checkpoint(block, x, use_reentrant=False) if recompute else block(x)
        return x
