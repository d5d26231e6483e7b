"""The shrunken copy of a config, run for real: train, validate, save, resume."""

import contextlib
import dataclasses
import io
import logging
import resource
import tempfile
import time
import traceback
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from . import first_rows  # noqa: F401  (registers itself)
from .custom_imports import import_custom_parts
from .examples import MediaCache
from .findings import one_line
from .processes import ProcessFailure, run_apart
from .shrink import STEPS, NotRehearsedError, SmallConfig, has_foreign_parts, is_small, small_config

NOT_RUN = 'not run'
TIME_LIMIT = 120
"""Seconds after which a trial is stopped."""


@dataclass(frozen=True)
class TrialReport:
    """Results of a trial.

    Attributes:
        stage: ``done``, or the stage that failed: ``build``, ``train``, ``resume``, ``test``,
            ``process``; or :data:`NOT_RUN` where there is nothing to run it on.
        reason: why it failed, empty when it did not.
        details: traceback of the failure.
        steps: training iterations in all, before and after resuming.
        seconds: wall time.
        peak_bytes: largest resident memory of the process.
        metrics: of the last validation, or of the test.
        notes: what was not as in a trial of parts that offer everything.
        is_shrunken: whether the model was made smaller.
    """

    stage: str
    reason: str = ''
    details: str = ''
    steps: int = 0
    seconds: float = 0.0
    peak_bytes: int = 0
    metrics: dict[str, float] | None = None
    notes: tuple[str, ...] = ()
    is_shrunken: bool = True

    @property
    def ran(self) -> bool:
        """Whether all stages ran."""
        return self.stage == 'done'

    @property
    def passed(self) -> bool:
        """Whether nothing failed."""
        return self.stage in ('done', NOT_RUN)

    def as_json(self) -> dict:
        """Plain data."""
        return asdict(self)


def try_run(
    config: Mapping[str, Any], cache: MediaCache, name: str, path: str | None = None
) -> TrialReport:
    """Run the shrunken copy of ``config``, training or test, in a process of its own.

    Two training iterations, a validation, a checkpoint; then another run resumes from it for
    another epoch.  All files are in a temporary folder.
    """
    start = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix='rehearsal-') as folder:
        try:
            report = run_apart(run_trial, config, cache, name, Path(folder), path, limit=TIME_LIMIT)
        except ProcessFailure as error:
            report = TrialReport('process', str(error))
    return dataclasses.replace(report, seconds=time.perf_counter() - start)


def run_trial(
    config: Mapping[str, Any],
    cache: MediaCache,
    name: str,
    folder: Path,
    path: str | None = None,
) -> TrialReport:
    """The trial itself, in this process, silently."""
    quiet = io.StringIO()
    # A process runs this one trial, so that what is switched off here disturbs nobody else.
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(quiet), contextlib.redirect_stderr(quiet):
            import_custom_parts(config, path)
            trial = _attempt(config, cache, name, folder)
    finally:
        logging.disable(logging.NOTSET)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return TrialReport(
        *(trial.stage, trial.reason, trial.details, trial.steps, 0.0, peak, trial.metrics),
        notes=tuple(trial.notes),
        is_shrunken=trial.is_shrunken,
    )


def _attempt(config: Mapping[str, Any], cache: MediaCache, name: str, folder: Path) -> '_Trial':
    """Try the shrunken copy and, with parts of others in it, then the model as it is.

    Such a part may have sizes that a rehearsal cannot know of.
    """
    trial = _Trial()
    trial.try_all(config, cache, name, folder, None)
    may_not_shrink = trial.is_shrunken and has_foreign_parts(config['model'])
    if trial.reason and trial.stage != NOT_RUN and may_not_shrink and is_small(config['model']):
        again = _Trial()
        # A folder of its own: the second try must not resume from what the first has saved.
        (folder / 'whole').mkdir()
        again.try_all(config, cache, f'{name}-whole', folder / 'whole', True)
        if again.stage == 'done':
            again.notes.append(f'the model does not shrink ({trial.reason}): it was tried as it is')
        return again
    return trial


class _Trial:
    """Stage and results of a trial under way."""

    def __init__(self) -> None:
        self.stage, self.steps, self.reason, self.details = 'build', 0, '', ''
        self.metrics: dict[str, float] | None = None
        self.notes: list[str] = []
        self.is_shrunken = True

    def try_all(
        self,
        config: Mapping[str, Any],
        cache: MediaCache,
        name: str,
        folder: Path,
        keeps_model: bool | None,
    ) -> None:
        """Run all stages and keep the first failure."""
        try:
            small = small_config(config, folder, cache, name, keeps_model)
            self.notes, self.is_shrunken = small.notes, small.is_shrunken
            self.run(small, name)
            self.stage = 'done'
        except NotRehearsedError as error:
            self.stage, self.reason = NOT_RUN, str(error)
        except BaseException as error:  # also what ends a process: the report is needed
            self.reason = one_line(error)
            # The innermost calls tell; those of the runner above them are alike for every config.
            self.details = traceback.format_exc(limit=-6)

    def run(self, made: SmallConfig, name: str) -> None:
        """Train, validate, save and resume, or test."""
        small = made.config
        first = self._build(small)
        if not small.get('train_dataloader'):
            self.stage = 'test'
            self.metrics = {key: float(value) for key, value in (first.test() or {}).items()}
            if not self.metrics:
                raise RuntimeError('the test reported no figure')
            return
        self.stage = 'train'
        self._train(first)
        loop = small['train_cfg']
        by_epoch = 'max_epochs' in loop
        if by_epoch and self.steps < 1:
            raise RuntimeError(f'trained {self.steps} of {STEPS} iterations')
        if not by_epoch:
            return  # a loop that counts otherwise is not made longer
        self.stage = 'resume'
        # Another name: runs of one process and name would share their logger and message hub.
        again = dict(small, resume='auto', experiment_name=f'{name}-resumed')
        again['train_cfg'] = dict(loop, max_epochs=2)
        second = self._build(again)
        self._train(second)
        # A runner of a project need not have the attribute at all; only None says that nothing was
        # found.
        if getattr(second, 'resume_path', '') is None:
            raise RuntimeError('the run saved no checkpoint that it can resume from')

    def _train(self, runner: Any) -> None:
        try:
            runner.train()
        except BaseException:
            with contextlib.suppress(Exception):  # what was validated helps to say why
                self._take_results(runner)
            raise
        self._take_results(runner)

    def _build(self, config: Mapping[str, Any]) -> Any:
        from mmengine.config import Config

        from internvideo.registry import RUNNERS

        # Formatting a config takes longer than training its small copy, and nobody reads this one.
        plain = Config(dict(config), format_python_code=False)
        return RUNNERS.get(config.get('runner_type', 'Runner')).from_cfg(plain)

    def _take_results(self, runner: Any) -> None:
        self.steps = runner.iter
        scalars = runner.message_hub.log_scalars
        self.metrics = {
            key.removeprefix('val/'): float(buffer.current())
            for key, buffer in scalars.items()
            if key.startswith('val/') and 'time' not in key
        }
