"""Layers cut from ModernBERT (arXiv 2412.13663), which predict hidden tokens from visible ones."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from internvideo.models.layers.linear import Linear
from internvideo.registry import MODELS
from internvideo.structures.rehearsal import SmallSizes


class RotaryAttention(nn.Module):
    """Self-attention with rotary positions, over all tokens or a window around each.

    Args:
        dim: width.
        num_heads: heads.
        base: of the rotary frequencies.
        reach: tokens to either side that a token sees; None: all.

    Raises:
        ValueError: a width that the heads do not divide into even parts.
    """

    def __init__(self, dim: int, num_heads: int, base: float, reach: int | None) -> None:
        super().__init__()
        if dim % (2 * num_heads):
            raise ValueError(f'hidden_size={dim} does not give {num_heads} heads of even width')
        self.num_heads, self.base, self.reach = num_heads, base, reach
        self.Wqkv = Linear(dim, 3 * dim, bias=False)
        self.Wo = Linear(dim, dim, bias=False)

    def forward(self, x: Tensor, present: Tensor | None = None) -> Tensor:
        """(B, N, D) -> (B, N, D), with ``present`` (B, N) False where a row is filled up."""
        length = x.shape[1]
        qkv = self.Wqkv(x).unflatten(-1, (3, self.num_heads, -1))
        q, k, v = (part.transpose(1, 2) for part in qkv.unbind(2))
        cos, sin = rotary_tables(length, q.shape[-1], self.base, x.device)
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        if self.reach is None:
            mask = None if present is None else present[:, None, None]
            out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        elif length > 3 * self.reach:
            out = window_attention(q, k, v, self.reach, present)
        else:
            mask = window(length, self.reach, x.device)
            if present is not None:
                mask = mask & present[:, None, None]
                # A row that sees nothing would be no number.
                mask = mask | torch.eye(length, dtype=torch.bool, device=x.device)
            out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return self.Wo(out.transpose(1, 2).flatten(2))


def rotary_tables(
    length: int, width: int, base: float, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Cosines and sines (``length``, ``width``) of positions from 0, halves alike, float32."""
    index = torch.arange(0, width, 2, dtype=torch.float32, device=device)
    frequency = 1.0 / base ** (index / width)
    angle = torch.arange(length, dtype=torch.float32, device=device)[:, None] * frequency
    angle = torch.cat([angle, angle], dim=-1)
    return angle.cos(), angle.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate (..., N, W) by position, channel k together with k + W / 2."""
    first, second = x.float().chunk(2, dim=-1)
    return (x.float() * cos + torch.cat([-second, first], dim=-1) * sin).to(x.dtype)


def window(length: int, reach: int, device: torch.device) -> Tensor:
    """(N, N) bool: which tokens lie within ``reach`` of each."""
    places = torch.arange(length, device=device)
    return (places[:, None] - places).abs() <= reach


def window_attention(
    q: Tensor, k: Tensor, v: Tensor, reach: int, present: Tensor | None = None
) -> Tensor:
    """Attention (B, heads, N, W) within a window, in blocks of ``reach`` queries.

    Each block sees three blocks of keys in place of all, so that the cost grows with N, not with
    its square.
    """
    batch, length = len(q), q.shape[2]
    blocks = -(-length // reach)
    extra = blocks * reach - length
    q = F.pad(q, (0, 0, 0, extra)).unflatten(2, (blocks, reach))
    k, v = (_neighbours(part, reach, extra) for part in (k, v))
    there = torch.ones(batch, length, dtype=torch.bool, device=q.device)
    there = F.pad(there if present is None else present, (reach, reach + extra))
    there = there.unfold(1, 3 * reach, reach)[:, :, None]
    # Query i of a block is key i + reach of its three.
    places = torch.arange(3 * reach, device=q.device)
    near = (places[:reach, None] + reach - places).abs() <= reach
    own = places[:reach, None] + reach == places
    # A row that sees nothing would be no number.
    mask = ((near & there) | own).flatten(0, 1)[:, None]
    q, k, v = (part.transpose(1, 2).flatten(0, 1) for part in (q, k, v))
    out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    out = out.unflatten(0, (batch, blocks)).transpose(1, 2).flatten(2, 3)
    return out[:, :, :length]


def _neighbours(x: Tensor, reach: int, extra: int) -> Tensor:
    """(B, heads, N, W) -> (B, heads, blocks, 3 * reach, W): a block and those beside it."""
    padded = F.pad(x, (0, 0, reach, reach + extra))
    return padded.unfold(2, 3 * reach, reach).transpose(-1, -2)


class GatedMlp(nn.Module):
    """``Wo(gelu(a) * g)`` with ``a, g`` the halves of ``Wi(x)``, exact GELU."""

    def __init__(self, dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.Wi = Linear(dim, 2 * hidden_dim, bias=False)
        self.Wo = Linear(hidden_dim, dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        value, gate = self.Wi(x).chunk(2, dim=-1)
        return self.Wo(F.gelu(value) * gate)


class ModernBertLayer(nn.Module):
    """Pre-norm layer: attention and gated MLP, neither with biases."""

    def __init__(self, dim: int, hidden_dim: int, norm_eps: float, attn: RotaryAttention) -> None:
        super().__init__()
        self.attn_norm = nn.LayerNorm(dim, eps=norm_eps, bias=False)
        self.attn = attn
        self.mlp_norm = nn.LayerNorm(dim, eps=norm_eps, bias=False)
        self.mlp = GatedMlp(dim, hidden_dim)

    def forward(self, x: Tensor, present: Tensor | None = None) -> Tensor:
        x = x + self.attn(self.attn_norm(x), present)
        return x + self.mlp(self.mlp_norm(x))


@MODELS.register_module()
class ModernBertLayers(BaseModule):
    """Some layers of a ModernBERT over vectors, without embeddings and without a norm behind.

    Defaults are the last five of ModernBERT-large, the predictor of InternVideo-Next (arXiv
    2512.01342).  Parameters carry the names of the text model, counted from 0.

    Args:
        hidden_size: width.
        num_heads: heads.
        intermediate_size: width of the gated MLP.
        layer_ids: which layers of the text model these are, from 0.
        global_layer_ids: those that see all tokens; the others see a window.
        local_attention: width of that window: half of it to either side.
        global_rope_theta, local_rope_theta: bases of the rotary frequencies.
        norm_eps: of the LayerNorms.
        checkpoint_num: recompute the activations of that many first layers when training.

    Raises:
        ValueError: no layers, or sizes that do not divide.
    """

    def __init__(
        self,
        hidden_size: int = 1024,
        num_heads: int = 16,
        intermediate_size: int = 2624,
        layer_ids: Sequence[int] = (23, 24, 25, 26, 27),
        global_layer_ids: Sequence[int] = (24, 27),
        local_attention: int = 128,
        global_rope_theta: float = 160_000.0,
        local_rope_theta: float = 10_000.0,
        norm_eps: float = 1e-5,
        checkpoint_num: int = 0,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        unknown = sorted(set(global_layer_ids) - set(layer_ids))
        if not layer_ids or unknown or local_attention < 2:
            raise ValueError(
                f'layer_ids={list(layer_ids)} must name a layer and the global ones ({unknown} '
                f'are not among them), and local_attention={local_attention} be 2 at least'
            )
        self.hidden_size, self.layer_ids = hidden_size, tuple(layer_ids)
        self.checkpoint_num = checkpoint_num
        layers = []
        for number in layer_ids:
            sees_all = number in global_layer_ids
            base = global_rope_theta if sees_all else local_rope_theta
            reach = None if sees_all else local_attention // 2
            attn = RotaryAttention(hidden_size, num_heads, base, reach)
            layers.append(ModernBertLayer(hidden_size, intermediate_size, norm_eps, attn))
        self.layers = nn.ModuleList(layers)

    @classmethod
    def shrink(cls, config: dict, small: SmallSizes) -> dict:
        """Offer a small copy to a rehearsal."""
        sizes = dict(hidden_size=small.width, num_heads=small.heads, intermediate_size=small.width)
        return config | sizes

    def forward(
        self, x: Tensor, present: Tensor | None = None, return_layers: bool = False
    ) -> Tensor | list[Tensor]:
        """(B, N, D) -> (B, N, D), or the output of every layer.

        Args:
            x: sequences, their positions counted from 0.
            present: (B, N) bool, False where a sequence is filled up to the longest; None: nowhere.
            return_layers: give a list with each layer's output.
        """
        found = []
        for index, layer in enumerate(self.layers):
            if index < self.checkpoint_num and self.training and torch.is_grad_enabled():
                x = checkpoint(layer, x, present, use_reentrant=False)
            else:
                x = layer(x, present)
            found.append(x)
        return found if return_layers else x
