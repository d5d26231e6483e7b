"""The BEATs audio encoder (arXiv 2212.09058)."""

import math
import random
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from internvideo.registry import MODELS
from internvideo.structures.rehearsal import SmallSizes

ACTIVATIONS = ('gelu', 'relu', 'glu')


def relative_buckets(distance: Tensor, num_buckets: int, max_distance: int) -> Tensor:
    """Bucket of each signed distance (key minus query): exact when near, logarithmic beyond.

    Half of the buckets serve keys after the query; ``max_distance`` and more share the last.
    """
    half = num_buckets // 2
    exact = half // 2
    size = distance.abs()
    # The ratio of float32 logarithms is what the published buckets were rounded from.
    scale = torch.log(size.clamp_min(1).float() / exact) / math.log(max_distance / exact)
    far = (exact + (scale * (half - exact)).long()).clamp_max(half - 1)
    return (distance > 0).long() * half + torch.where(size < exact, size, far)


class PositionalConv(nn.Module):
    """Grouped convolution over the tokens, its weight normalised over the taps.

    Parameters ``bias``, ``weight_g`` (1, 1, taps) and ``weight_v`` (D, D / groups, taps): the
    weight is ``g v / |v|``, the norm taken over the other two axes.
    """

    def __init__(self, dim: int, taps: int, groups: int) -> None:
        super().__init__()
        self.groups = groups
        self.bias = nn.Parameter(torch.zeros(dim))
        self.weight_v = nn.Parameter(torch.empty(dim, dim // groups, taps))
        nn.init.normal_(self.weight_v, std=math.sqrt(4 / (taps * dim)))
        self.weight_g = nn.Parameter(self._norm().detach())

    def _norm(self) -> Tensor:
        return torch.linalg.vector_norm(self.weight_v, dim=(0, 1), keepdim=True)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, D) -> (B, N, D)."""
        weight = self.weight_v * (self.weight_g / self._norm())
        taps = weight.shape[-1]
        y = F.conv1d(x.transpose(1, 2), weight, self.bias, padding=taps // 2, groups=self.groups)
        # An even number of taps gives one output too many.
        return F.gelu(y[..., : x.shape[1]]).transpose(1, 2)


class GatedLinear(nn.Module):
    """Gated layer: the first half of ``linear``'s output times the SiLU of the second."""

    def __init__(self, in_dim: int, out_dim: int) -> None:
        super().__init__()
        self.linear = nn.Linear(in_dim, 2 * out_dim)

    def forward(self, x: Tensor) -> Tensor:
        first, second = self.linear(x).chunk(2, dim=-1)
        return first * F.silu(second)


class RelativeAttention(nn.Module):
    """Self-attention with a relative position bias that each query may gate (section 3.1).

    Args:
        dim, num_heads: widths.
        num_buckets: rows of the bias table; 0: this layer has none (the first layer's table
            serves all).
        is_gated: scale the bias per query and head.
        dropout: of the attention.
    """

    def __init__(
        self, dim: int, num_heads: int, num_buckets: int, is_gated: bool, dropout: float
    ) -> None:
        super().__init__()
        if dim % num_heads:
            raise ValueError(
                f'encoder_embed_dim={dim} is not divisible by encoder_attention_heads={num_heads}'
            )
        self.num_heads, self.dropout = num_heads, dropout
        for name in ('q_proj', 'k_proj', 'v_proj', 'out_proj'):
            setattr(self, name, nn.Linear(dim, dim))
        if num_buckets:
            self.relative_attention_bias = nn.Embedding(num_buckets, num_heads)
        self.grep_linear = None
        if is_gated:
            self.grep_linear = nn.Linear(dim // num_heads, 8)
            self.grep_a = nn.Parameter(torch.ones(1, num_heads, 1, 1))

    def forward(self, x: Tensor, bias: Tensor | None, padding: Tensor | None) -> Tensor:
        """(B, N, D) tokens, (heads, N, N) bias, (B, N) bool padding -> (B, N, D)."""
        q, k, v = (
            proj(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for proj in (self.q_proj, self.k_proj, self.v_proj)
        )
        # The published code subtracts the largest score of each row before, which a softmax does
        # not see.
        mixed = F.scaled_dot_product_attention(
            q,
            k,
            v,
            attn_mask=self._mask(q, bias, padding),
            dropout_p=self.dropout if self.training else 0.0,
        )
        return self.out_proj(mixed.transpose(1, 2).flatten(2))

    def _mask(self, q: Tensor, bias: Tensor | None, padding: Tensor | None) -> Tensor | None:
        mask = None if bias is None else bias[None].to(q.dtype)
        if mask is not None and self.grep_linear is not None:
            # Reads the query before it is scaled; eight outputs make two gates, four summed in
            # each.
            first, second = self.grep_linear(q).unflatten(-1, (2, 4)).sum(-1).sigmoid().chunk(2, -1)
            mask = mask * (first * (second * self.grep_a - 1) + 2)
        if padding is None:
            return mask
        if mask is None:
            mask = q.new_zeros(len(q), 1, 1, q.shape[2])
        # Finite, so that a clip of nothing but padding gives no NaN.
        return mask.masked_fill(padding[:, None, None], torch.finfo(mask.dtype).min)


class BEATsLayer(nn.Module):
    """Transformer layer: post-norm with a residual scale, or pre-norm."""

    def __init__(
        self,
        dim: int,
        hidden_dim: int,
        attention: RelativeAttention,
        activation: str,
        norm_first: bool,
        residual_scale: float,
        dropout: float,
        activation_dropout: float,
    ) -> None:
        super().__init__()
        self.norm_first, self.residual_scale = norm_first, residual_scale
        self.activation = activation
        self.self_attn = attention
        self.self_attn_layer_norm = nn.LayerNorm(dim)
        self.fc1 = (GatedLinear if activation == 'glu' else nn.Linear)(dim, hidden_dim)
        self.fc2 = nn.Linear(hidden_dim, dim)
        self.final_layer_norm = nn.LayerNorm(dim)
        self.dropout = nn.Dropout(dropout)
        self.activation_dropout = nn.Dropout(activation_dropout)

    def feed_forward(self, x: Tensor) -> Tensor:
        hidden = self.fc1(x)
        if self.activation != 'glu':
            hidden = getattr(F, self.activation)(hidden)
        return self.dropout(self.fc2(self.activation_dropout(hidden)))

    def forward(self, x: Tensor, bias: Tensor | None, padding: Tensor | None) -> Tensor:
        if self.norm_first:
            x = x + self.dropout(self.self_attn(self.self_attn_layer_norm(x), bias, padding))
            return x + self.feed_forward(self.final_layer_norm(x))
        attended = self.dropout(self.self_attn(x, bias, padding))
        x = self.self_attn_layer_norm(self.residual_scale * x + attended)
        return self.final_layer_norm(self.residual_scale * x + self.feed_forward(x))


class _ScaledGradient(torch.autograd.Function):
    """Identity whose gradient is multiplied by a constant."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, x: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        # A view: autograd needs another tensor than its input.
        return x.view_as(x)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, grad: Tensor) -> tuple[Tensor, None]:
        return grad * ctx.factor, None


class BEATsTransformer(nn.Module):
    """Positional convolution, norm and layers, with the fields of :class:`BEATs`."""

    def __init__(
        self,
        dim: int,
        hidden_dim: int,
        depth: int,
        num_heads: int,
        activation: str,
        norm_first: bool,
        deep_norm: bool,
        relative_positions: bool,
        is_gated: bool,
        num_buckets: int,
        max_distance: int,
        conv_taps: int,
        conv_groups: int,
        gradient_ratio: float,
        layer_drop: float,
        dropout: float,
        attention_dropout: float,
        activation_dropout: float,
    ) -> None:
        super().__init__()
        self.num_buckets, self.max_distance = num_buckets, max_distance
        self.norm_first, self.relative_positions = norm_first, relative_positions
        self.gradient_ratio, self.layer_drop = gradient_ratio, layer_drop
        self.pos_conv = nn.Sequential(PositionalConv(dim, conv_taps, conv_groups))
        buckets = num_buckets if relative_positions else 0
        residual_scale = (2 * depth) ** 0.25 if deep_norm else 1.0
        self.layers = nn.ModuleList(
            BEATsLayer(
                dim,
                hidden_dim,
                RelativeAttention(
                    dim, num_heads, 0 if index else buckets, is_gated, attention_dropout
                ),
                activation,
                norm_first,
                residual_scale,
                dropout,
                activation_dropout,
            )
            for index in range(depth)
        )
        self.layer_norm = nn.LayerNorm(dim)
        self.dropout = nn.Dropout(dropout)
        self._reset(deep_norm)

    def _reset(self, deep_norm: bool) -> None:
        for name, module in self.named_modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)
                gain = (8 * len(self.layers)) ** -0.25
                # DeepNet (arXiv 2203.00555): what feeds the residual starts smaller, queries and
                # keys do not.
                if deep_norm and name.endswith(('v_proj', 'out_proj', 'fc1', 'fc2')):
                    nn.init.xavier_normal_(module.weight, gain=gain)
                elif deep_norm and name.endswith(('q_proj', 'k_proj')):
                    nn.init.xavier_normal_(module.weight)
            elif isinstance(module, nn.Embedding):
                nn.init.normal_(module.weight, std=0.02)

    def position_bias(self, num_tokens: int) -> Tensor | None:
        """Bias (heads, N, N) with queries as rows, or None without relative positions."""
        if not self.relative_positions:
            return None
        table = self.layers[0].self_attn.relative_attention_bias
        place = torch.arange(num_tokens, device=table.weight.device)
        distance = place[None] - place[:, None]
        buckets = relative_buckets(distance, self.num_buckets, self.max_distance)
        return table(buckets).permute(2, 0, 1)

    def forward(self, x: Tensor, padding: Tensor | None = None) -> Tensor:
        """(B, N, D) tokens, (B, N) bool padding -> (B, N, D)."""
        if padding is not None:
            # Before the convolution, which would carry padding into the tokens beside it.
            x = x.masked_fill(padding[..., None], 0)
        x = x + self.pos_conv(x)
        if not self.norm_first:
            x = self.layer_norm(x)
        x, bias = self.dropout(x), self.position_bias(x.shape[1])
        for layer in self.layers:
            x = _ScaledGradient.apply(x, self.gradient_ratio) if self.gradient_ratio != 1.0 else x
            out = layer(x, bias, padding)
            # A skipped layer runs for nothing, so that its parameters get gradients of zero and
            # that processes which share them do the same work.
            x = x + 0 * out if self.training and random.random() < self.layer_drop else out
        # Post-norm layers end in a norm of their own; this one served before them.
        return self.layer_norm(x) if self.norm_first else x


@MODELS.register_module()
class BEATs(BaseModule):
    """BEATs: a transformer over 16 x 16 patches of a log-mel filter bank.

    Names of parameters and fields are the published ones; the defaults are those of the iter3+
    checkpoint.  The table of relative positions belongs to the first layer (published files
    repeat it in every layer).

    Args:
        input_patch_size: side of a patch.
        embed_dim: width of the patch embedding.
        conv_bias: whether the patch embedding has a bias.
        encoder_layers, encoder_embed_dim, encoder_ffn_embed_dim, encoder_attention_heads: sizes.
        activation_fn: ``'gelu'``, ``'relu'`` or ``'glu'``.
        layer_wise_gradient_decay_ratio: factor on the gradient that enters each layer's input.
        layer_norm_first: pre-norm layers.
        deep_norm: scale residuals by ``(2 layers) ** 0.25`` (arXiv 2203.00555).
        dropout, attention_dropout, activation_dropout, dropout_input: rates.
        encoder_layerdrop: chance of a layer being skipped in training, on each process by itself.
        conv_pos, conv_pos_groups: taps and groups of the positional convolution.
        relative_position_embedding: add a bias by relative position to the attention.
        num_buckets, max_distance: of these positions.
        gru_rel_pos: gate the bias per query.
        finetuned_model: add the classifier ``predictor``.
        predictor_dropout, predictor_class: its dropout and number of classes.
        num_mel_bins: bins of the filter bank that it reads.

    Raises:
        ValueError: widths that do not divide, or an unknown activation.
    """

    def __init__(
        self,
        input_patch_size: int = 16,
        embed_dim: int = 512,
        conv_bias: bool = False,
        encoder_layers: int = 12,
        encoder_embed_dim: int = 768,
        encoder_ffn_embed_dim: int = 3072,
        encoder_attention_heads: int = 12,
        activation_fn: str = 'gelu',
        layer_wise_gradient_decay_ratio: float = 0.6,
        layer_norm_first: bool = False,
        deep_norm: bool = True,
        dropout: float = 0.0,
        attention_dropout: float = 0.0,
        activation_dropout: float = 0.0,
        encoder_layerdrop: float = 0.05,
        dropout_input: float = 0.0,
        conv_pos: int = 128,
        conv_pos_groups: int = 16,
        relative_position_embedding: bool = True,
        num_buckets: int = 320,
        max_distance: int = 800,
        gru_rel_pos: bool = True,
        finetuned_model: bool = False,
        predictor_dropout: float = 0.0,
        predictor_class: int = 527,
        num_mel_bins: int = 64,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if activation_fn not in ACTIVATIONS:
            known = ', '.join(ACTIVATIONS)
            raise ValueError(f'activation_fn must be one of {known}, got {activation_fn!r}')
        self.embed_dim, self.num_mel_bins = encoder_embed_dim, num_mel_bins
        # Change the numbers, but no shape: a checkpoint is compared with them.
        self.settings = dict(
            encoder_attention_heads=encoder_attention_heads,
            activation_fn=activation_fn,
            layer_norm_first=layer_norm_first,
            deep_norm=deep_norm,
            max_distance=max_distance,
        )
        self._make_patches(input_patch_size, embed_dim, conv_bias)
        self.dropout_input = nn.Dropout(dropout_input)
        self.encoder = BEATsTransformer(
            dim=encoder_embed_dim,
            hidden_dim=encoder_ffn_embed_dim,
            depth=encoder_layers,
            num_heads=encoder_attention_heads,
            activation=activation_fn,
            norm_first=layer_norm_first,
            deep_norm=deep_norm,
            relative_positions=relative_position_embedding,
            is_gated=gru_rel_pos,
            num_buckets=num_buckets,
            max_distance=max_distance,
            conv_taps=conv_pos,
            conv_groups=conv_pos_groups,
            gradient_ratio=layer_wise_gradient_decay_ratio,
            layer_drop=encoder_layerdrop,
            dropout=dropout,
            attention_dropout=attention_dropout,
            activation_dropout=activation_dropout,
        )
        self.predictor = None
        if finetuned_model:
            self.predictor_dropout = nn.Dropout(predictor_dropout)
            self.predictor = nn.Linear(encoder_embed_dim, predictor_class)

    def _make_patches(self, patch_size: int, embed_dim: int, bias: bool) -> None:
        self.patch_size = patch_size
        self.patch_embedding = nn.Conv2d(1, embed_dim, patch_size, stride=patch_size, bias=bias)
        self.layer_norm = nn.LayerNorm(embed_dim)
        self.post_extract_proj = None
        if embed_dim != self.embed_dim:
            self.post_extract_proj = nn.Linear(embed_dim, self.embed_dim)

    @classmethod
    def shrink(cls, config: dict[str, Any], small: SmallSizes) -> dict[str, Any]:
        """Offer a small copy to a rehearsal."""
        return config | dict(
            embed_dim=small.width,
            encoder_layers=small.depth,
            encoder_embed_dim=small.width,
            encoder_ffn_embed_dim=2 * small.width,
            encoder_attention_heads=small.heads,
        )

    def forward(self, bank: Tensor, padding: Tensor | None = None) -> Tensor:
        """Encode a filter bank.

        Args:
            bank: (B, frames, mels); what does not fill a patch at the end is cut.
            padding: (B, n) bool over samples or frames, True = padding; see :func:`split_padding`.

        Returns:
            (B, N, ``encoder_embed_dim``) tokens, time-major.

        Raises:
            ValueError: a bank smaller than one patch.
        """
        return self.encode(bank, self.token_padding(bank, padding))

    def encode(self, bank: Tensor, padding: Tensor | None = None) -> Tensor:
        """(B, frames, mels), (B, N) bool padding of tokens -> (B, N, D)."""
        if bank.ndim != 3 or min(bank.shape[1:]) < self.patch_size:
            raise ValueError(
                f'expected a filter bank (B, frames, mels) of at least {self.patch_size} x '
                f'{self.patch_size}, got shape {tuple(bank.shape)}'
            )
        x = self.patch_embedding(bank[:, None]).flatten(2).transpose(1, 2)
        x = self.layer_norm(x)
        if self.post_extract_proj is not None:
            x = self.post_extract_proj(x)
        return self.encoder(self.dropout_input(x), padding)

    def token_padding(self, bank: Tensor, padding: Tensor | None) -> Tensor | None:
        """(B, N) bool over tokens: a token is padding if all that it is made of is."""
        if padding is None:
            return None
        frames, mels = bank.shape[1:]
        # In two steps, as published: from samples to frames, from these to tokens.
        frames_padding = split_padding(padding, frames)
        tokens = (frames // self.patch_size) * (mels // self.patch_size)
        return split_padding(frames_padding, tokens)

    def classify(self, tokens: Tensor, padding: Tensor | None = None) -> Tensor:
        """(B, N, D) tokens, (B, N) bool padding -> (B, classes) independent probabilities.

        Logits are averaged over tokens that are no padding.  Raises ValueError without predictor.
        """
        if self.predictor is None:
            raise ValueError('classify needs finetuned_model=True')
        logits = self.predictor(self.predictor_dropout(tokens))
        if padding is None:
            return logits.mean(dim=1).sigmoid()
        kept = ~padding[..., None]
        # A recording of nothing but padding has no token to average.
        return ((logits * kept).sum(dim=1) / kept.sum(dim=1).clamp_min(1)).sigmoid()


def split_padding(padding: Tensor, parts: int) -> Tensor:
    """(B, n) bool -> (B, ``parts``): each equal part (a remainder is cut) is padding if all is.

    Raises ValueError when there are fewer entries than parts.
    """
    if padding.shape[1] < parts:
        raise ValueError(f'{padding.shape[1]} padding flags cannot be split into {parts} parts')
    kept = padding.shape[1] - padding.shape[1] % parts
    return padding[:, :kept].unflatten(1, (parts, -1)).all(dim=-1)
