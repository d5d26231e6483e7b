"""A whole rehearsal: faults, facts and a trial, for one config or for all."""

import itertools
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from internvideo.structures.rehearsal import Finding

from .custom_imports import import_custom_parts
from .examples import MediaCache
from .facts import ConfigFacts, gather_facts, model_sizes
from .fake_model import parameter_counts
from .faults import find_faults
from .findings import one_line
from .hardware import gpu_by_name
from .memory import ModelSizes
from .options import Options
from .processes import ProcessFailure, import_for_many, run_apart
from .rehearsed_config import RehearsedConfig, build_fake_model, observe_loaders
from .run_rules import SAVE_BEST, unreported
from .trial_run import TrialReport, try_run

STUDY_LIMIT = 300
"""Seconds after which the study of one config is stopped."""

MANY = 5
"""Configs from which on it pays to import everything once instead of what each one needs."""

_RUNS = itertools.count()


@dataclass
class Rehearsal:
    """Results of a rehearsal of one config."""

    path: str
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    facts: ConfigFacts | None = None
    trial: TrialReport | None = None
    seconds: float = 0.0
    strict: bool = False

    @property
    def faults(self) -> list[Finding]:
        """Findings that count as faults."""
        return [f for f in self.findings if self.strict or not f.is_missing_file]

    @property
    def passed(self) -> bool:
        """Whether there is no fault and a trial ran, if one was asked for."""
        return not self.faults and (self.trial is None or self.trial.passed)


def rehearse(path: str | Path, options: Options, cache: MediaCache) -> Rehearsal:
    """Rehearse the config file ``path``."""
    from mmengine.config import Config

    try:
        # Modules are imported where parts are built: names of two projects may be the same.
        config = Config.fromfile(path, import_custom_modules=False)
    except Exception as error:  # a config is code: it may raise anything
        finding = Finding(str(path), f'cannot be read: {one_line(error)}')
        return Rehearsal(str(path), [finding])
    return rehearse_config(config, str(path), options, cache)


def rehearse_config(config: Any, path: str, options: Options, cache: MediaCache) -> Rehearsal:
    """Rehearse a config that is loaded already, under the name ``path``.

    Study and trial each run in a process of their own.
    """
    start = time.perf_counter()
    result = Rehearsal(path, strict=options.strict)
    try:
        result.findings, result.notes, result.facts = run_apart(
            study, config, options, cache, path, limit=STUDY_LIMIT
        )
    except ProcessFailure as error:
        result.findings = [Finding(path, f'cannot be studied: {error}')]
    if options.trial:
        result.trial = try_run(config, cache, f'rehearsal-{next(_RUNS)}', path)
        result.findings += _unreported_best(config, result)
    result.seconds = time.perf_counter() - start
    return result


def _unreported_best(config: Any, result: Rehearsal) -> Iterator[Finding]:
    """Findings that only the trial knows: the metrics that its validation has reported."""
    wanted = ((config.get('default_hooks') or {}).get('checkpoint') or {}).get('save_best')
    said = any(finding.field == SAVE_BEST for finding in result.findings)
    if isinstance(wanted, str) and not said and result.trial.metrics:
        yield from unreported(wanted, result.trial.metrics)


def study(
    config: Any, options: Options, cache: MediaCache, path: str | None = None
) -> tuple[list[Finding], list[str], ConfigFacts | None]:
    """Findings, notes and, without faults, facts of a config, from this process."""
    from mmengine.registry import init_default_scope

    init_default_scope(config.get('default_scope', 'internvideo'))
    not_imported = import_custom_parts(config, path)
    world_size = options.gpus or config.get('num_gpus') or 1
    if not isinstance(world_size, int) or world_size < 1:
        return [Finding('num_gpus', f'{world_size!r} is no number of GPUs')], [], None
    with tempfile.TemporaryDirectory(prefix='rehearsal-lists-') as folder:
        findings, rehearsed = find_faults(config, world_size, cache, Path(folder))
    findings = [*not_imported, *findings]
    at_fault = any(not finding.is_missing_file for finding in findings)
    wanted = options.facts and not at_fault
    facts = gather_facts(rehearsed, options) if wanted else None
    return findings, list(dict.fromkeys(rehearsed.notes)), facts


def model_facts(config: Any, world_size: int = 1) -> tuple[ModelSizes, float]:
    """Sizes of a config's model, and the FLOPs of a training step of one clip.

    Raises:
        ValueError: its data set or its model cannot be built; says why.
    """
    rehearsed = RehearsedConfig(config, world_size)
    with tempfile.TemporaryDirectory(prefix='rehearsal-') as folder:
        cache = MediaCache(Path(folder) / 'media')
        lists = Path(folder) / 'lists'
        lists.mkdir()
        findings = [
            *build_fake_model(rehearsed, cache),
            *observe_loaders(rehearsed, cache, lists),
        ]
    if findings or not rehearsed.training:
        raise ValueError('; '.join(str(finding) for finding in findings) or 'no training clip')
    sizes = model_sizes(rehearsed, *parameter_counts(rehearsed.model))
    (template, *_), fake = rehearsed.training, rehearsed.fake
    # Two rows: some parts of a training want an even number.
    items = 2 * template.per_row
    return sizes, fake.trace(template, items).flops.model / items


def leaves(*folders: str | Path) -> list[Path]:
    """Config files below ``folders`` that are not bases of others.

    Where a folder holds other Python files as well, as projects do, configs are those below a
    folder called ``configs``.

    Raises:
        FileNotFoundError: a folder holds none.
    """
    found: list[Path] = []
    for folder in folders:
        files = sorted(p for p in Path(folder).rglob('*.py') if '_base_' not in p.parts)
        if not files:
            raise FileNotFoundError(f'no config below {folder}')
        found += [path for path in files if 'configs' in path.parts] or files
    return list(dict.fromkeys(found))


def rehearse_all(
    paths: Sequence[str | Path], options: Options, cache: MediaCache, jobs: int = 1
) -> Iterator[Rehearsal]:
    """Rehearse config files, ``jobs`` at a time, in the order given.

    Raises:
        ValueError: the GPU of ``options`` is not known.
    """
    gpu_by_name(options.gpu)
    if len(paths) >= MANY:
        import_for_many()
    # Before the threads: their processes would all render the same clips at once.
    cache.prepare()
    with ThreadPoolExecutor(max(jobs, 1)) as threads:  # each waits for a process of its own
        yield from threads.map(lambda path: rehearse(path, options, cache), paths)
