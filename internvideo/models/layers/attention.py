"""Multi-head attention: the one place that chooses a kernel."""

import importlib
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .kernels import Fused, has_flash_attn
from .linear import Linear
from .norm import RMSNorm


def _sdpa(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    q, k, v = q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)
    return F.scaled_dot_product_attention(q, k, v).transpose(1, 2)


def _eager(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    q, k, v = q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)
    # Scaled before the product, so that half precision does not overflow.
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)
    # Autocast on CUDA gives the softmax in float32.
    return (scores.softmax(dim=-1).to(v.dtype) @ v).transpose(1, 2)


def _flash_attn(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    dtype = _compute_dtype(q)
    if not q.is_cuda or dtype not in (torch.float16, torch.bfloat16):
        raise ValueError(
            "attn_backend='flash_attn' computes in float16 or bfloat16 on CUDA, got "
            f"{dtype} on {q.device.type}; use attn_backend='auto' or 'sdpa'"
        )
    # Imported here: a broken build of the package must not keep others from computing.
    kernel = importlib.import_module('flash_attn').flash_attn_func
    return kernel(q.to(dtype), k.to(dtype), v.to(dtype))


# Each takes and gives (B, tokens, heads, head_dim), the layout of flash_attn.
BACKENDS: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    'sdpa': _sdpa,
    'eager': _eager,
    'flash_attn': _flash_attn,
}


def check_attn_backend(name: str) -> str:
    """Return ``name`` if it can be used here.

    Raises:
        ValueError: no such backend.
        ImportError: ``'flash_attn'`` without the package.
    """
    if name != 'auto' and name not in BACKENDS:
        raise ValueError(f'attn_backend must be one of auto, {", ".join(BACKENDS)}, got {name!r}')
    if name == 'flash_attn' and not has_flash_attn():
        raise ImportError(
            "attn_backend='flash_attn' needs the package flash_attn, which is not installed; "
            "use attn_backend='auto' or 'sdpa' (same numbers)"
        )
    return name


def _compute_dtype(x: Tensor) -> torch.dtype:
    # Inside autocast a tensor may still be float32 where the kernel computes in bfloat16.
    device = x.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype


def auto_attn_backend(device: str, dtype: torch.dtype, num_tokens: int) -> str:
    """``sdpa`` or ``eager`` for one device, dtype and number of keys.

    Measured on one CPU core (torch 2.14, 4-6 heads of 64-88), time of sdpa / eager, forward and
    forward + backward: bfloat16 2.0 / 3.0 at 197 tokens, 2.4 / 2.6 at 513, 1.9 / 2.2 at 1025,
    1.1 / 1.3 at 2049 and at 4097; float32 0.9 / 1.0 up to 1025 and 0.4 / 0.6 at 2049.  So eager
    serves short bfloat16 sequences on a CPU; at longer ones what it still gains is not worth
    its (heads, N, N) memory in every block.
    """
    if device == 'cpu' and dtype == torch.bfloat16 and num_tokens <= 1280:
        return 'eager'
    return 'sdpa'


def attend(q: Tensor, k: Tensor, v: Tensor, backend: str = 'auto') -> Tensor:
    """Compute attention of q (B, M, heads, head_dim) over k and v (B, N, heads, head_dim)."""
    if backend == 'auto':
        backend = auto_attn_backend(q.device.type, _compute_dtype(q), k.shape[1])
    return BACKENDS[backend](q, k, v)


class Attention(nn.Module):
    """Self-attention with one ``qkv`` map and optional RMSNorm of queries and keys.

    Queries and keys are normalised over the whole width, all heads together, before they are
    split into heads.

    Args:
        dim: width; must be divisible by ``num_heads``.
        qkv_bias: whether ``qkv`` has a bias.
        qk_normalization: whether ``q_norm`` and ``k_norm`` exist.
        backend: ``'auto'``, ``'sdpa'``, ``'flash_attn'`` or ``'eager'``.
        out_std: standard deviation of the initial ``proj`` weight.
    """

    def __init__(
        self,
        dim: int,
        num_heads: int,
        qkv_bias: bool = False,
        qk_normalization: bool = True,
        backend: str = 'auto',
        out_std: float = 0.02,
        fused: Fused = 'auto',
    ) -> None:
        super().__init__()
        if dim % num_heads:
            raise ValueError(f'embed_dim={dim} is not divisible by num_heads={num_heads}')
        self.num_heads = num_heads
        self.backend = check_attn_backend(backend)
        # One weight for the three, as published: all queries, then all keys, then all values.
        self.qkv = Linear(dim, 3 * dim, bias=qkv_bias)
        self.proj = Linear(dim, dim, std=out_std)
        self.q_norm = RMSNorm(dim, fused=fused) if qk_normalization else nn.Identity()
        self.k_norm = RMSNorm(dim, fused=fused) if qk_normalization else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, D) -> (B, N, D)."""
        q, k, v = self.qkv(x).chunk(3, dim=-1)
        q, k = self.q_norm(q), self.k_norm(k)
        q, k, v = (part.unflatten(-1, (self.num_heads, -1)) for part in (q, k, v))
        return self.proj(attend(q, k, v, self.backend).flatten(-2))
