"""BERT as text encoder and, through cross-attention in its upper layers, as fusion encoder.

The lower layers read text alone, the upper ones also attend to media tokens (ALBEF,
arXiv 2107.07651, section 3.1).  Embeddings, self-attention and feed-forward layers are those of
transformers; the cross-attention, whose keys have the media's width, is defined here.
"""

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from internvideo.registry import MODELS
from internvideo.structures.rehearsal import SmallSizes

ARCHITECTURES: dict[str, dict[str, int]] = {
    'minilm': dict(
        hidden_size=384,
        num_hidden_layers=6,
        num_attention_heads=12,
        intermediate_size=1536,
        fusion_layer=4,
    ),
    'base': dict(
        hidden_size=768,
        num_hidden_layers=12,
        num_attention_heads=12,
        intermediate_size=3072,
        fusion_layer=9,
    ),
    'large': dict(
        hidden_size=1024,
        num_hidden_layers=24,
        num_attention_heads=16,
        intermediate_size=4096,
        fusion_layer=19,
    ),
}
MODES = ('text', 'fusion', 'multi_modal')
BACKENDS = ('auto', 'sdpa', 'eager')
MASKED = -10_000.0  # as published: finite, so that a text of nothing but padding gives no NaN


class MediaAttention(nn.Module):
    """Post-norm cross-attention from text states to media tokens.

    Args:
        config: transformers' ``BertConfig``.
        media_dim: width of the media tokens.
    """

    def __init__(self, config: Any, media_dim: int) -> None:
        # Imported where it is used: models without texts do not need transformers.
        from transformers.models.bert.modeling_bert import BertSelfOutput

        super().__init__()
        dim = config.hidden_size
        self.num_heads = config.num_attention_heads
        self.dropout = config.attention_probs_dropout_prob
        # The published names are crossattention.self.query and so on.
        self.self = nn.ModuleDict(
            dict(
                query=nn.Linear(dim, dim),
                key=nn.Linear(media_dim, dim),
                value=nn.Linear(media_dim, dim),
            )
        )
        self.output = BertSelfOutput(config)

    def _heads(self, name: str, x: Tensor) -> Tensor:
        return self.self[name](x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)

    def forward(
        self, hidden: Tensor, media: Tensor, mask: Tensor | None, rows: Tensor | None
    ) -> Tensor:
        """(B, L, D) states, (M, N, ``media_dim``) media, of which text b attends to ``rows[b]``.

        ``mask``: (B, 1, 1, N) bool, True where a media token is seen; None: everywhere.
        """
        query, length = self._heads('query', hidden), hidden.shape[1]
        key, value = self._heads('key', media), self._heads('value', media)
        if mask is not None:
            # As published: finite, so that a text whose media are all hidden sees their mean.
            mask = additive_mask(mask, query.dtype, torch.finfo(query.dtype).min)
        shares_clip = rows is not None and len(media) == 1
        if shares_clip:  # one long text of all texts, rather than a copy of the clip for each
            query = query.transpose(0, 1).flatten(1, 2)[None]
            mask = mask if mask is None else mask[:1]
        elif rows is not None:
            key, value = key[rows], value[rows]
        mixed = F.scaled_dot_product_attention(
            query, key, value, attn_mask=mask, dropout_p=self.dropout if self.training else 0.0
        )
        if shares_clip:
            mixed = mixed[0].unflatten(1, (-1, length)).transpose(0, 1)
        return self.output(mixed.transpose(1, 2).flatten(2), hidden)


class FusionLayer(nn.Module):
    """A BERT layer, with cross-attention between its two halves when ``media_dim`` is given."""

    def __init__(self, config: Any, media_dim: int | None) -> None:
        from transformers.models.bert.modeling_bert import (
            BertAttention,
            BertIntermediate,
            BertOutput,
        )

        super().__init__()
        self.attention = BertAttention(config)
        self.crossattention = MediaAttention(config, media_dim) if media_dim else None
        self.intermediate = BertIntermediate(config)
        self.output = BertOutput(config)

    def forward(
        self,
        hidden: Tensor,
        mask: Tensor,
        media: Tensor | None = None,
        media_mask: Tensor | None = None,
        rows: Tensor | None = None,
    ) -> Tensor:
        hidden, _ = self.attention(hidden, mask)
        if self.crossattention is not None:
            hidden = self.crossattention(hidden, media, media_mask, rows)
        return self.output(self.intermediate(hidden), hidden)


def bert_config(arch: str | Mapping[str, Any], **overrides: Any) -> Any:
    """transformers' ``BertConfig`` of an architecture, and its first layer with cross-attention.

    Raises ValueError for an unknown name or a fusion layer outside the network.
    """
    from transformers import BertConfig

    if isinstance(arch, str):
        if arch not in ARCHITECTURES:
            raise ValueError(f'arch must be one of {", ".join(ARCHITECTURES)}, got {arch!r}')
        arch = ARCHITECTURES[arch]
    fields = {**arch, **{name: value for name, value in overrides.items() if value is not None}}
    config = BertConfig(**fields)
    depth = config.num_hidden_layers
    config.fusion_layer = fields.get('fusion_layer', depth)
    if not 0 <= config.fusion_layer <= depth:
        raise ValueError(f'fusion_layer={config.fusion_layer} must be in [0, {depth}]')
    return config


@MODELS.register_module()
class FusionBert(BaseModule):
    """BERT without pooler, whose layers from ``fusion_layer`` on attend to other tokens.

    Parameters carry the published names (``embeddings.*``, ``encoder.layer.i.*``,
    ``encoder.layer.i.crossattention.*``).

    Args:
        arch: ``'minilm'``, ``'base'``, ``'large'``, or a dict of transformers' ``BertConfig``
            fields and ``fusion_layer``.
        media_dim: width of the media tokens; None leaves cross-attention out altogether.
        fusion_layer: first layer with cross-attention; overrides ``arch``.
        attn_backend: self-attention kernel, ``'auto'``, ``'sdpa'`` or ``'eager'``; same numbers.
        is_decoder: text tokens only see those before them.
        **fields: further ``BertConfig`` fields, each overriding ``arch``.

    Raises:
        ValueError: unknown architecture or backend, or a fusion layer outside the network.
        ImportError: transformers is not installed.
    """

    def __init__(
        self,
        arch: str | Mapping[str, Any] = 'large',
        media_dim: int | None = None,
        fusion_layer: int | None = None,
        attn_backend: str = 'auto',
        is_decoder: bool = False,
        init_cfg: dict | list[dict] | None = None,
        **fields: Any,
    ) -> None:
        from transformers.models.bert.modeling_bert import BertEmbeddings

        super().__init__(init_cfg)
        if attn_backend not in BACKENDS:
            known = ', '.join(BACKENDS)
            raise ValueError(f'attn_backend must be one of {known}, got {attn_backend!r}')
        self.config = config = bert_config(arch, fusion_layer=fusion_layer, **fields)
        # The public argument belongs to whole models; single layers read this field.
        config._attn_implementation = 'eager' if attn_backend == 'eager' else 'sdpa'
        self.is_decoder = is_decoder
        self.depth = config.num_hidden_layers
        # Without media the whole network reads text.
        self.fusion_layer = config.fusion_layer if media_dim else self.depth
        self.hidden_size = config.hidden_size
        self.embeddings = BertEmbeddings(config)
        # transformers no longer saves this buffer; published files hold it.
        positions = torch.arange(config.max_position_embeddings)[None]
        self.embeddings.register_buffer('position_ids', positions, persistent=True)
        layers = [
            FusionLayer(config, media_dim if index >= self.fusion_layer else None)
            for index in range(self.depth)
        ]
        self.encoder = nn.ModuleDict(dict(layer=nn.ModuleList(layers)))
        self.apply(self._reset)

    def _reset(self, module: nn.Module) -> None:
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=self.config.initializer_range)
        if isinstance(module, nn.Linear):
            nn.init.zeros_(module.bias)

    @classmethod
    def shrink(cls, config: dict[str, Any], small: SmallSizes) -> dict[str, Any]:
        """Offer a small copy to a rehearsal."""
        return small.with_arch(
            config,
            ARCHITECTURES,
            'large',
            hidden_size=small.width,
            num_hidden_layers=small.depth,
            num_attention_heads=small.heads,
            intermediate_size=2 * small.width,
            fusion_layer=1,
        )

    @property
    def text_limits(self) -> tuple[int, int]:
        """Tokens that there are embeddings for, and positions of a text."""
        return self.config.vocab_size, self.config.max_position_embeddings

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        embeds: Tensor | None = None,
        media: Tensor | None = None,
        media_mask: Tensor | None = None,
        rows: Tensor | None = None,
        mode: str = 'multi_modal',
    ) -> Tensor:
        """Last hidden states (B, L, D).

        Args:
            input_ids: (B, L) tokens; or
            embeds: (B, L, D) states to start from, as ``mode='fusion'`` does.
            attention_mask: (B, L), non-zero where there is text; None: everywhere.
            media: (M, N, ``media_dim``) tokens.
            media_mask: (M, N), non-zero where there is a token; None: everywhere.
            rows: (B,) which of the M media each text attends to, so that keys and values of a
                clip are computed once however many texts it meets; None: text b to clip b.
            mode: ``'text'``: the layers below ``fusion_layer``; ``'fusion'``: those from it on;
                ``'multi_modal'``: all.

        Raises:
            ValueError: unknown mode, both or neither of ``input_ids`` and ``embeds``, a text
                longer than the position table, or layers with cross-attention without media.
        """
        if mode not in MODES:
            raise ValueError(f'mode must be one of {", ".join(MODES)}, got {mode!r}')
        hidden = self._embed(input_ids, embeds)
        first = self.fusion_layer if mode == 'fusion' else 0
        last = self.fusion_layer if mode == 'text' else self.depth
        if media is None and last > self.fusion_layer:
            raise ValueError(f'mode={mode!r} runs layers with cross-attention, which need media')
        mask = self._text_mask(attention_mask, hidden)
        seen = None
        if media_mask is not None:
            media_mask = media_mask if rows is None else media_mask[rows]
            seen = media_mask.bool()[:, None, None]
        for layer in self.encoder['layer'][first:last]:
            hidden = layer(hidden, mask, media, seen, rows)
        return hidden

    def _embed(self, input_ids: Tensor | None, embeds: Tensor | None) -> Tensor:
        if (input_ids is None) == (embeds is None):
            raise ValueError('give either input_ids or embeds')
        if embeds is not None:
            return embeds
        length, longest = input_ids.shape[1], self.config.max_position_embeddings
        if length > longest:
            raise ValueError(f'a text of {length} tokens is longer than the {longest} positions')
        positions = torch.arange(length, device=input_ids.device)[None]
        kinds = torch.zeros_like(input_ids)  # one sentence: every token is of the first kind
        return self.embeddings(input_ids, token_type_ids=kinds, position_ids=positions)

    def _text_mask(self, attention_mask: Tensor | None, hidden: Tensor) -> Tensor:
        """(B, 1, 1 or L, L) to add to the scores."""
        batch, length = hidden.shape[:2]
        if attention_mask is None:
            attention_mask = torch.ones(batch, length, device=hidden.device)
        seen = attention_mask.bool()[:, None, None]
        if self.is_decoder:
            seen = seen & torch.ones(length, length, dtype=torch.bool, device=seen.device).tril()
        return additive_mask(seen, hidden.dtype, MASKED)


def additive_mask(seen: Tensor, dtype: torch.dtype, hidden: float) -> Tensor:
    """Additive mask of scores: 0 where ``seen``, else ``hidden``."""
    return torch.zeros(seen.shape, dtype=dtype, device=seen.device).masked_fill_(~seen, hidden)


class TokenPrediction(nn.Module):
    """Masked-language head whose decoder is the table of word embeddings, given per call."""

    def __init__(self, config: Any) -> None:
        from transformers.models.bert.modeling_bert import BertPredictionHeadTransform

        super().__init__()
        self.transform = BertPredictionHeadTransform(config)
        # Published files repeat it as the bias of the decoder.
        self.bias = nn.Parameter(torch.zeros(config.vocab_size))
        nn.init.normal_(self.transform.dense.weight, std=config.initializer_range)
        nn.init.zeros_(self.transform.dense.bias)

    def forward(self, hidden: Tensor, table: Tensor) -> Tensor:
        return F.linear(self.transform(hidden), table, self.bias)


@MODELS.register_module()
class FusionBertForMaskedLM(BaseModule):
    """:class:`FusionBert` (``bert.*``) with the masked-language head (``cls.predictions.*``).

    The head's decoder is the table of word embeddings itself, not a second entry of the state.

    Args: those of :class:`FusionBert`.
    """

    shrink = FusionBert.shrink
    text_limits = FusionBert.text_limits

    def __init__(
        self, *args: Any, init_cfg: dict | list[dict] | None = None, **kwargs: Any
    ) -> None:
        super().__init__(init_cfg)
        self.bert = FusionBert(*args, **kwargs)
        self.cls = nn.ModuleDict(dict(predictions=TokenPrediction(self.bert.config)))
        self.config, self.hidden_size = self.bert.config, self.bert.hidden_size

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        """Compute hidden states (B, L, D) (see :meth:`FusionBert.forward`)."""
        return self.bert(*args, **kwargs)

    def predict_tokens(self, hidden: Tensor) -> Tensor:
        """(..., D) hidden states -> (..., vocabulary) logits."""
        return self.cls['predictions'](hidden, self.bert.embeddings.word_embeddings.weight)
