"""Work in a process of its own, forked from a server that has imported everything and done nothing.

A fork of a process that has ever run a backward pass cannot run one itself; the server never has.
"""

import multiprocessing
import os
import pkgutil
import signal
import traceback
from collections.abc import Callable
from functools import cache
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from .findings import one_line

ALSO_IMPORTED = ['mmengine.runner', 'torch.utils.tensorboard', 'torch._dynamo', 'av']
IMPORTED_FOR_MANY = [
    'matplotlib.pyplot', 'yapf.yapflib.yapf_api', 'torchvision', 'torchaudio', 'timm', 'ftfy',
    'scipy.optimize', 'setuptools', 'tokenizers.implementations', 'peft',
    'transformers.modeling_utils', 'transformers.modeling_layers', 'transformers.generation',
    'transformers.tokenization_utils_base', 'transformers.models.auto.modeling_auto',
]  # fmt: skip
"""What only some configs need: seconds that a sweep spends once, and one config perhaps in vain."""


class ProcessFailure(RuntimeError):
    """The process died of an error or a signal, or was stopped because it took too long."""


@cache
def _context() -> Any:
    """The server, started by the first process asked of it."""
    # Not fork: this process may have run a backward pass. Not spawn: imports take seconds each
    # time.
    context = multiprocessing.get_context('forkserver')
    context.set_forkserver_preload(_own_modules())
    return context


def import_for_many() -> None:
    """Let the server, unless it runs already, import what only some of many configs need."""
    _context().set_forkserver_preload([*_own_modules(), *IMPORTED_FOR_MANY])


def _own_modules() -> list[str]:
    import internvideo

    own = [module.name for module in pkgutil.walk_packages(internvideo.__path__, 'internvideo.')]
    return [*own, *ALSO_IMPORTED]


def run_apart(function: Callable[..., Any], *args: Any, limit: float) -> Any:
    """Run ``function(*args)`` in a process of its own, pickling what goes in and out.

    Args:
        function: of a module's top level.
        limit: seconds after which the process is killed, with the processes it started.

    Raises:
        ProcessFailure: it raised, which is told with the line that did, died or took too long.
    """
    receiver, sender = _context().Pipe(duplex=False)
    process = _context().Process(target=_work, args=(function, args, sender))
    process.start()
    sender.close()
    try:
        # poll() also returns at the end of file, when the process dies: recv() then raises
        # EOFError.
        if not receiver.poll(limit):
            raise ProcessFailure(f'not done after {limit:g} s')
        returned, value = receiver.recv()
    except EOFError:
        process.join()
        raise ProcessFailure(f'the process died, exit code {process.exitcode}') from None
    finally:
        # A process that has answered needs a moment to leave; one that is hanging gets no more than
        # that.
        process.join(2)
        if process.is_alive():
            _kill_group(process)
        receiver.close()
    if not returned:
        raise ProcessFailure(value)
    return value


def _work(function: Callable[..., Any], args: tuple, sender: Connection) -> None:
    os.setpgid(0, 0)  # so that loader workers go with it
    import torch

    # Several rehearsals run at a time: each with all cores would only be slower.
    torch.set_num_threads(1)
    try:
        sender.send((True, function(*args)))
    except Exception as error:
        traceback.print_exc()
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = f'{Path(place.filename).name}:{place.lineno}'
        sender.send((False, f'{type(error).__name__}: {one_line(error)} ({where})'))
    sender.close()


def _kill_group(process: Any) -> None:
    try:
        # The group, not the process: loader workers would go on and hold its files and memory.
        os.killpg(process.pid, signal.SIGKILL)
    # Killed before it made its group, or gone by now.
    except ProcessLookupError:
        process.kill()
    process.join()
