"""Attention pooling: one query, the mean of the tokens, attends to all of them."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .attention import attend, check_attn_backend
from .linear import Linear


class CrossAttention(nn.Module):
    """Attention of queries (B, M, D) to keys and values (B, N, D), projected to ``out_dim``.

    The biases of the three input maps are parameters of their own (``q_bias``, ``k_bias``,
    ``v_bias``), as in the published checkpoints.
    """

    def __init__(self, dim: int, num_heads: int, out_dim: int, backend: str = 'auto') -> None:
        super().__init__()
        if dim % num_heads:
            raise ValueError(f'embed_dim={dim} is not divisible by attn_pool_num_heads={num_heads}')
        self.num_heads = num_heads
        self.backend = check_attn_backend(backend)
        self.q_bias = nn.Parameter(torch.empty(dim))
        self.k_bias = nn.Parameter(torch.empty(dim))
        self.v_bias = nn.Parameter(torch.empty(dim))
        self.q = Linear(dim, dim, bias=False)
        self.k = Linear(dim, dim, bias=False)
        self.v = Linear(dim, dim, bias=False)
        self.proj = Linear(dim, out_dim)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        for bias in (self.q_bias, self.k_bias, self.v_bias):
            nn.init.zeros_(bias)

    def _heads(self, x: Tensor, linear: Linear, bias: Tensor) -> Tensor:
        return F.linear(x, linear.weight, bias).unflatten(-1, (self.num_heads, -1))

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, return_attn: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """Return (B, M, out_dim) and, when asked, the attention (B, heads, M, N)."""
        q = self._heads(query, self.q, self.q_bias)
        k = self._heads(key, self.k, self.k_bias)
        v = self._heads(value, self.v, self.v_bias)
        attn = None
        if return_attn:  # kernels do not give out their scores
            scores = torch.einsum('bmhd,bnhd->bhmn', q * q.shape[-1] ** -0.5, k)
            attn = scores.softmax(dim=-1)
        # The output is the kernel's either way: asking for the scores changes no feature.
        return self.proj(attend(q, k, v, self.backend).flatten(-2)), attn


class AttentionPooling(nn.Module):
    """(B, N, D) tokens -> (B, out_dim), as InternVL (arXiv 2312.14238) pools its tokens.

    Args:
        dim: token width.
        num_heads: heads of the cross-attention.
        out_dim: width of the pooled vector.
        backend: attention backend.
    """

    def __init__(self, dim: int, num_heads: int, out_dim: int, backend: str = 'auto') -> None:
        super().__init__()
        # As published: queries, keys and values have norms of their own, with another eps than the
        # blocks.
        self.norm1_q = nn.LayerNorm(dim, eps=1e-5)
        self.norm1_k = nn.LayerNorm(dim, eps=1e-5)
        self.norm1_v = nn.LayerNorm(dim, eps=1e-5)
        self.cross_attn = CrossAttention(dim, num_heads, out_dim, backend)

    def forward(self, tokens: Tensor, return_attn: bool = False) -> tuple[Tensor, Tensor | None]:
        """Return (B, out_dim) and, when asked, the attention averaged over heads (B, N)."""
        # The class token counts in the mean, as in training of the published weights.
        query = self.norm1_q(tokens.mean(dim=1, keepdim=True))
        pooled, attn = self.cross_attn(
            query, self.norm1_k(tokens), self.norm1_v(tokens), return_attn
        )
        return pooled[:, 0], None if attn is None else attn.mean(dim=1)[:, 0]
