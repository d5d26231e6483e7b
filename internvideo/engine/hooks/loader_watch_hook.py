"""Watch over the time that training waits for data."""

import threading
import time
from typing import Any

from mmengine.hooks import Hook

from internvideo.registry import HOOKS


@HOOKS.register_module()
class LoaderWatchHook(Hook):
    """Warns while a batch is overdue, and when waiting takes much of the time.

    The warning of an overdue batch comes while it is still missing, and names the loader worker
    and the samples as far as the sampler (``peek``) and the data set (``get_data_info``) can say.

    Args:
        patience: Seconds without a batch after which it is overdue.
        max_share: Share of the time spent waiting, over ``interval`` iterations, above which more
            workers are advised; once per epoch.
        interval: Iterations over which the share is taken.
    """

    priority = 'LOWEST'  # waiting begins when every other hook has done its work

    def __init__(self, patience: float = 60, max_share: float = 0.5, interval: int = 100) -> None:
        self.patience, self.max_share, self.interval = patience, max_share, interval
        self._waiting_since: float | None = None
        self._over = threading.Event()
        self._first_batch = 0

    def before_train(self, runner: Any) -> None:
        """Start the watching thread."""
        self._over.clear()
        # The main thread blocks in the loader, so that only another one can report.
        threading.Thread(target=self._watch, args=(runner,), daemon=True).start()

    def after_train(self, runner: Any) -> None:
        """Stop the watching thread."""
        self._over.set()

    def after_failure(self, runner: Any, error: Exception) -> None:
        """Stop the watching thread, since the run is over."""
        self._over.set()

    def before_train_epoch(self, runner: Any) -> None:
        """Begin to wait for the first batch."""
        self._first_batch = runner.train_loop.batches_done
        self._advised = False
        self._waiting_since = self._window_start = time.monotonic()
        self._waited = 0.0

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        """End the waiting for this batch."""
        self._waited += time.monotonic() - self._waiting_since
        self._waiting_since = None

    def after_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        """Begin to wait for the next batch."""
        now = time.monotonic()
        if (batch_idx + 1 - self._first_batch) % self.interval == 0:
            self._advise(runner, self._waited / (now - self._window_start))
            self._waited, self._window_start = 0.0, now
        self._waiting_since = now

    def after_train_epoch(self, runner: Any) -> None:
        """End the waiting."""
        self._waiting_since = None

    def _advise(self, runner: Any, share: float) -> None:
        if share > self.max_share and not self._advised:
            self._advised = True
            workers = runner.train_dataloader.num_workers
            runner.logger.warning(
                f'{share:.0%} of the last {self.interval} iterations went by waiting for data: '
                f'raise train_dataloader.num_workers (now {workers}) or make decoding cheaper'
            )

    def _watch(self, runner: Any) -> None:
        reported = None
        while not self._over.wait(self.patience / 4):
            since = self._waiting_since
            if since is None or since == reported or time.monotonic() - since < self.patience:
                continue
            reported = since
            runner.logger.error(f'no batch for {time.monotonic() - since:.0f} s: {awaited(runner)}')


def awaited(runner: Any) -> str:
    """Describe the batch that training needs next by number, worker and samples."""
    loop, loader = runner.train_loop, runner.train_dataloader
    text = f'batch {loop.batches_done + 1} of epoch {loop.epoch + 1} is missing'
    if loader.num_workers:
        # Workers take turns, the first one beginning with the first batch of this pass.
        turn = (loop.batches_done - loop.first_batch) % loader.num_workers
        text += f', worker {turn} of {loader.num_workers} makes it'
    rows = _awaited_rows(loop, loader) if hasattr(loader.dataset, 'get_data_info') else []
    if rows:
        paths = [str(loader.dataset.get_data_info(row)['path']) for row in rows]
        text += f' from: {", ".join(paths)}'
    return text


def _awaited_rows(loop: Any, loader: Any) -> list[int]:
    """Rows of the next batch, as far as the samplers can say."""
    if hasattr(loader.batch_sampler, 'peek'):
        return loader.batch_sampler.peek(loop.batches_done)
    if not hasattr(loader.sampler, 'peek'):
        return []
    size = loader.batch_sampler.batch_size
    return loader.sampler.peek(loop.batches_done * size, size)
