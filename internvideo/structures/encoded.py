"""Encoded samples and texts, and what a model states that encodes them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class TokenFeatures:
    """Token matrices of N samples or texts in the common space, for token-wise similarity.

    Indexed like a tensor, by rows.

    Attributes:
        vectors: (N, L, C).
        mask: (N, L) bool, True where there is a token.
        weights: (N, L) shares of the tokens in their item, which sum to 1; None: all alike.
    """

    vectors: Tensor
    mask: Tensor
    weights: Tensor | None = None

    def __len__(self) -> int:
        return len(self.vectors)

    def __getitem__(self, rows: Any) -> 'TokenFeatures':
        weights = None if self.weights is None else self.weights[rows]
        return TokenFeatures(self.vectors[rows], self.mask[rows], weights)

    @property
    def dtype(self) -> torch.dtype:
        """Of the vectors."""
        return self.vectors.dtype

    @property
    def shares(self) -> Tensor:
        """(N, L) ``weights``, or equal shares of the tokens that there are."""
        if self.weights is not None:
            return self.weights.masked_fill(~self.mask, 0.0)
        mask = self.mask.to(self.vectors.dtype)
        return mask / mask.sum(dim=1, keepdim=True)

    def unit(self) -> 'TokenFeatures':
        """The same with float32 vectors of length 1, on the CPU."""
        # First to float32: of half-precision vectors the length would be off in the third digit.
        vectors = F.normalize(self.vectors.float(), dim=-1).cpu()
        weights = None if self.weights is None else self.weights.float().cpu()
        return TokenFeatures(vectors, self.mask.bool().cpu(), weights)

    @classmethod
    def joined(cls, parts: Sequence['TokenFeatures']) -> 'TokenFeatures':
        """Concatenate several, padding shorter matrices by masked tokens."""
        length = max(part.vectors.shape[1] for part in parts)
        rooms = [length - part.vectors.shape[1] for part in parts]
        weighted = parts[0].weights is not None
        return cls(
            torch.cat([F.pad(p.vectors, (0, 0, 0, n)) for p, n in zip(parts, rooms, strict=True)]),
            torch.cat([F.pad(p.mask, (0, n)) for p, n in zip(parts, rooms, strict=True)]),
            torch.cat([F.pad(p.weights, (0, n)) for p, n in zip(parts, rooms, strict=True)])
            if weighted
            else None,
        )


class Encoded(NamedTuple):
    """One modality of a batch.

    Attributes:
        tokens: (B, N, D) as a matching head takes them; text: states of the text layers.  None
            where nothing is matched.
        feature: (B, C) in the common space, not normalised.
        mask: (B, N) of a text, non-zero where there is a token; None for other modalities.
        ids: (B, N) tokens of a text; None for other modalities.
        token_features: of models that compare token by token; None of others.
    """

    tokens: Tensor | None
    feature: Tensor | None
    mask: Tensor | None = None
    ids: Tensor | None = None
    token_features: TokenFeatures | None = None

    @classmethod
    def of(cls, given: 'Encoded | Tensor') -> 'Encoded':
        """``given``, or a feature alone."""
        return cls(None, given) if isinstance(given, Tensor) else given

    def unit(self) -> 'Encoded':
        """The same with features of length 1, in float32."""
        feature = None if self.feature is None else F.normalize(self.feature.float(), dim=-1)
        return self._replace(feature=feature)


class RetrievalModel:
    """Interface of models that encode samples and texts into one space.

    A base beside that of modules: ``class MyModel(RetrievalModel, BaseModel)``.  The data
    preprocessor of such a model has ``tokenize(texts, max_length)``.

    Attributes:
        pairs_per_forward: pairs that are given to a matching head at a time.
        normalises_queries: whether what people write loses its punctuation, as captions do in
            training; the tokenizer has its own rules in any case.
    """

    pairs_per_forward: int = 64
    normalises_queries: bool = True

    @property
    def modalities(self) -> tuple[str, ...]:
        """Modalities that it encodes of a sample, such as ``'vision'`` or ``'audio_vision'``."""
        raise NotImplementedError

    @property
    def temperature(self) -> float:
        """Temperature that divides similarities before a soft-max."""
        raise NotImplementedError

    def encode(self, inputs: dict[str, Any]) -> Mapping[str, Encoded | Tensor]:
        """Encode every modality that preprocessed ``inputs`` hold, and ``'text'``.
        plain tensors.
        """
        raise NotImplementedError

    def check_modality(self, modality: str) -> None:
        """Raise ValueError saying why, unless ``modality`` is among :attr:`modalities`."""
        if modality not in self.modalities:
            raise ValueError(
                f'{type(self).__name__} encodes {", ".join(self.modalities)}, not {modality}'
            )

    def matching_head(self, modality: str) -> str | None:
        """Part that scores whether a text and a sample belong together, or None."""
        return None

    def match_scores(
        self,
        samples: Encoded,
        texts: Encoded,
        sample_rows: Tensor,
        text_rows: Tensor,
        modality: str,
    ) -> Tensor:
        """Logits (P,) of belonging together of P pairs of rows (see :meth:`matching_head`)."""
        raise NotImplementedError
