"""Decoding in a process of its own, which may spin or die without taking the run with it.

The process imports only what a function needs (PyAV and NumPy, not torch), serves one call at a
time and gives arrays back through shared memory.  It ends by itself at the deadline of a call, even
inside a library that never returns, and when its parent is gone.
"""

import atexit
import importlib
import json
import mmap
import os
import pickle
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np

from .errors import MediaError

LENGTH = struct.Struct('<Q')
SHARED_BYTES = 1 << 16
"""Arrays from this size on go through shared memory, smaller ones with the answer."""
GRACE = 5.0
"""Seconds after the deadline within which the process is expected to have ended itself."""
PARENT_SECONDS = 1.0
"""Seconds from one look at whether the parent is there to the next."""
STOP_SECONDS = 1.0
"""Patience with an item that nobody wants any more; then the process is replaced."""
MAX_DESCRIPTORS = 16
MAX_MAPPED = 64
"""Results that stay in shared memory, each of which holds a file open; more are copied."""
# All pages at once: one by one, on first use, they cost several times as much.
POPULATED = mmap.MAP_SHARED | getattr(mmap, 'MAP_POPULATE', 0)
MESSAGE_BYTES = 2000
START = (
    'import json, sys; sys.path[:] = json.loads(sys.argv[1]); '
    'from internvideo.datasets.media.decoder_process import serve; serve(int(sys.argv[2]))'
)


class SharedArray(np.ndarray):
    """An array in memory that another process can map."""

    descriptor: int | None = None

    def __array_finalize__(self, source: Any) -> None:
        # A view or a copy is no longer what the descriptor stands for.
        self.descriptor = None

    def __del__(self) -> None:
        # The memory lives as long as the descriptor: one that was not sent would stay for ever.
        if self.descriptor is not None:
            os.close(self.descriptor)


def allocate(shape: tuple[int, ...], dtype: Any = np.uint8) -> np.ndarray:
    """An empty array for a result, which then reaches the caller without a copy."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    if not _Serving.active or size < SHARED_BYTES:
        return np.empty(shape, dtype)
    descriptor = _shared_file(size)
    array = np.ndarray(shape, dtype, mmap.mmap(descriptor, size, POPULATED)).view(SharedArray)
    array.descriptor = descriptor
    return array


def _shared_file(size: int) -> int:
    """Descriptor of a nameless file in memory, or on disk where there is no such thing."""
    try:
        descriptor = os.memfd_create('frames')
    except (AttributeError, OSError):
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    os.ftruncate(descriptor, size)
    return descriptor


class _Serving:
    """Whether this process is a decoder process."""

    active = False


# --- the side of the decoder process ---


def serve(number: int) -> None:
    """Answer calls until the parent is gone."""
    _Serving.active = True
    # The parent decides when to stop, so that it can still read while it saves its state.
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP):
        signal.signal(name, signal.SIG_IGN)
    # The default action ends the process, whatever library it is in.
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    channel = socket.socket(fileno=number)
    while (message := _receive(channel)) is not None:
        (name, args, kind, deadline), _ = message
        function = _function(name)
        results: Iterator[tuple[str, Any]] = _results(function, args, kind)
        while True:
            signal.setitimer(signal.ITIMER_REAL, deadline)
            answer = next(results)
            signal.setitimer(signal.ITIMER_REAL, 0)
            _send(channel, answer)
            is_last = answer[0] != 'item'
            # The caller has its memory now.
            del answer
            if is_last:
                break
            # The caller asks for each item, so that no more are made than it wants.
            following = _receive(channel)
            if following is None:
                return
            if following[0] == 'stop':
                results.close()
                break


def _end_with(parent: int) -> None:
    """End this process when its parent is gone, even while it decodes."""
    while os.getppid() == parent:
        time.sleep(PARENT_SECONDS)
    os._exit(0)


def _function(name: str) -> Callable | BaseException:
    module, _, attribute = name.partition(':')
    try:
        return getattr(importlib.import_module(module), attribute)
    except Exception as error:
        return error


def _results(function: Callable | BaseException, args: tuple, kind: str) -> Iterator[tuple]:
    """Answers to a call: one ``'value'``, or ``'item'``s and an ``'end'``, or an error."""
    try:
        if isinstance(function, BaseException):
            raise function
        if kind == 'call':
            yield 'value', function(*args)
            return
        for item in function(*args):
            yield 'item', item
        yield 'end', None
    except Exception as error:
        yield 'error', _portable(error)


def _portable(error: Exception) -> Exception:
    """The error, or one that can be pickled and says the same."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(''.join(traceback.format_exception(error)))
    if not isinstance(error, MediaError):
        error.add_note(''.join(traceback.format_tb(error.__traceback__)))
    return error


# --- messages ---


def _send(channel: socket.socket, message: Any) -> None:
    """Send a message, large arrays as descriptors of shared memory."""
    descriptors: list[int] = []
    shapes = []

    def out_of_band(buffer: pickle.PickleBuffer) -> bool:
        raw = buffer.raw()
        place = _descriptor_of(raw)
        if raw.nbytes < SHARED_BYTES or len(descriptors) == MAX_DESCRIPTORS:
            return True
        if place is None:
            place = _shared_file(raw.nbytes)
            with mmap.mmap(place, raw.nbytes) as memory:
                memory[:] = raw
        descriptors.append(place)
        shapes.append(raw.nbytes)
        return False

    content = pickle.dumps(_plain(message), protocol=5, buffer_callback=out_of_band)
    header = pickle.dumps((shapes, len(content)))
    length = LENGTH.pack(len(header))
    if descriptors:
        socket.send_fds(channel, [length], descriptors)
    else:
        channel.sendall(length)
    channel.sendall(header + content)
    for descriptor in {*descriptors, *_Owned.values()}:
        os.close(descriptor)
    _Owned.clear()


_Owned: dict[int, int] = {}
"""Address of shared arrays of the message that is being sent -> their descriptor."""


def _plain(message: Any) -> Any:
    """The message with plain arrays, the descriptors of shared ones remembered."""
    if isinstance(message, SharedArray):
        plain = message.view(np.ndarray)
        if message.descriptor is not None:
            _Owned[message.ctypes.data] = message.descriptor
            message.descriptor = None
        return plain
    if isinstance(message, tuple):
        return tuple(_plain(each) for each in message)
    if isinstance(message, list):
        return [_plain(each) for each in message]
    if isinstance(message, dict):
        return {key: _plain(value) for key, value in message.items()}
    return message


def _descriptor_of(raw: memoryview) -> int | None:
    return _Owned.get(np.frombuffer(raw, np.uint8).ctypes.data) if raw.nbytes else None


def _receive(channel: socket.socket) -> tuple[Any, int] | Any:
    """The next message, or None when the other side is gone."""
    first, descriptors, _, _ = socket.recv_fds(channel, LENGTH.size, MAX_DESCRIPTORS)
    try:
        if not first:
            return None
        first += _exactly(channel, LENGTH.size - len(first))
        sizes, length = pickle.loads(_exactly(channel, LENGTH.unpack(first)[0]))
        content = _exactly(channel, length)
        memories = map(_memory, descriptors, sizes)
        return pickle.loads(content, buffers=memories), len(content)
    except EOFError:
        return None
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


_mapped: weakref.WeakSet[mmap.mmap] = weakref.WeakSet()


def _memory(descriptor: int, size: int) -> mmap.mmap | bytearray:
    """Content of shared memory, without a copy unless many results are kept already."""
    memory = mmap.mmap(descriptor, size, POPULATED)
    if len(_mapped) < MAX_MAPPED:
        _mapped.add(memory)
        return memory
    with memory:
        return bytearray(memory)


def _exactly(channel: socket.socket, size: int) -> bytes:
    parts = bytearray()
    while len(parts) < size:
        part = channel.recv(size - len(parts))
        if not part:
            raise EOFError
        parts += part
    return bytes(parts)


# --- the side of the caller ---


class DecoderProcess:
    """A process that decodes for this one."""

    def __init__(self) -> None:
        self._folder = _working_folder()
        own, other = socket.socketpair()
        self._messages = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        self._channel = own
        self._process = subprocess.Popen(
            [sys.executable, '-c', START, json.dumps(sys.path), str(other.fileno())],
            pass_fds=[other.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self._messages,
            # It computes nothing: threads for linear algebra would only take memory.
            env=dict(os.environ, OPENBLAS_NUM_THREADS='1', OMP_NUM_THREADS='1'),
        )
        other.close()

    @property
    def is_alive(self) -> bool:
        """Whether it can serve: paths start from the working folder that it was started in."""
        return self._process.poll() is None and self._folder == _working_folder()

    def send(self, message: Any) -> None:
        """Send a message, whose answer is waited for later.

        Raises:
            EOFError: it has ended.
        """
        try:
            _send(self._channel, message)
        except (BrokenPipeError, ConnectionResetError):
            raise EOFError from None

    def stop_items(self) -> None:
        """End a series of items while the next one is being made.

        Raises:
            TimeoutError: it takes long.
        """
        if self.wait(STOP_SECONDS - GRACE)[0] == 'item':
            self.send('stop')

    def wait(self, deadline: float) -> tuple[str, Any]:
        """Wait for the answer to what was sent.

        Raises:
            TimeoutError: it did not answer in time.
            EOFError: it has ended.
        """
        self._channel.settimeout(deadline + GRACE)
        try:
            answer = _receive(self._channel)
        except ConnectionResetError:
            answer = None
        if answer is None:
            raise EOFError
        return answer[0]

    def forget_messages(self) -> None:
        """Drop what libraries printed, which would fill the disk in the end."""
        # The position is shared with the process, which goes on writing from here.
        self._messages.seek(0)
        self._messages.truncate()

    def how_it_ended(self, deadline: float) -> str:
        """In words, for an error."""
        self._process.wait(GRACE)
        code = self._process.returncode
        if code == -signal.SIGALRM:
            return f'decoding took longer than {deadline:g} s (limits.deadline)'
        if code < 0:
            return f'the decoder ended its process ({signal.Signals(-code).name})'
        self._messages.seek(0)
        said = self._messages.read()[-MESSAGE_BYTES:].decode('utf-8', 'replace').strip()
        return f'the decoder process ended with status {code} {said}'.strip()

    def kill(self) -> None:
        """End it, whatever it is at."""
        self.forget()
        with suppress(ProcessLookupError):
            self._process.kill()
        self._process.wait()

    def forget(self) -> None:
        """Close this end, which ends the process."""
        self._channel.close()
        self._messages.close()


def _working_folder() -> str | None:
    """The working folder, None when it has been removed."""
    try:
        return os.getcwd()  # noqa: PTH109 - for every call, and a path need not be parsed
    except FileNotFoundError:
        return None


class _Pool:
    """Processes that wait for the next call of any thread of this process."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.idle: list[DecoderProcess] = []
        self.busy: set[DecoderProcess] = set()

    def take(self) -> DecoderProcess:
        with self.lock:
            while self.idle:
                process = self.idle.pop()
                if process.is_alive:
                    break
                process.kill()
            else:
                process = DecoderProcess()
            self.busy.add(process)
            return process

    def give_back(self, process: DecoderProcess) -> None:
        process.forget_messages()
        with self.lock:
            self.busy.discard(process)
            self.idle.append(process)

    def drop(self, process: DecoderProcess) -> None:
        with self.lock:
            self.busy.discard(process)
        process.kill()

    def forget_all(self) -> None:
        for process in (*self.idle, *self.busy):
            process.forget()


class _State:
    """The pool of this process."""

    pool = _Pool()


def _after_fork() -> None:
    # The parent's processes serve the parent: this end of theirs is closed, so that they still
    # see when the parent is gone.
    _State.pool.forget_all()
    _State.pool = _Pool()


def _at_exit() -> None:
    _State.pool.forget_all()


if hasattr(os, 'register_at_fork'):
    os.register_at_fork(after_in_child=_after_fork)
atexit.register(_at_exit)


@contextmanager
def _process_for(path: str, deadline: float) -> Iterator[DecoderProcess]:
    """A process for one call, replaced if anything goes wrong in it."""
    process = _State.pool.take()
    try:
        yield process
    except EOFError:
        reason = process.how_it_ended(deadline)
        _State.pool.drop(process)
        if 'Traceback' in reason:
            # No fault of the file: the process itself could not go on.
            raise RuntimeError(reason) from None
        raise MediaError(path, reason) from None
    except TimeoutError:
        _State.pool.drop(process)
        raise MediaError(
            path, f'decoding took longer than {deadline:g} s (limits.deadline)'
        ) from None
    except BaseException:
        # Also when the caller is interrupted: an answer may be under way that nobody awaits.
        _State.pool.drop(process)
        raise
    else:
        _State.pool.give_back(process)


def run_guarded(name: str, path: str, *args: Any, deadline: float | None) -> Any:
    """Value of a function of a file, called in a decoder process.

    Args:
        name: ``'module:function'``; the module had better import little.
        path: the file, the function's first argument, named in errors.
        *args: plain values and arrays.
        deadline: seconds; None: called in this process, without any guard.

    Raises:
        MediaError: the process did not end the call in time, or ended itself.
        Exception: what the function raises.
    """
    if deadline is None or _Serving.active:
        return _call_here(name)(path, *args)
    with _process_for(path, deadline) as process:
        process.send((name, (path, *args), 'call', deadline))
        kind, value = process.wait(deadline)
    if kind == 'error':
        raise value
    return value


def iterate_guarded(name: str, path: str, *args: Any, deadline: float | None) -> Iterator[Any]:
    """Items of a generator function of a file, made in a decoder process as they are asked for.

    Arguments and errors are those of :func:`run_guarded`; the deadline is that of each item.
    """
    if deadline is None or _Serving.active:
        yield from _call_here(name)(path, *args)
        return
    with _process_for(path, deadline) as process:
        process.send((name, (path, *args), 'iterate', deadline))
        while (answer := process.wait(deadline))[0] == 'item':
            # Before the item is used, so that the next one is made meanwhile.
            process.send('next')
            try:
                yield answer[1]
            except GeneratorExit:
                with suppress(TimeoutError, EOFError):
                    process.stop_items()
                    return
                raise
            del answer
    if answer[0] == 'error':
        raise answer[1]


def _call_here(name: str) -> Callable:
    function = _function(name)
    if isinstance(function, BaseException):
        raise function
    return function
