"""CLIP's text tower (arXiv 2103.00020), shared by the models that start from CLIP."""

from typing import Any

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from internvideo.models.layers.residual_attention import ResidualTransformer
from internvideo.registry import MODELS
from internvideo.structures.rehearsal import SmallSizes


@MODELS.register_module()
class CLIPText(BaseModule):
    """Causal transformer over byte-pair tokens, read at the end-of-text token.

    Parameters carry the published names.  The end of text is the largest id of a row.

    Args:
        embed_dim: width E of the feature.
        context_length: positions of the table, the longest text in tokens.
        vocab_size: token embeddings.
        width, heads, layers: sizes of the transformer.
        mask_embedding: a parameter ``text_mask_embedding`` that replaces masked tokens.
        checkpoint_num: recompute the activations of that many first blocks when training.

    Raises:
        ValueError: a width that the heads do not divide.
    """

    def __init__(
        self,
        embed_dim: int = 512,
        context_length: int = 77,
        vocab_size: int = 49408,
        width: int = 512,
        heads: int = 8,
        layers: int = 12,
        mask_embedding: bool = False,
        checkpoint_num: int = 0,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.out_dim, self.context_length = embed_dim, context_length
        self.token_embedding = nn.Embedding(vocab_size, width)
        self.positional_embedding = nn.Parameter(torch.empty(context_length, width))
        self.transformer = ResidualTransformer(
            width, layers, heads, is_causal=True, checkpoint_num=checkpoint_num
        )
        self.ln_final = nn.LayerNorm(width)
        self.text_projection = nn.Parameter(torch.empty(width, embed_dim))
        self.text_mask_embedding = None
        if mask_embedding:
            self.text_mask_embedding = nn.Parameter(torch.empty(1, 1, width))
            nn.init.normal_(self.text_mask_embedding, std=0.02)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialise embeddings and projection as CLIP does."""
        nn.init.normal_(self.token_embedding.weight, std=0.02)
        nn.init.normal_(self.positional_embedding, std=0.01)
        nn.init.normal_(self.text_projection, std=self.text_projection.shape[0] ** -0.5)

    @classmethod
    def shrink(cls, config: dict[str, Any], small: SmallSizes) -> dict[str, Any]:
        """Offer a small copy to a rehearsal."""
        sizes = dict(width=small.width, layers=small.depth, heads=small.heads)
        return config | sizes | dict(embed_dim=small.width)

    @property
    def text_limits(self) -> tuple[int, int]:
        """Tokens that there are embeddings for, and positions of a text."""
        return self.token_embedding.num_embeddings, self.context_length

    def forward(self, input_ids: Tensor) -> Tensor:
        """(B, L) tokens -> (B, E) features, not normalised.

        Raises ValueError for more tokens than the context has positions.
        """
        return self.pool(self.encode_tokens(input_ids), input_ids)

    def encode_tokens(self, input_ids: Tensor, masked: Tensor | None = None) -> Tensor:
        """Encode (B, L) tokens to states (B, L, width) after the last norm.

        Args:
            input_ids: token ids, 0 for padding behind the end of text.
            masked: (B, L) bool, True where ``text_mask_embedding`` takes a token's place.

        Raises:
            ValueError: a text longer than the context, or masked tokens without such an embedding.
        """
        length = input_ids.shape[1]
        if length > self.context_length:
            raise ValueError(
                f'texts of {length} tokens are longer than context_length={self.context_length}; '
                'set max_length of the tokenizer to it'
            )
        x = self.token_embedding(input_ids)
        if masked is not None:
            if self.text_mask_embedding is None:
                raise ValueError('masked tokens need text_encoder.mask_embedding=True')
            x = torch.where(masked[..., None], self.text_mask_embedding.to(x.dtype), x)
        x = x + self.positional_embedding[:length].to(x.dtype)
        return self.ln_final(self.transformer(x))

    def pool(self, states: Tensor, input_ids: Tensor) -> Tensor:
        """Project the states (B, L, width) at the end of text to (B, E)."""
        rows = torch.arange(len(states), device=states.device)
        return states[rows, input_ids.argmax(dim=-1)] @ self.text_projection

    def no_weight_decay(self) -> set[str]:
        """Names of parameters that are never decayed: tables and embeddings."""
        names = {'positional_embedding', 'token_embedding.weight'}
        return names | ({'text_mask_embedding'} if self.text_mask_embedding is not None else set())
