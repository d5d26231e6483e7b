"""Limits on what a media file may ask of the machine."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from .errors import MediaError

PACKET_SECONDS = 0.01
"""Some files have to be decoded from the start, and long ones take their time."""


@dataclass(frozen=True)
class MediaLimits:
    """Sizes and times above which a file is refused by name.

    Args:
        deadline: seconds that one decoding may take, beside ten milliseconds for each packet of the
            file: decoding then runs in a process of its own, which is ended and replaced when they
            are over.  None: in this process, without any.
        max_pixels: pixels of a frame; the default is the largest common size, 8192 x 4320.
        max_frames: frames of a file.
        max_clip_bytes: bytes of the frames of one request, as uint8 RGB.

    Raises:
        ValueError: a limit that is not positive.
    """

    deadline: float | None = 60.0
    max_pixels: int = 8192 * 4320
    max_frames: int = 10_000_000
    max_clip_bytes: int = 8 << 30

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None and not value > 0:
                raise ValueError(f'limits.{field.name} must be positive, got {value}')

    def patience(self, num_packets: int) -> float | None:
        """Seconds for decoding a file of so many packets, None for any time."""
        return None if self.deadline is None else self.deadline + PACKET_SECONDS * num_packets

    def check_size(self, path: str, width: int, height: int) -> None:
        """Raise MediaError for frames of too many pixels."""
        if width * height > self.max_pixels:
            raise MediaError(
                path, f'frames of {width}x{height} are over limits.max_pixels={self.max_pixels}'
            )

    def check_count(self, path: str, count: int) -> None:
        """Raise MediaError for too many frames in a file."""
        if count > self.max_frames:
            raise MediaError(path, f'{count} frames are over limits.max_frames={self.max_frames}')

    def check_clip(self, path: str, count: int, width: int, height: int) -> None:
        """Raise MediaError for a request of more bytes than allowed."""
        if count * width * height * 3 > self.max_clip_bytes:
            raise MediaError(
                path,
                f'{count} frames of {width}x{height} are over '
                f'limits.max_clip_bytes={self.max_clip_bytes}',
            )


def media_limits(limits: 'MediaLimits | Mapping[str, Any] | None') -> MediaLimits:
    """Limits of a config's field: the object itself, its fields, or None for the defaults.

    Raises:
        ValueError: a field that is none.
    """
    if isinstance(limits, MediaLimits):
        return limits
    known = [field.name for field in fields(MediaLimits)]
    unknown = sorted(set(limits or {}) - set(known))
    if unknown:
        raise ValueError(f'limits: unknown {", ".join(unknown)}; known: {", ".join(known)}')
    return MediaLimits(**(limits or {}))
