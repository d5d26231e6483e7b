"""Encodes whole evaluation sets: every sample and every text once, shared among processes."""

import logging
from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import torch
from mmengine.dist import all_gather_object, get_dist_info
from mmengine.logging import print_log
from torch import Tensor
from torch.utils.data import DataLoader

from internvideo.structures.encoded import Encoded, RetrievalModel, TokenFeatures
from internvideo.structures.encoded_sets import EncodedSet

from .retrieval_encoder import RetrievalEncoder, joined_texts

WORTH_TELLING = 100
"""Samples whose matching takes long enough to be told of."""


class Kept(NamedTuple):
    """Facts of a set that metrics read beside vectors.

    Attributes:
        match: what a matching head reads.
        tokens: token matrices in the common space.
    """

    match: bool = False
    tokens: bool = False


class SetEncoder:
    """Encodes evaluation sets by one model.

    Samples are shared among processes in whole batches, texts in whole chunks: what a batch holds,
    and with it the last bit of a feature, does not depend on the number of processes.  What a
    matching head has to judge is judged by the process that holds the tokens of the sample, one
    sample at a time, for the same reason.

    Args:
        model: the model.
        autocast: context of its forward passes.
        dtype: what tokens are kept in until they are matched; None: as they come.
    """

    def __init__(
        self, model: RetrievalModel, autocast: AbstractContextManager, dtype: torch.dtype | None
    ) -> None:
        self.model, self.autocast, self.dtype = model, autocast, dtype

    def encode(self, part: Any, batches: Iterable[dict[str, Any]], kept: Kept) -> EncodedSet:
        """Encode one set alike on every process from its :func:`own_batches`.

        Raises:
            ValueError: the model cannot encode the samples, or texts of their length.
        """
        try:
            encoder = RetrievalEncoder(
                self.model, part.modality, self.autocast, part.max_text_length
            )
        except ValueError as error:
            raise ValueError(f'{part.name} holds {part.media_type}, but {error}') from None
        kept = kept._replace(match=kept.match and self._can_match(encoder, part.name))
        samples = OwnSamples(self.dtype, kept)
        for batch in batches:
            samples.add(encoder.samples(batch), batch['data_samples'])
        texts = encode_texts(encoder, part, kept)
        encoded = EncodedSet(
            name=part.name,
            files=part.files,
            task=part.task,
            size=len(part),
            ground_truth=part.ground_truth,
            temperature=self.model.temperature,
            texts=mean_of_prompts(texts.features, part.num_prompts),
            text_tokens=texts.tokens_of(part),
            **samples.gathered(texts.features.shape[1]),
        )
        if kept.match:
            encoded.match = PairMatcher(encoder, samples, texts, encoded.rows)
        return encoded

    def _can_match(self, encoder: RetrievalEncoder, name: str) -> bool:
        if encoder.matching_head is not None:
            return True
        if any(map(self.model.matching_head, self.model.modalities)):
            note = f'{name} is not re-ranked: the model has no matching head for {encoder.modality}'
            print_log(note, logger='current', level=logging.WARNING)
        return False


def own_batches(part: Any, like: DataLoader) -> DataLoader:
    """Batches of a set on this process, loaded as ``like`` loads."""
    rank, world = get_dist_info()
    size = like.batch_size
    firsts = range(rank * size, len(part), world * size)
    # Keys are (epoch, row), as samplers give them.
    places = [(0, row) for first in firsts for row in range(len(part))[first : first + size]]
    return DataLoader(
        part,
        batch_size=size,
        sampler=places,
        num_workers=like.num_workers,
        collate_fn=like.collate_fn,
        pin_memory=like.pin_memory,
        worker_init_fn=like.worker_init_fn,
    )


class OwnSamples:
    """Encoded samples of a set on this process.

    Args:
        dtype: what tokens are kept in; None: as they come.
        kept: what is kept beside vectors.
    """

    def __init__(self, dtype: torch.dtype | None, kept: Kept) -> None:
        self.dtype, self.kept = dtype, kept
        self.features: list[Tensor] = []
        self.token_features: list[TokenFeatures] = []
        self.tokens: list[Tensor] = []
        self.rows: list[int] = []
        self.unreadable: list[dict[str, str]] = []

    def add(self, encoded: Encoded | None, data_samples: list[Any]) -> None:
        """Take a batch with its readable samples in ``encoded``."""
        for sample in data_samples:
            reason = sample.get('unreadable')
            if reason is None:
                self.rows.append(int(sample.sample_index))
            else:
                self.unreadable.append(dict(path=sample.path, reason=reason))
        if encoded is None:
            return
        self.features.append(encoded.feature.cpu())
        if self.kept.match:
            tokens = encoded.tokens.cpu()
            self.tokens += list(tokens if self.dtype is None else tokens.to(self.dtype))
        if self.kept.tokens and encoded.token_features is not None:
            self.token_features.append(encoded.token_features.unit())

    def gathered(self, width: int) -> dict[str, Any]:
        """Features, rows and unreadable samples of all processes, in the order of the set."""
        # A process may have no sample at all, and torch joins no empty list.
        features = torch.cat([torch.zeros(0, width), *self.features])
        parts = all_gather_object((self.rows, features, self.unreadable, self.token_features))
        rows = torch.tensor([row for part in parts for row in part[0]], dtype=torch.long)
        order = rows.argsort()
        tokens = [each for part in parts for each in part[3]]
        return dict(
            samples=torch.cat([part[1] for part in parts])[order],
            rows=rows[order],
            unreadable=sorted((e for part in parts for e in part[2]), key=lambda e: e['path']),
            sample_tokens=TokenFeatures.joined(tokens)[order] if tokens else None,
        )


class EncodedTexts:
    """Encoded texts of a set, the same on every process.

    States, many times the features, are kept only where something is matched.

    Args:
        place: (M,) where each text is among the distinct ones.
        distinct: the distinct texts.

    Attributes:
        features: (M, C) unit vectors of all texts, in order.
        states, mask: what a matching head starts from, of the distinct texts.
    """

    def __init__(self, place: Tensor, distinct: Encoded) -> None:
        self.place, self.features = place, distinct.feature[place]
        self.states, self.mask = distinct.tokens, distinct.mask
        self._tokens = distinct.token_features

    def tokens_of(self, part: Any) -> TokenFeatures | None:
        """Token matrices of all texts.  Raises ValueError where several prompts are one text."""
        if self._tokens is None:
            return None
        if part.num_prompts > 1:
            raise ValueError(
                f'{part.name}: texts of several prompts are compared by vectors: use InnerProduct'
            )
        return self._tokens[self.place]

    @classmethod
    def joined(cls, chunks: dict[int, Encoded], place: Tensor) -> 'EncodedTexts':
        """Join the chunks of distinct texts that the processes have encoded."""
        merged = {k: v for part in all_gather_object(chunks) for k, v in part.items()}
        return cls(place, joined_texts([merged[number] for number in sorted(merged)]))


def encode_texts(encoder: RetrievalEncoder, part: Any, kept: Kept) -> EncodedTexts:
    """Texts of a set, in chunks that processes share."""
    rank, world = get_dist_info()
    tokens = encoder.tokens(part.texts)
    mine = range(rank, len(part.texts), world)  # at most one chunk a text
    try:
        own = [_stored(each, kept) for each in encoder.texts(tokens, lambda n: n % world == rank)]
    except ValueError as error:
        field = f'table.{part.name}.max_text_length={part.max_text_length}'
        raise ValueError(f'{field}: {error}') from error
    return EncodedTexts.joined(dict(zip(mine, own, strict=False)), tokens.place)


def _stored(encoded: Encoded, kept: Kept) -> Encoded:
    """Encoded texts of a chunk, on the CPU."""
    states, mask = (encoded.tokens, encoded.mask) if kept.match else (None, None)
    matrices = encoded.token_features if kept.tokens else None
    return Encoded(
        tokens=None if states is None else states.cpu(),
        feature=encoded.feature.cpu(),
        mask=None if mask is None else mask.cpu(),
        token_features=None if matrices is None else matrices.unit(),
    )


class PairMatcher:
    """Scores pairs of samples and texts by the model's matching head (see :data:`Matcher`)."""

    def __init__(
        self, encoder: RetrievalEncoder, samples: OwnSamples, texts: EncodedTexts, rows: Tensor
    ) -> None:
        self.encoder, self.texts = encoder, texts
        numbers = {row: number for number, row in enumerate(rows.tolist())}
        self.held = {numbers[row]: x for row, x in zip(samples.rows, samples.tokens, strict=True)}

    def __call__(self, pairs: Tensor) -> Tensor:
        # Equal texts are judged once: in other rows of a batch their last bits would differ, as
        # kernels sum by position, and by which positions depends on the processor.
        distinct = torch.stack([pairs[:, 0], self.texts.place[pairs[:, 1]]], dim=1)
        distinct, place = torch.unique(distinct, dim=0, return_inverse=True)
        return self._judge_everywhere(distinct)[place]

    def _judge_everywhere(self, pairs: Tensor) -> Tensor:
        """Scores of distinct pairs, each judged by the process that holds its sample."""
        own = torch.tensor([m in self.held for m in pairs[:, 0].tolist()], dtype=torch.bool)
        places = own.nonzero().flatten()
        scores = self._judge(pairs[places])
        result = torch.zeros(len(pairs))
        for their_places, their_scores in all_gather_object((places, scores)):
            result[their_places] = their_scores
        return result

    def _judge(self, pairs: Tensor) -> Tensor:
        """Scores of pairs of a sample and a distinct text, ordered by sample."""
        samples, counts = pairs[:, 0].unique_consecutive(return_counts=True)
        scores = [torch.zeros(0)]
        for done, texts in enumerate(pairs[:, 1].split(counts.tolist())):
            scores.append(self._judge_sample(int(samples[done]), texts))
            self._tell(done + 1, len(samples))
        return torch.cat(scores)

    def _tell(self, done: int, count: int) -> None:
        if count >= WORTH_TELLING and done % (count // 10) == 0:
            print_log(f'{done} of {count} samples matched', logger='current')

    def _judge_sample(self, sample: int, texts: Tensor) -> Tensor:
        """Texts are moved to the device for as many pairs at a time as the model takes."""
        device = self.encoder.device
        tokens = Encoded(self.held[sample][None].to(device), None)
        scores = []
        for chunk in texts.split(self.encoder.model.pairs_per_forward):
            states, mask = (x[chunk].to(device) for x in (self.texts.states, self.texts.mask))
            rows = torch.arange(len(chunk), device=device)
            text = Encoded(states, None, mask)
            scores.append(self.encoder.match(tokens, text, rows * 0, rows))
        return torch.cat(scores)


def mean_of_prompts(features: Tensor, num_prompts: int) -> Tensor:
    """(M, C): scores averaged over prompts are scores of the mean of their unit vectors."""
    return features if num_prompts == 1 else features.unflatten(0, (-1, num_prompts)).mean(dim=1)
