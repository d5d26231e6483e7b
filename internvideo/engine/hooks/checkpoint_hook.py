"""Schedule of checkpoints and choice of the best."""

import difflib
import math
from pathlib import Path
from typing import Any

from mmengine.dist import master_only
from mmengine.hooks import Hook

from internvideo.evaluation.reported_names import is_reported
from internvideo.fileio.atomic import remove_temporary_files
from internvideo.registry import HOOKS


@HOOKS.register_module()
class CheckpointHook(Hook):
    """Saves ``epoch_N.pth`` after epochs, ``epoch_N_iter_M.pth`` inside them, and the best.

    A checkpoint at the end of an epoch is written before its validation, which a resumed run
    makes up for.  Files are written atomically (see :mod:`internvideo.fileio`).

    Args:
        interval: Epochs between checkpoints; 0 for none.  The last epoch is always saved.
        interval_iters: Also save every so many batches, at the next complete optimiser step; 0
            for never.
        max_keep_ckpts: Keep this many of the newest; -1 for all.  The best is kept besides.
        save_best: Metric whose best value keeps ``best_<metric>_epoch_N.pth`` (weights only).
        rule: ``greater`` or ``less`` is better; by default greater unless the name has ``loss``.
    """

    priority = 'VERY_LOW'

    def __init__(
        self,
        interval: int = 1,
        interval_iters: int = 0,
        max_keep_ckpts: int = -1,
        save_best: str | None = None,
        rule: str | None = None,
    ) -> None:
        if max_keep_ckpts == 0 or max_keep_ckpts < -1:
            raise ValueError(f'CheckpointHook: max_keep_ckpts must be -1 or >= 1: {max_keep_ckpts}')
        if rule not in (None, 'greater', 'less'):
            raise ValueError(f'CheckpointHook: rule must be greater or less, got {rule!r}')
        self.interval, self.interval_iters = interval, interval_iters
        self.max_keep_ckpts = max_keep_ckpts
        self.save_best = save_best
        less = rule == 'less' or (rule is None and 'loss' in (save_best or ''))
        self.sign = -1.0 if less else 1.0
        self._due = False

    @master_only
    def _clean(self, directory: str) -> None:
        remove_temporary_files(directory)

    def before_train(self, runner: Any) -> None:
        """Clear away what a killed run was writing.

        Raises ValueError where validation will not report ``save_best``, if that is known by now.
        """
        ask = getattr(runner.val_loop, 'reported_names', None) if self.save_best else None
        names = None if ask is None else ask()
        if names is not None and not is_reported(self.save_best, names):
            near = difflib.get_close_matches(self.save_best, names, n=3) or names[:10]
            raise ValueError(
                f'default_hooks.checkpoint.save_best={self.save_best!r} is of no set and no metric '
                f'that is validated; val_evaluator reports {", ".join(near)}, ...'
            )
        self._clean(runner.work_dir)

    def after_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        """Save inside an epoch."""
        # Half an accumulated gradient cannot be saved: a save that falls due waits for the step.
        self._due |= self.every_n_train_iters(runner, self.interval_iters)
        if not self._due or not runner.optim_wrapper.should_update():
            return
        self._due = False
        loop = runner.train_loop
        # The last batch of an epoch is left to after_train_epoch: one file, not two.
        if loop.batches_done < loop.iters_per_epoch or not self._saves_after_epoch(runner):
            runner.save_progress(keep=self.max_keep_ckpts)

    def _saves_after_epoch(self, runner: Any) -> bool:
        return self.every_n_epochs(runner, self.interval) or self.is_last_train_epoch(runner)

    def after_train_epoch(self, runner: Any) -> None:
        """Save at the end of an epoch."""
        if self._saves_after_epoch(runner):
            runner.save_progress(keep=self.max_keep_ckpts)

    def before_val_epoch(self, runner: Any) -> None:
        """Forget a save that was due, which would repeat this validation when resumed."""
        self._due = False

    def after_train(self, runner: Any) -> None:
        """Wait for the last file, so that the next program finds it whole."""
        runner.finish_saving()

    def after_val_epoch(self, runner: Any, metrics: dict | None = None) -> None:
        """Keep the best weights."""
        if self.save_best is None or not runner.is_training:
            return
        key, value = self._metric(metrics or {})
        best = runner.message_hub.get_info('best_score')
        best = -math.inf if best is None else self.sign * best
        # A metric that is NaN compares as false and never becomes the best.
        if self.sign * value > best:
            self._keep_best(runner, key, value)

    def _metric(self, metrics: dict[str, float]) -> tuple[str, float]:
        """Find the metric named ``save_best``, with or without its prefix."""
        for name, value in metrics.items():
            if name == self.save_best or name.rsplit('/', 1)[-1] == self.save_best:
                return name, float(value)
        raise KeyError(
            f'save_best={self.save_best!r} is not among the metrics: {", ".join(metrics) or "none"}'
        )

    def _keep_best(self, runner: Any, key: str, value: float) -> None:
        hub = runner.message_hub
        previous = hub.get_info('best_ckpt')
        path = Path(runner.work_dir) / f'best_{key.replace("/", "_")}_epoch_{runner.epoch}.pth'
        hub.update_info('best_score', value)
        hub.update_info('best_ckpt', str(path))
        replaced = None
        # By name, in this run's folder: it may have been moved since the checkpoint was written.
        if previous and Path(previous).name != path.name:
            replaced = Path(runner.work_dir) / Path(previous).name
        runner.save_weights(path, {key: value}, replaced)
        runner.logger.info(f'best {key} so far: {value:.4f}; weights in {path.name}')
