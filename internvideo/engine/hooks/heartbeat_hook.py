"""Report of the processes that are missing when a collective hangs or fails."""

import json
import os
import socket
import sys
import sysconfig
import threading
import time
from dataclasses import asdict, dataclass
from datetime import timedelta
from types import FrameType
from typing import Any

import torch.distributed as dist
from mmengine.hooks import Hook

from internvideo.registry import HOOKS

SIGNS = ('gloo', 'nccl', 'timed out', 'connection closed', 'connection reset', 'connection refused')


class LostRankError(RuntimeError):
    """Failure of a collective because of other processes, which the message names."""


@dataclass(frozen=True)
class Beat:
    """Last message of a process about itself.

    Its step and what it does there; the line of code that its main thread is at, and whether that
    line lies inside an exchange with the others; when; and on which host and as which process.
    """

    step: int
    doing: str
    line: str
    waits: bool
    time: float
    host: str
    pid: int


@HOOKS.register_module()
class HeartbeatHook(Hook):
    """Publishes each process's step, to explain a hanging or failed collective.

    A thread publishes and watches, so steps cost nothing.  When no step ends for ``patience``
    seconds, one of the foremost processes logs which others lag behind or are silent.  When a
    collective fails (time-out of the process group, a peer gone), the error says the same.

    Args:
        interval: Seconds between beats.
        patience: Seconds without progress that are worth a report.

    Raises:
        LostRankError: in place of the library's error about a failed collective.
    """

    priority = 'LOWEST'

    def __init__(self, interval: float = 5, patience: float = 300) -> None:
        self.interval, self.patience = interval, patience
        self._state = (0, 'starting')
        self._over = threading.Event()
        self._store: dist.Store | None = None
        self._thread: threading.Thread | None = None

    def before_train(self, runner: Any) -> None:
        """Start the thread where there are several processes."""
        if runner.strategy.world_size == 1:
            return
        self.rank, self.world_size = runner.strategy.rank, runner.strategy.world_size
        # A connection of its own: torch's blocks while the main thread waits in it.
        store = dist.distributed_c10d._get_default_store().clone()
        store.set_timeout(timedelta(seconds=max(2 * self.interval, 1)))
        self._store = dist.PrefixStore('heartbeat', store)
        self._over.clear()
        self._thread = threading.Thread(
            target=self._live, args=(runner,), name='heartbeat', daemon=True
        )
        self._thread.start()

    def after_train(self, runner: Any) -> None:
        """Stop the thread, since one that is in the store would abort an exiting interpreter."""
        self._over.set()
        if self._thread is not None:
            self._thread.join(3 * self.interval)
            self._thread = None

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        """Note that the step begins."""
        self._state = (runner.iter + 1, 'computing')

    def after_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        """Note that the step is done."""
        self._state = (runner.iter + 2, 'between steps')

    def before_val_epoch(self, runner: Any) -> None:
        """Count validation as part of the step that follows."""
        self._state = (self._state[0], 'validating')

    def after_failure(self, runner: Any, error: Exception) -> None:
        """Turn the failure of a collective into one that names the processes.

        Each process that gives up says so and waits: those that do not say it were not there.
        """
        if self._store is None or not is_collective_failure(error):
            return
        time.sleep(3 * self.interval)  # a dead process must have missed a beat or two
        self._over.set()
        raise LostRankError(f'{self.explain()}; {str(error).splitlines()[0]}') from error

    def explain(self) -> str:
        """Name the processes that are silent or behind this one."""
        try:
            beats = self._read()
        except (dist.DistError, RuntimeError):
            return 'rank 0 or the launcher, which keeps the store of the job, does not answer'
        missing = [
            self._describe(rank, beat)
            for rank, beat in sorted(beats.items())
            if rank != self.rank and self._is_missing(beat)
        ]
        step, doing = self._state
        where = f'rank {self.rank} is {doing} in step {step}'
        return f'{where}; did not arrive: {", ".join(missing) or "nobody in particular"}'

    def _is_missing(self, beat: Beat | None) -> bool:
        if beat is None or self._is_silent(beat) or beat.step < self._state[0]:
            return True
        # In the same step and not in a collective: it computes, or loads, while others wait.
        return beat.step == self._state[0] and not beat.waits

    def _is_silent(self, beat: Beat) -> bool:
        return time.time() - beat.time > 2.5 * self.interval

    def _describe(self, rank: int, beat: Beat | None) -> str:
        if beat is None:
            return f'rank {rank} (never started to train)'
        silence = f', silent for {time.time() - beat.time:.0f} s' if self._is_silent(beat) else ''
        where = f'at {beat.line}, on {beat.host}, process {beat.pid}'
        return f'rank {rank} ({beat.doing} in step {beat.step} {where}{silence})'

    def _live(self, runner: Any) -> None:
        changed, last, reported = time.monotonic(), self._state, None
        while not self._over.is_set():
            if self._state != last:
                changed, last = time.monotonic(), self._state
            try:
                self._publish()
                stuck = time.monotonic() - changed > self.patience
                # One report a silence, by one process: hundreds would say the same.
                if stuck and reported != last and self._speaks():
                    reported = last
                    runner.logger.error(f'no step for {self.patience:g} s: {self.explain()}')
            except (dist.DistError, RuntimeError):
                return  # the store is gone and the job with it
            self._over.wait(self.interval)

    def _publish(self) -> None:
        # The main thread may hang in C code and never answer; its Python stack can still be read.
        frame = sys._current_frames().get(threading.main_thread().ident)
        place = (own_line(frame), is_exchanging(frame))
        beat = Beat(*self._state, *place, time.time(), socket.gethostname(), os.getpid())
        self._store.set(str(self.rank), json.dumps(asdict(beat)))

    def _read(self) -> dict[int, Beat | None]:
        beats: dict[int, Beat | None] = {}
        for rank in range(self.world_size):
            known = self._store.check([str(rank)])
            beats[rank] = Beat(**json.loads(self._store.get(str(rank)))) if known else None
        return beats

    def _speaks(self) -> bool:
        """Whether this is the first of the live processes that are furthest on."""
        living = {r: b for r, b in self._read().items() if b and not self._is_silent(b)}
        foremost = max((beat.step for beat in living.values()), default=0)
        return self.rank == min((r for r, b in living.items() if b.step == foremost), default=-1)


def is_exchanging(frame: FrameType | None) -> bool:
    """Whether a stack lies inside torch.distributed, a backward pass or this hook's own wait."""
    while frame is not None:
        module = frame.f_globals.get('__name__', '')
        if module.startswith('torch.distributed.distributed_c10d') or frame.f_code.co_name in (
            '_engine_run_backward',  # where DDP averages gradients
            'after_failure',
        ):
            return True
        frame = frame.f_back
    return False


def own_line(frame: FrameType | None) -> str:
    """Innermost line of a stack outside Python's library and installed packages."""
    library = sysconfig.get_paths()['stdlib']
    while frame is not None and frame.f_back is not None:
        file = frame.f_code.co_filename
        if not file.startswith((library, '<')) and 'site-packages' not in file:
            break
        frame = frame.f_back
    return f'{frame.f_code.co_filename}:{frame.f_lineno}' if frame else 'an unknown line'


def is_collective_failure(error: Exception) -> bool:
    """Whether ``error`` comes from the exchange between processes."""
    if isinstance(error, dist.DistError):
        return True
    # gloo raises plain RuntimeErrors.
    return isinstance(error, RuntimeError) and any(sign in str(error).lower() for sign in SIGNS)
