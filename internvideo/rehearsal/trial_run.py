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

from .findings import one_line
from .generated_data import MediaCache
from .processes import ProcessFailure, run_apart
from .shrink import STEPS, shrink

TIME_LIMIT = 120
"""Seconds after which a trial is stopped."""


@dataclass(frozen=True)
class TrialReport:
    """What a trial did.

    Attributes:
        stage: ``done``, or the stage that failed: ``build``, ``train``, ``resume``, ``test``,
            ``process``.
        reason: why it failed, empty when it did not.
        details: traceback of the failure.
        steps: training iterations in all, before and after resuming.
        seconds: wall time.
        peak_bytes: largest resident memory of the process.
        metrics: of the last validation, or of the test.
    """

    stage: str
    reason: str = ''
    details: str = ''
    steps: int = 0
    seconds: float = 0.0
    peak_bytes: int = 0
    metrics: dict[str, float] | None = None

    @property
    def passed(self) -> bool:
        """Whether all stages ran."""
        return self.stage == 'done'

    def as_json(self) -> dict:
        """Plain data."""
        return asdict(self)


def try_run(config: Mapping[str, Any], cache: MediaCache, name: str) -> TrialReport:
    """Run the shrunken copy of ``config`` in a process of its own; one that only tests is tested.

    Two training iterations, a validation, a checkpoint; then another run resumes from it for
    another epoch.  All files are in a temporary folder.
    """
    start = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix='rehearsal-') as folder:
        try:
            report = run_apart(run_trial, config, cache, name, Path(folder), limit=TIME_LIMIT)
        except ProcessFailure as error:
            report = TrialReport('process', str(error))
    return dataclasses.replace(report, seconds=time.perf_counter() - start)


def run_trial(config: Mapping[str, Any], cache: MediaCache, name: str, folder: Path) -> TrialReport:
    """The trial itself, in this process, silently."""
    trial = _Trial()
    stage, reason, details = 'done', '', ''
    quiet = io.StringIO()
    try:
        with contextlib.redirect_stdout(quiet), contextlib.redirect_stderr(quiet):
            logging.disable(logging.WARNING)
            trial.run(config, cache, name, folder)
    except BaseException as error:
        stage, reason = trial.stage, one_line(error)
        details = traceback.format_exc(limit=-6)
    finally:
        logging.disable(logging.NOTSET)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return TrialReport(stage, reason, details, trial.steps, 0.0, peak, trial.metrics)


class _Trial:
    """Stage and results of a trial under way."""

    def __init__(self) -> None:
        self.stage, self.steps = 'build', 0
        self.metrics: dict[str, float] | None = None

    def run(self, config: Mapping[str, Any], cache: MediaCache, name: str, folder: Path) -> None:
        small = shrink(config, folder, cache, name)
        first = self._build(small)
        if not small.get('train_dataloader'):
            self.stage = 'test'
            self.metrics = {key: float(value) for key, value in first.test().items()}
            if not self.metrics:
                raise RuntimeError('the test reported no figure')
            return
        self.stage = 'train'
        first.train()
        self._take_results(first)
        if self.steps < STEPS:
            raise RuntimeError(f'trained {self.steps} of {STEPS} iterations')
        self.stage = 'resume'
        again = dict(small, resume='auto', experiment_name=f'{name}-resumed')
        again['train_cfg'] = dict(small['train_cfg'], max_epochs=2)
        second = self._build(again)
        second.train()
        if second.resume_path is None:
            raise RuntimeError('the run saved no checkpoint that it can resume from')
        self._take_results(second)

    def _build(self, config: Mapping[str, Any]) -> Any:
        from mmengine.config import Config

        from internvideo.registry import RUNNERS

        return RUNNERS.get(config.get('runner_type', 'Runner')).from_cfg(Config(dict(config)))

    def _take_results(self, runner: Any) -> None:
        self.steps = runner.iter
        scalars = runner.message_hub.log_scalars
        self.metrics = {
            key.removeprefix('val/'): float(buffer.current())
            for key, buffer in scalars.items()
            if key.startswith('val/') and 'time' not in key
        }
