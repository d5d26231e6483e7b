"""Errors of media that cannot be read."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# decord: "[12:34:56] /x/video.cc:151: Check failed: n >= 0 (-5 vs. 0) ERROR ..." and stack traces;
# torchcodec: "function, /x/decoder.cpp:41, ..."; FFmpeg: "[h264 @ 0x7f..]".
DECODER_NOISE = (
    r'\[[\d:]+\] \S+:\d+: ',
    r'\[\w+ @ 0x[0-9a-f]+\] ?',
    r'Check failed: .*?\([^)]*\) ',
    r' Stack trace.*$',
    r'^\w+, \S+\.cpp:\d+, ',
)


DECODER_ERRORS = (ArithmeticError, LookupError, MemoryError, OSError, RuntimeError, ValueError)
"""Errors that libraries raise on files that they do not expect."""


class MediaError(ValueError):
    """Media file that cannot be read, with its path and the reason."""

    def __init__(self, path: str | Path, reason: str) -> None:
        # Both arguments, since unpickling in another process calls the class with them again.
        super().__init__(path, reason)
        self.path, self.reason = str(path), reason

    def __str__(self) -> str:
        return f'{self.path}: {self.reason}'


def decoder_reason(error: BaseException, fallback: str) -> str:
    """Message of a decoder on one line without the times, addresses and source places it adds."""
    text = getattr(error, 'strerror', None) or str(error)
    text = ' '.join(text.split())
    for noise in DECODER_NOISE:
        text = re.sub(noise, '', text)
    return f'{fallback} ({text[:200]})' if text else fallback


@contextmanager
def named_errors(path: str | Path) -> Iterator[None]:
    """Turn errors of a decoder into a :class:`MediaError` of the file."""
    try:
        yield
    except (MediaError, ImportError):
        raise
    except Exception as error:
        if not isinstance(error, DECODER_ERRORS) and type(error).__module__ != 'av.error':
            raise
        raise MediaError(path, decoder_reason(error, 'cannot be decoded')) from error
