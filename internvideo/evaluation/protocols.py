"""How encoded evaluation sets are scored: retrieval, zero-shot actions, multiple choice.

Source: arXiv 2403.15377, section 4 and its published evaluation programs.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from internvideo.registry import METRICS
from internvideo.structures.encoded_sets import EncodedSet, SetReport, Variant

from .multiple_choice import mean_average_precision
from .retrieval import figures_of_ranks
from .streamed_scores import (
    BLOCK_ENTRIES,
    NOT_FOUND,
    reranked_ranks,
    score_blocks,
    streamed_ranks,
    streamed_top,
)

Links = list[list[int]]


@METRICS.register_module()
class RetrievalProtocol:
    """Recall of texts for media (``v2t``) and of media for texts (``t2v``), in percent.

    Three variants: plain similarity; dual soft-max; and, for models with a matching head, the
    ``k_test`` best candidates of every query judged by the head.  Their prefixes are the
    published ones: ``<set>_sim``, ``<set>_dsl``, ``<set>_match`` with a matching head;
    ``<set>_emb`` and, for the dual soft-max, ``<set>`` without.

    Media that could not be read count as not found: their queries fail, and so do those of texts
    that describe no other.

    Args:
        k_test: candidates of a query that the matching head judges.
        dsl_for_match: choose these by the dual soft-max rather than by similarity.
        entries: scores that are held at a time.
    """

    def __init__(
        self, k_test: int = 128, dsl_for_match: bool = False, entries: int = BLOCK_ENTRIES
    ) -> None:
        if k_test < 1:
            raise ValueError(f'k_test must be at least 1, got {k_test}')
        self.k_test, self.dsl_for_match, self.entries = k_test, dsl_for_match, entries

    def __call__(self, encoded: EncodedSet) -> SetReport:
        """Score one set."""
        forth = [encoded.truth[row] for row in encoded.rows.tolist()]
        back = inverted(forth, len(encoded.texts))
        name, head = encoded.name, encoded.match is not None
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
            captions_per_video=_range([len(texts) for texts in encoded.truth]),
            videos_per_caption=_range([len(media) for media in back]),
            unreadable=len(encoded.unreadable),
        )
        return SetReport(name, encoded.files, facts, variants)

    def _recalls(
        self, encoded: EncodedSet, forth: Links, back: Links, dual: bool
    ) -> dict[str, float]:
        sides = (encoded.media, encoded.texts)
        v2t = streamed_ranks(*sides, forth, dual, self.entries)
        t2v = streamed_ranks(*sides[::-1], back, dual, self.entries)
        return figures_of_ranks(_with_lost(v2t, encoded), t2v)

    def _match(self, encoded: EncodedSet, forth: Links, back: Links) -> Variant:
        ranks = match_ranks(encoded, forth, back, self.k_test, self.dsl_for_match, self.entries)
        figures = figures_of_ranks(_with_lost(ranks[0], encoded), ranks[1])
        chosen_by = 'dual_softmax' if self.dsl_for_match else 'similarity'
        prefix = f'{encoded.name}_match'
        judged = min(self.k_test, max(len(encoded.media), len(encoded.texts)))
        return Variant(prefix, figures, reranked=judged, candidates=chosen_by)


def match_ranks(
    encoded: EncodedSet, forth: Links, back: Links, k: int, dual: bool, entries: int
) -> tuple[Tensor, Tensor]:
    """Ranks of both directions after the matching head has judged the ``k`` best candidates."""
    media, texts = encoded.media, encoded.texts
    if not len(media):
        return torch.zeros(0, dtype=torch.long), torch.full((len(texts),), NOT_FOUND)
    (top_texts, top_media), (to_text, to_media) = judged_candidates(
        media, texts, encoded.match, k, dual, entries
    )
    return (
        reranked_ranks(top_texts, to_text, len(texts), forth),
        reranked_ranks(top_media, to_media, len(media), back),
    )


def judged_candidates(
    media: Tensor, texts: Tensor, match: object, k: int, dual: bool, entries: int = BLOCK_ENTRIES
) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """The ``k`` best candidates of every medium and of every text, and what the head says of them.

    Every pair is judged once, in whichever direction it was found.

    Returns:
        (texts of each medium (N, k), media of each text (M, k)), and their scores alike.
    """
    top_texts = streamed_top(media, texts, k, dual, entries)
    top_media = streamed_top(texts, media, k, dual, entries)
    from_media = torch.arange(len(media))[:, None].expand_as(top_texts)
    from_texts = torch.arange(len(texts))[:, None].expand_as(top_media)
    pairs = torch.cat(
        [
            torch.stack([from_media, top_texts], dim=-1).flatten(0, 1),
            torch.stack([top_media, from_texts], dim=-1).flatten(0, 1),
        ]
    )
    distinct, place = torch.unique(pairs, dim=0, return_inverse=True)
    scores = match(distinct)[place]
    cut = top_texts.numel()
    return (top_texts, top_media), (
        scores[:cut].view_as(top_texts),
        scores[cut:].view_as(top_media),
    )


@METRICS.register_module()
class ActionProtocol:
    """Zero-shot recognition: ``top1``, ``top5`` and their mean ``avg``, of plain similarities.

    A class is the mean over its sentences.  Videos that could not be read count as wrong.
    """

    def __init__(self, entries: int = BLOCK_ENTRIES, **_: object) -> None:
        self.entries = entries

    def __call__(self, encoded: EncodedSet) -> SetReport:
        """Score one set."""
        truth = [[encoded.truth[row]] for row in encoded.rows.tolist()]
        ranks = streamed_ranks(encoded.media, encoded.texts, truth, entries=self.entries)
        ranks = _with_lost(ranks, encoded)
        top = {f'top{k}': 100 * (ranks < k).double().mean().item() for k in (1, 5)}
        figures = top | dict(avg=sum(top.values()) / 2)
        figures = {name: round(value, 2) for name, value in figures.items()}
        facts = dict(
            videos=encoded.size, classes=len(encoded.texts), unreadable=len(encoded.unreadable)
        )
        return SetReport(encoded.name, encoded.files, facts, [Variant(encoded.name, figures)])


@METRICS.register_module()
class ChoiceProtocol:
    """Multiple choice: ``accuracy``, or ``mAP`` over options where several may be right.

    Options are ranked by similarity over temperature; models with a matching head also let it
    judge every option (``<set>_match``).  Videos that could not be read count as wrong.
    """

    def __init__(self, **_: object) -> None:
        pass

    def __call__(self, encoded: EncodedSet) -> SetReport:
        """Score one set."""
        asked = _AskedQuestions.of(encoded)
        media = encoded.media[asked.media]
        scores = option_scores(media, encoded.texts, asked.options, encoded.temp)
        variants = [Variant(encoded.name, asked.figures(scores))]
        if encoded.match is not None and len(asked.media):
            numbers = asked.media[:, None].expand_as(asked.options)
            pairs, place = torch.unique(
                torch.stack([numbers, asked.options], dim=-1).flatten(0, 1),
                dim=0,
                return_inverse=True,
            )
            figures = asked.figures(encoded.match(pairs)[place].view_as(asked.options))
            count = asked.options.shape[1]
            variants.append(Variant(f'{encoded.name}_match', figures, reranked=count))
        facts = dict(
            videos=encoded.size,
            questions=len(asked.answers),
            options=asked.options.shape[1],
            texts=len(encoded.texts),
            unreadable=len(encoded.unreadable),
        )
        return SetReport(encoded.name, encoded.files, facts, variants)


class _AskedQuestions(NamedTuple):
    """Questions about a set's media, of which R can be asked since their medium is readable.

    Attributes:
        rows: (R,) which questions these are.
        media: (R,) their medium, by its place among the readable ones.
        options: (R, K) texts.
        answers: (Q,) or (Q, K) of all questions.
    """

    rows: Tensor
    media: Tensor
    options: Tensor
    answers: Tensor

    @classmethod
    def of(cls, encoded: EncodedSet) -> '_AskedQuestions':
        place = torch.full((encoded.size,), -1)
        place[encoded.rows] = torch.arange(len(encoded.rows))
        media = place[torch.tensor(encoded.truth['media'])]
        rows = (media >= 0).nonzero().flatten()
        options, answers = (torch.tensor(encoded.truth[key]) for key in ('options', 'answers'))
        return cls(rows, media[rows], options[rows], answers)

    def figures(self, scores: Tensor) -> dict[str, float]:
        """``accuracy`` or ``mAP`` of scores (R, K)."""
        count = len(self.answers)
        if self.answers.ndim == 2:
            whole = scores.new_full(self.answers.shape, -torch.inf)
            whole[self.rows] = scores
            finite = scores[scores.isfinite()]
            if not finite.numel():
                return dict(mAP=0.0)
            # Options of an unreadable video come last, all alike, as do scores of no number.
            last = float(finite.min()) - 1.0
            whole = whole.nan_to_num(nan=last, neginf=last)
            return dict(mAP=mean_average_precision(whole, self.answers.bool()))
        best = scores.gather(1, self.answers[self.rows][:, None])
        right = ((scores >= best).sum(dim=1) == 1).sum().item()  # ties never help
        return dict(accuracy=round(100 * right / count, 2))


def option_scores(media: Tensor, texts: Tensor, options: Tensor, temp: float) -> Tensor:
    """(N, K) log soft-max over options (N, K) of similarity over temperature."""
    rows = [
        scores.gather(1, options[first : first + len(scores)])
        for first, scores in score_blocks(media, texts)
    ]
    scores = torch.cat(rows) if rows else media.new_zeros(options.shape)
    return (scores / temp).log_softmax(dim=-1)


def inverted(links: Sequence[Sequence[int]], count: int) -> Links:
    """For each of ``count`` numbers, which lists hold it."""
    back: Links = [[] for _ in range(count)]
    for row, columns in enumerate(links):
        for column in columns:
            back[column].append(row)
    return back


def _with_lost(ranks: Tensor, encoded: EncodedSet) -> Tensor:
    """Ranks of all media; those that could not be read have found nothing."""
    lost = torch.full((encoded.size - len(encoded.rows),), NOT_FOUND)
    return torch.cat([ranks, lost])


def _range(counts: Sequence[int]) -> str:
    """``1``, or ``1..5 (mean 2.3)``."""
    least, most = min(counts, default=0), max(counts, default=0)
    mean = sum(counts) / max(1, len(counts))
    return str(least) if least == most else f'{least}..{most} (mean {mean:.1f})'
