"""Writing checkpoints beside training: one at a time, and no error is lost."""

import threading
from collections.abc import Callable


class BackgroundWriter:
    """Runs writing jobs in a thread, so that training waits only for the one before.

    The interpreter does not exit while a job runs.  What a job raises is raised by the next
    :meth:`submit` or :meth:`finish`.
    """

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._error: Exception | None = None

    def submit(self, job: Callable[[], None]) -> None:
        """Start ``job``, which must own all that it writes, once the one before is done."""
        self.finish()
        # Not a daemon: a run that ends must not lose its last checkpoint.
        self._thread = threading.Thread(target=self._run, args=(job,), name='checkpoint-writer')
        self._thread.start()

    def finish(self) -> None:
        """Wait for the running job, if any, and raise what it raised."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        error, self._error = self._error, None
        if error is not None:
            raise error

    def _run(self, job: Callable[[], None]) -> None:
        try:
            job()
        except Exception as error:
            self._error = error
