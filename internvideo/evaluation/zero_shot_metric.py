"""Zero-shot recognition: videos against the names of their classes.

Source: arXiv 2403.15377, section 4 and its published evaluation programs.
"""

from internvideo.registry import METRICS
from internvideo.structures.encoded_sets import EncodedSet, SetReport, Variant

from .retrieval_metric import with_lost
from .scorers import streamed_ranks
from .set_metric import SetMetric

TOP = (1, 5)


@METRICS.register_module()
class ZeroShotMetric(SetMetric):
    """Zero-shot recognition: ``top1``, ``top5`` and their mean ``avg``, of plain similarities.

    A class is the mean over its sentences.  Videos that could not be read count as wrong.

    Args: those of :class:`SetMetric`.
    """

    task = 'action'

    def names_of_set(self, name: str) -> list[str]:
        """See :class:`SetMetric`."""
        return [f'{self.prefix_of(name)}/{key}' for key in (*(f'top{k}' for k in TOP), 'avg')]

    def score(self, encoded: EncodedSet) -> SetReport:
        """Score one set."""
        links = [[encoded.ground_truth[row]] for row in encoded.rows.tolist()]
        samples, texts = self.scorer.sides(encoded)
        ranks = streamed_ranks(samples, texts, links, entries=self.entries, scorer=self.scorer)
        ranks = with_lost(ranks, encoded)
        top = {f'top{k}': 100 * (ranks < k).double().mean().item() for k in TOP}
        metrics = top | dict(avg=sum(top.values()) / len(top))
        metrics = {name: round(value, 2) for name, value in metrics.items()}
        facts = dict(
            videos=encoded.size, classes=len(encoded.texts), unreadable=len(encoded.unreadable)
        )
        variants = [Variant(self.prefix_of(encoded.name), metrics)]
        return SetReport(encoded.name, encoded.files, facts, variants, encoded.unreadable)
