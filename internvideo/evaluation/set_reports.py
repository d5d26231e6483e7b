"""Reports of evaluation sets, as text and as a file."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from internvideo.fileio.json_files import write_json
from internvideo.structures.encoded_sets import SetReport, Variant

REPORT = 'evaluation.json'


def reports_by_set(reports: Iterable[SetReport], order: Sequence[str]) -> list[SetReport]:
    """One report a set, in the order of the sets, where several metrics have scored it."""
    merged: dict[str, SetReport] = {}
    for report in reports:
        known = merged.get(report.name)
        if known is not None:
            # Metrics of one set state the same facts, and each its own variants.
            variants, facts = [*known.variants, *report.variants], known.facts | report.facts
            report = replace(known, variants=variants, facts=facts)
        merged[report.name] = report
    return [merged[name] for name in order if name in merged]


def write_reports(reports: Sequence[SetReport], folder: str | Path) -> None:
    """Write ``evaluation.json``, whole or not at all."""
    write_json(Path(folder) / REPORT, [asdict(report) for report in reports], indent=1)


def report_text(report: SetReport) -> str:
    """A set's report as lines of text."""
    facts = ', '.join(f'{key.replace("_", " ")} {value}' for key, value in report.facts.items())
    lines = [f'{report.name} ({report.files}): {facts}']
    for variant in report.variants:
        how = ['dual softmax' if variant.dual_softmax else 'no dual softmax', _judgement(variant)]
        metrics = '  '.join(f'{name} {value:.2f}' for name, value in variant.figures.items())
        lines.append(f'  {variant.prefix} ({", ".join(how)}): {metrics}')
    lines += [f'  unreadable: {lost["path"]} ({lost["reason"]})' for lost in report.unreadable[:5]]
    return '\n'.join(lines)


def _judgement(variant: Variant) -> str:
    """Counts of the pairs that the matching head has scored."""
    if not variant.reranked:
        return 'not re-ranked'
    if variant.candidates is None:
        return f'all {variant.reranked} options matched'
    return f'{variant.reranked} re-ranked of the best by {variant.candidates.replace("_", " ")}'
