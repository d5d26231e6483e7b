"""Recall of retrieval, by similarity and by a matching head.

Source: arXiv 2403.15377, section 4 and its published evaluation programs.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from internvideo.registry import METRICS
from internvideo.structures.encoded import RetrievalModel
from internvideo.structures.encoded_sets import EncodedSet, SetReport, Variant

from .ranks import RECALL_NAMES, recalls_of_ranks
from .scorers import NOT_FOUND, reranked_ranks, streamed_ranks, streamed_top
from .set_metric import SetMetric

Links = list[list[int]]
VARIANTS = ('_emb', '', '_sim', '_dsl', '_match')


@METRICS.register_module()
class RetrievalMetric(SetMetric):
    """Recall of texts for samples (``v2t``) and of samples for texts (``t2v``), in percent.

    Three variants: plain similarity; dual soft-max; and, for models with a matching head, the
    ``k_test`` best candidates of every query judged by the head.  Their prefixes are the
    published ones: ``<set>_sim``, ``<set>_dsl``, ``<set>_match`` with a matching head;
    ``<set>_emb`` and, for the dual soft-max, ``<set>`` without.

    Samples that could not be read count as not found: their queries fail, and so do those of
    texts that describe no other.

    Args:
        k_test: candidates of a query that the matching head judges; 0: none.
        dsl_for_match: choose these by the dual soft-max rather than by similarity.
        fields: those of :class:`SetMetric`.

    Raises:
        ValueError: negative ``k_test``.
    """

    task = 'retrieval'

    def __init__(self, k_test: int = 128, dsl_for_match: bool = False, **fields: Any) -> None:
        super().__init__(**fields)
        if k_test < 0:
            raise ValueError(f'k_test must be 0 or more, got {k_test}')
        self.k_test, self.dsl_for_match = k_test, dsl_for_match

    @property
    def uses_match(self) -> bool:
        """See :class:`SetMetric`."""
        return self.k_test > 0

    def check_model(self, model: RetrievalModel) -> None:
        """Raise ValueError for options of re-ranking where nothing can be re-ranked."""
        if self.dsl_for_match and not any(map(model.matching_head, model.modalities)):
            raise ValueError(
                f'dsl_for_match chooses what is re-ranked, but {type(model).__name__} has no '
                'matching head: leave it out'
            )

    def names_of_set(self, name: str) -> list[str]:
        """See :class:`SetMetric`."""
        prefixes = [self.prefix_of(name) + variant for variant in VARIANTS]
        return [f'{prefix}/{key}' for prefix in prefixes for key in RECALL_NAMES]

    def score(self, encoded: EncodedSet) -> SetReport:
        """Score one set."""
        forth = [encoded.ground_truth[row] for row in encoded.rows.tolist()]
        back = inverted(forth, len(encoded.texts))
        name, head = self.prefix_of(encoded.name), self._judges(encoded)
        plain, dual = (f'{name}_sim', f'{name}_dsl') if head else (f'{name}_emb', name)
        variants = [
            Variant(plain, self._recalls(encoded, forth, back, False)),
            Variant(dual, self._recalls(encoded, forth, back, True), dual_softmax=True),
        ]
        if head:
            variants.append(self._match(encoded, forth, back))
        facts = dict(
            videos=encoded.size,
            texts=len(encoded.texts),
            captions_per_video=_range([len(texts) for texts in encoded.ground_truth]),
            videos_per_caption=_range([len(samples) for samples in back]),
            unreadable=len(encoded.unreadable),
        )
        return SetReport(encoded.name, encoded.files, facts, variants, encoded.unreadable)

    def _judges(self, encoded: EncodedSet) -> bool:
        return encoded.match is not None and self.uses_match

    def _recalls(
        self, encoded: EncodedSet, forth: Links, back: Links, dual: bool
    ) -> dict[str, float]:
        samples, texts = self.scorer.sides(encoded)
        v2t = streamed_ranks(samples, texts, forth, dual, self.entries, self.scorer)
        t2v = streamed_ranks(texts, samples, back, dual, self.entries, self.scorer.flipped())
        return recalls_of_ranks(with_lost(v2t, encoded), t2v)

    def _match(self, encoded: EncodedSet, forth: Links, back: Links) -> Variant:
        ranks = self._match_ranks(encoded, forth, back)
        metrics = recalls_of_ranks(with_lost(ranks[0], encoded), ranks[1])
        chosen_by = 'dual_softmax' if self.dsl_for_match else 'similarity'
        prefix = f'{self.prefix_of(encoded.name)}_match'
        judged = min(self.k_test, max(len(encoded.samples), len(encoded.texts)))
        return Variant(prefix, metrics, reranked=judged, candidates=chosen_by)

    def _match_ranks(self, encoded: EncodedSet, forth: Links, back: Links) -> tuple[Tensor, Tensor]:
        """Ranks of both directions after the matching head has judged the best candidates."""
        num_samples, num_texts = len(encoded.samples), len(encoded.texts)
        # No sample was readable: there is no pair for the head to judge.
        if not num_samples:
            return torch.zeros(0, dtype=torch.long), torch.full((num_texts,), NOT_FOUND)
        (top_texts, top_samples), (to_text, to_sample) = self.judged(encoded)
        return (
            reranked_ranks(top_texts, to_text, num_texts, forth),
            reranked_ranks(top_samples, to_sample, num_samples, back),
        )

    def judged(self, encoded: EncodedSet) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """The best candidates of every sample and of every text, and what the head says of them.

        Every pair is judged once, in whichever direction it was found.

        Returns:
            (texts of each sample (N, k), samples of each text (M, k)), and their scores alike.
        """
        samples, texts = self.scorer.sides(encoded)
        options = (self.k_test, self.dsl_for_match, self.entries)
        top_texts = streamed_top(samples, texts, *options, self.scorer)
        top_samples = streamed_top(texts, samples, *options, self.scorer.flipped())
        from_samples = torch.arange(len(samples))[:, None].expand_as(top_texts)
        from_texts = torch.arange(len(texts))[:, None].expand_as(top_samples)
        pairs = torch.cat(
            [
                torch.stack([from_samples, top_texts], dim=-1).flatten(0, 1),
                torch.stack([top_samples, from_texts], dim=-1).flatten(0, 1),
            ]
        )
        scores = judge_once(pairs, encoded.match)
        cut = top_texts.numel()
        return (top_texts, top_samples), (
            scores[:cut].view_as(top_texts),
            scores[cut:].view_as(top_samples),
        )


def judge_once(pairs: Tensor, match: Callable[[Tensor], Tensor]) -> Tensor:
    """(P,) what ``match`` says of pairs (P, 2), each of which it is asked once."""
    # Many pairs are found from both sides, and each costs a pass through the fusion encoder.
    distinct, place = torch.unique(pairs, dim=0, return_inverse=True)
    return match(distinct)[place]


def inverted(links: Sequence[Sequence[int]], count: int) -> Links:
    """For each of ``count`` numbers, which lists hold it."""
    back: Links = [[] for _ in range(count)]
    for row, columns in enumerate(links):
        for column in columns:
            back[column].append(row)
    return back


def with_lost(ranks: Tensor, encoded: EncodedSet) -> Tensor:
    """Ranks of all samples, where those that could not be read have found nothing."""
    # At the end rather than at their rows: recall does not look at the order of queries.
    lost = torch.full((encoded.size - len(encoded.rows),), NOT_FOUND)
    return torch.cat([ranks, lost])


def _range(counts: Sequence[int]) -> str:
    """``1``, or ``1..5 (mean 2.3)``."""
    least, most = min(counts, default=0), max(counts, default=0)
    mean = sum(counts) / max(1, len(counts))
    return str(least) if least == most else f'{least}..{most} (mean {mean:.1f})'
