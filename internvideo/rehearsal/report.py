"""A rehearsal as text, as a row of a table, and as JSON."""

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any

from .facts import ConfigFacts, LayoutFacts
from .hardware import GB, MEMORIES
from .rehearsal import Rehearsal
from .run_length import RunLength
from .trial_run import NOT_RUN, TrialReport


def gigabytes(size: float) -> str:
    """Bytes as ``12.3 GB``."""
    return f'{size / GB:.1f} GB'


def describe(rehearsal: Rehearsal) -> Iterator[str]:
    """The lines about one config."""
    yield rehearsal.path
    for finding in rehearsal.findings:
        yield f'  {finding}'
    yield from (f'  note: {note}' for note in rehearsal.notes)
    if rehearsal.facts is not None:
        yield from (f'  {line}' for line in describe_facts(rehearsal.facts))
    trial = rehearsal.trial
    yield from (f'  note: {note}' for note in (() if trial is None else trial.notes))
    if trial is not None and trial.ran:
        yield (
            f'  trial: {_deeds(trial)} of {_tried(trial)}: {trial.seconds:.1f} s, '
            f'{gigabytes(trial.peak_bytes)}'
        )
    elif trial is not None and trial.stage == NOT_RUN:
        yield f'  trial: not run: {trial.reason}'
    elif trial is not None:
        yield f'  trial: failed at {trial.stage}: {trial.reason}'
        yield from (f'    {line}' for line in trial.details.splitlines())
    yield f'  {verdict(rehearsal)}'


def _tried(trial: TrialReport) -> str:
    return 'a shrunken copy' if trial.is_shrunken else 'the model as it is'


def _deeds(trial: TrialReport) -> str:
    return f'{trial.steps} iterations, validation, save and resume' if trial.steps else 'test'


def verdict(rehearsal: Rehearsal) -> str:
    """One word, and why."""
    if rehearsal.passed:
        return 'passed'
    faults = len(rehearsal.faults)
    trial = rehearsal.trial is not None and not rehearsal.trial.passed
    return f'FAILED: {faults} fault(s)' + (', the trial' if trial else '')


def describe_facts(facts: ConfigFacts) -> Iterator[str]:
    """Size, cost, length and memory."""
    flops = facts.flops
    yield f'parameters: {facts.total:,}, trainable {facts.trainable:,}' + (
        f'; teachers {gigabytes(facts.teacher_bytes)}' if facts.teacher_bytes else ''
    )
    yield (
        f'a clip: {facts.tokens_per_clip} tokens; forward {flops.forward / 1e9:,.1f} GFLOP'
        + (f', training {flops.model / 1e9:,.1f} GFLOP' if flops.backward else '')
        + (f' + {flops.recompute / 1e9:,.1f} recomputed' if flops.recompute else '')
    )
    for kind, cost in facts.kinds.items():
        yield (
            f'{kind}: {cost.batch} a batch, {cost.tokens} tokens and '
            f'{cost.flops / 1e9:,.1f} GFLOP each'
            + ('' if cost.items else '; how many there are is not known, the run leaves them out')
        )
    if facts.length is None:
        yield (
            f'a test of {facts.clips_per_batch} items a batch takes {gigabytes(facts.peak)}: '
            'float32 weights and encoding the media'
        )
        return
    yield from _describe_length(facts.length)
    yield from memory_table(facts)


def _describe_length(length: RunLength) -> Iterator[str]:
    if length.samples:
        about = '' if length.samples_known else 'about '
        yield (
            f'run: {about}{length.samples:,} videos, {length.epochs} epochs x '
            f'{length.steps_per_epoch:,} steps of {length.clips // max(length.steps, 1):,} clips; '
            f'{length.tokens / 1e9:,.1f} G tokens'
        )
        yield (
            f'cost: {length.exaflops:,.1f} EFLOP; at {length.mfu:.0%} of {length.gpu} '
            f'{length.gpu_hours:,.1f} GPU-hours, {length.hours:,.1f} h on {length.world_size}'
        )


def memory_table(facts: ConfigFacts) -> Iterator[str]:
    """A row for each strategy: bytes per GPU, and what fits."""
    sizes = [f'{memory // GB} GB' for memory in MEMORIES]
    yield (
        f'memory per GPU, {facts.length.world_size} GPUs, {facts.clips_per_batch} clips a forward '
        'pass (most clips | frames that fit):'
    )
    parts = ('weights', 'grads', 'optimizer', 'buffers', 'activations', 'validation', 'peak')
    head = ['strategy', *parts, *sizes]
    rows = [head, *(_memory_row(layout, facts.configured) for layout in facts.layouts)]
    yield from aligned(rows)


def _memory_row(layout: LayoutFacts, configured: str) -> list[str]:
    static = layout.static
    parts = (
        *(static.params, static.grads, static.optimizer, static.buffers),
        *(layout.activations, static.validation),
    )
    fits = [f'{layout.clips[m]} | {layout.frames[m]}' if layout.clips[m] else '-' for m in MEMORIES]
    star = '*' if layout.name == configured else ''
    return [layout.name + star, *(gigabytes(part) for part in (*parts, layout.peak)), *fits]


def aligned(rows: Iterable[list[str]]) -> Iterator[str]:
    """Rows with their columns under each other."""
    rows = list(rows)
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        first, *others = (
            cell.ljust(width) if index == 0 else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        yield '  '.join([first, *others]).rstrip()


def sweep_table(rehearsals: Iterable[Rehearsal]) -> Iterator[str]:
    """One row per config."""
    head = ['config', 'parameters', 'GFLOP/clip', 'clips', 'GPUs', 'peak', 'GPU-hours', 'trial']
    yield from aligned([[*head, 'verdict'], *(_sweep_row(each) for each in rehearsals)])


def _sweep_row(rehearsal: Rehearsal) -> list[str]:
    facts, trial = rehearsal.facts, rehearsal.trial
    cells = ['-'] * 6
    if facts is not None:
        length = facts.length
        cells = [
            f'{facts.total / 1e6:,.1f} M',
            f'{facts.flops.model / 1e9:,.0f}',
            str(facts.clips_per_batch),
            '-' if length is None else str(length.world_size),
            gigabytes(facts.peak),
            f'{length.gpu_hours:,.0f}' if length is not None and length.samples else '-',
        ]
    tried = '-' if trial is None else f'{trial.seconds:.0f} s {gigabytes(trial.peak_bytes)}'
    return [rehearsal.path, *cells, tried, verdict(rehearsal)]


def as_json(rehearsal: Rehearsal) -> dict[str, Any]:
    """Plain data."""
    return dict(
        config=rehearsal.path,
        passed=rehearsal.passed,
        seconds=rehearsal.seconds,
        notes=rehearsal.notes,
        findings=[finding.as_json() for finding in rehearsal.findings],
        facts=None if rehearsal.facts is None else asdict(rehearsal.facts),
        trial=None if rehearsal.trial is None else rehearsal.trial.as_json(),
    )
