"""Placement of decoded audio on the clock of a media file, and its change of rate."""

from typing import Any

import numpy as np

from .errors import MediaError
from .frame_times import BROADCAST, JUMP_SECONDS

FIRST_STEP, STEP = 1e-3, 0.1
"""Seconds by which the first and later time stamps may differ from where the audio before them
ended and are yet taken to continue it, as FFmpeg's ``aresample=async=1:first_pts=0`` does."""
MAX_PAUSE = 2 * 3600
"""Seconds of silence in a row above which time stamps are taken for broken."""
MAX_PLANES = 7
"""Channels up to which PyAV 18 gives planar samples as arrays without reading beyond them."""
SCALES = dict(u8=2.0**-7, s16=2.0**-15, s32=2.0**-31, flt=1.0, dbl=1.0)
"""What samples of each format are multiplied by to lie in [-1, 1]."""


class AudioClock:
    """Clock that turns time stamps into places in the file, where audio follows on audio.

    Args:
        start: second of the stamps that is second 0.
        container: FFmpeg's name of the format.
        following: sample at which the first frame lies; None: at its beginning, where a track may
            be late.

    Attributes:
        jumped: whether the stamps went over to another clock.
    """

    def __init__(self, start: float, container: str, following: int | None = None) -> None:
        self.start, self._has_jumps = start, container in BROADCAST
        self.jumped = False
        self._is_first = following is None
        self._following, self._rate = following or 0, 0

    @property
    def end(self) -> float:
        """Second at which the audio so far ends."""
        return self._following / self._rate if self._rate else 0.0

    def place(self, stamp: float | None, length: int, rate: int) -> int:
        """Sample at which ``length`` samples lie that are stamped so (None: not at all)."""
        if self._rate and self._rate != rate:
            self._following = round(self._following / self._rate * rate)
        self._rate = rate
        place = self._following
        if stamp is not None:
            place = self._continued(round((stamp - self.start) * rate), rate)
        self._following, self._is_first = place + length, False
        return place

    def _continued(self, place: int, rate: int) -> int:
        """Place of a stamp, or where the audio before it ended."""
        step = (place - self._following) / rate
        # At the beginning of a track any step is its delay.
        is_new_clock = self._has_jumps and not self._is_first and not -STEP <= step <= JUMP_SECONDS
        if is_new_clock:
            self.start += step
            self.jumped = True
        is_near = abs(step) <= (FIRST_STEP if self._is_first else STEP)
        return self._following if is_new_clock or is_near else place


class PlacedAudio:
    """Frames at their places, resampled from one sample of the result on.

    Args:
        av: the module PyAV.
        path: the file, for errors.
        frame: its first frame, whose channels the result has.
        rate: samples a second of the result.
        start: second that the result reaches back to; it begins a little before, where samples of
            both rates coincide, since only from there are excerpts resampled like the whole.
    """

    def __init__(self, av: Any, path: str, frame: Any, rate: int, start: float) -> None:
        self._av, self.path, self.rate, self.native = av, path, rate, frame.sample_rate
        common = rate // int(np.gcd(rate, self.native))
        self.origin = int(max(start, 0.0) * rate // common * common)
        self._following = round(self.origin * self.native / rate)
        # Broadcasts change channels on the way: those of the beginning stay.
        self._layout, self.channels = frame.layout, frame.layout.nb_channels
        self._converter: tuple[Any, Any] = (None, None)
        self._resampler: Any = None
        self._waiting: list[np.ndarray] = []
        self._parts: list[np.ndarray] = []
        self._done = self.origin
        self._num_waiting = 0

    def add(self, place: int, frame: Any) -> None:
        """Lay a frame, after silence if it begins later than what was there ended."""
        if frame.sample_rate != self.native:
            self._change_rate(frame.sample_rate)
        if place + frame.samples > self._following:
            self.add_silence(place)
            self._push(self._floats(frame)[:, max(self._following - place, 0) :])

    def add_silence(self, place: int) -> None:
        """Fill up to a place with silence.

        Raises:
            MediaError: it is longer than two hours.
        """
        missing = place - self._following
        if missing > MAX_PAUSE * self.native:
            seconds = missing / self.native
            raise MediaError(self.path, f'the time stamps of its audio leave out {seconds:.0f} s')
        for first in range(0, missing, self.native):
            length = min(missing - first, self.native)
            self._push(np.zeros((self.channels, length), np.float32))

    def between(self, first: int, stop: int | None) -> np.ndarray:
        """float32 (channels, samples) of the samples of the result from ``first`` to ``stop``."""
        self._resample(is_last=True)
        whole = np.concatenate([np.zeros((self.channels, 0), np.float32), *self._parts], axis=1)
        stop = None if stop is None else stop - self.origin
        return np.ascontiguousarray(whole[:, first - self.origin : stop])

    def _floats(self, frame: Any) -> np.ndarray:
        """float32 (channels, samples) in [-1, 1] of a frame."""
        kind, planar = frame.format.packed.name, frame.format.is_planar
        is_readable = kind in SCALES and (not planar or self.channels <= MAX_PLANES)
        if frame.layout.nb_channels != self.channels or not is_readable:
            frame, kind, planar = self._converted(frame), 'flt', False
        samples = frame.to_ndarray()
        if not planar:
            samples = samples.reshape(-1, self.channels).T
        if kind == 'flt':
            return samples
        return (samples.astype(np.float32) - 128.0 * (kind == 'u8')) * np.float32(SCALES[kind])

    def _converted(self, frame: Any) -> Any:
        """The frame with the channels of the first one, in packed samples."""
        template = (frame.format.name, frame.layout.name, frame.sample_rate)
        if self._converter[0] != template:
            resampler = self._av.AudioResampler(format='flt', layout=self._layout)
            self._converter = (template, resampler)
        (frame,) = self._converter[1].resample(frame)
        return frame

    def _change_rate(self, native: int) -> None:
        self._resample(is_last=True)
        self.native, self._resampler = native, None
        self._following = round(self._done * native / self.rate)

    def _push(self, samples: np.ndarray) -> None:
        self._waiting.append(samples)
        self._following += samples.shape[1]
        self._num_waiting += samples.shape[1]
        # Second by second: each call has its cost, and memory its bounds.
        if self._num_waiting >= self.native:
            self._resample()

    def _resample(self, is_last: bool = False) -> None:
        parts = [np.concatenate(self._waiting, axis=1)] if self._waiting else []
        self._waiting, self._num_waiting = [], 0
        if self.native != self.rate:
            parts = [part for samples in parts for part in self._resampled(samples)]
            # The filter still holds the last samples.
            if is_last and self._resampler:
                parts += [self._unpacked(frame) for frame in self._resampler.resample(None)]
        self._parts += parts
        self._done += sum(part.shape[1] for part in parts)

    def _resampled(self, samples: np.ndarray) -> list[np.ndarray]:
        packed = np.ascontiguousarray(samples.T).reshape(1, -1)
        frame = self._av.AudioFrame.from_ndarray(packed, 'flt', self._layout)
        frame.sample_rate = self.native
        self._resampler = self._resampler or self._av.AudioResampler(rate=self.rate)
        return [self._unpacked(each) for each in self._resampler.resample(frame)]

    def _unpacked(self, frame: Any) -> np.ndarray:
        return frame.to_ndarray().reshape(-1, self.channels).T
