"""Checkpoint, requeueing and exit on SIGTERM and SIGUSR1."""

import os
import signal
import threading
from types import FrameType
from typing import Any

import torch
from mmengine.dist import all_reduce, barrier, get_world_size, is_main_process
from mmengine.hooks import Hook

from internvideo.engine.slurm import requeue
from internvideo.registry import HOOKS

SIGNALS = (signal.SIGTERM, signal.SIGUSR1)


class Interrupted(SystemExit):
    """Exit of a run that saved its state because of a signal, with code 128 + signal."""

    def __init__(self, signum: int, checkpoint: str) -> None:
        super().__init__(128 + signum)
        self.message = (
            f'stopped by {signal.Signals(signum).name}; state saved in {checkpoint}; '
            'go on with --resume auto'
        )


def shield_worker() -> None:
    """Let a loader worker outlive a signal to its process group until the run has saved.

    SIGTERM from the process that owns the worker still ends it.
    """
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    # SLURM and kill signal the whole group: a worker that died would fail the batch that the main
    # process still waits for.  Blocked, SIGTERM goes to the thread, which knows who sent it.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    threading.Thread(target=_obey_owner, args=(os.getppid(),), daemon=True).start()


def _obey_owner(owner: int) -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != owner:
        pass
    os._exit(0)


@HOOKS.register_module()
class InterruptHook(Hook):
    """Turns SIGTERM and SIGUSR1 into a checkpoint, requeueing under SLURM and an exit.

    All processes leave after the same optimiser step, whichever of them saw the signal.  During
    validation, where their steps are not aligned, each leaves by its own signal.

    Raises:
        Interrupted: once the checkpoint is written.
    """

    priority = 'LOWEST'

    def __init__(self) -> None:
        self.signum = 0
        self._previous: dict[int, Any] = {}

    def before_train(self, runner: Any) -> None:
        """Handle the signals, if in the main thread."""
        if threading.current_thread() is not threading.main_thread():
            return
        for signum in SIGNALS:
            self._previous[signum] = signal.signal(signum, self._note)

    def after_train(self, runner: Any) -> None:
        """Restore the previous handlers."""
        while self._previous:
            signal.signal(*self._previous.popitem())

    def release_process(self, runner: Any) -> None:
        """Restore the previous handlers of a caller that outlives a failed training."""
        self.after_train(runner)

    def _note(self, signum: int, frame: FrameType | None) -> None:
        # Python runs handlers between any two instructions, so nothing is saved from here.
        self.signum = self.signum or signum

    def after_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        """Save and leave if any process saw a signal and the step is complete."""
        if not runner.optim_wrapper.should_update():
            return  # half an accumulated gradient cannot be saved
        signum = self._agreed()
        if signum:
            self._leave(runner, signum)

    def after_val_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Save and leave during validation, which the resumed run starts over."""
        if self.signum and runner.is_training:
            self._leave(runner, self.signum)

    def _agreed(self) -> int:
        if get_world_size() == 1:
            return self.signum
        # In every step: a process that left alone would leave the others in a collective.
        flag = torch.tensor(self.signum)
        all_reduce(flag, op='max')
        return int(flag)

    def _leave(self, runner: Any, signum: int) -> None:
        path = runner.save_progress(wait=True)
        error = Interrupted(signum, str(path))
        runner.logger.warning(error.message)
        outcome = requeue() if is_main_process() else ''
        if outcome:
            runner.logger.warning(outcome)
        barrier()  # srun may kill the whole step as soon as one process has left
        raise error
