"""What a video encoder hands to heads, decoders and losses."""

from typing import NamedTuple

from torch import Tensor


class EncoderOutput(NamedTuple):
    """Outputs of one encoder pass over B clips.

    Attributes:
        tokens: (B, M, D) residual stream after the last block; token 0 is the class token.
        pooled: (B, ``clip_embed_dim``), or None when the encoder has no pooler.
        layers: residual streams (B, M, D) after the blocks asked for, in the order asked for.
        attn: (B, M - 1) pooling attention to the patch tokens averaged over heads, or None.
        grid: temporal positions, rows and columns of the full patch grid.
    """

    tokens: Tensor
    pooled: Tensor | None
    layers: list[Tensor]
    attn: Tensor | None
    grid: tuple[int, int, int]
