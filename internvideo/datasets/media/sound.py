"""Sound of media files on the clock that their pictures lie on too, without torch."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np

from internvideo.datasets.bad_samples import MediaError

from .readers import decoder_reason, optional_library

NO_TRACK = 'no audio track'
SEEK_FROM = 2.0
"""Seconds into a file from which seeking pays."""
PRE_ROLL = 0.75
"""Seconds decoded before an excerpt: decoders need some frames to give what they give in order."""
SEEKS = (PRE_ROLL, 5.0, 30.0)
"""Seconds before an excerpt to which seeking is tried, before reading from the beginning."""
MARGIN = 0.05
"""Seconds resampled before an excerpt, more than any filter is long."""
FIRST_STEP, STEP = 1e-3, 0.1
"""Seconds by which the first and later time stamps may differ from where the sound before them
ended and are yet taken as its continuation, as FFmpeg's ``aresample=async=1:first_pts=0`` does."""
JUMP = 10.0
"""Longer pauses in broadcast containers are jumps of the clock, as for the command ffmpeg."""
MAX_PAUSE = 12 * 3600
BROADCAST = ('mpegts', 'mpeg')
ESTIMATED = ('mp3', 'aac', 'ac3', 'eac3', 'dts', 'truehd', 'mlp', 'amr', 'loas', 'mp2')
"""Bare streams, whose length FFmpeg guesses from the bit rate."""
MISSING_SHARE = 0.1
PACKET_RATE = 90000
COARSE_UNIT = 1 / 8000
TAILS = (2.0, 20.0, 200.0)


def sound_facts(path: str) -> dict[str, Any]:
    """``index``, ``language``, ``channels``, ``rate`` and ``seconds`` of the track that is played.

    ``seconds`` reach from the start of the file to the end of the track; None when unknown.

    Raises:
        MediaError: missing, broken, or :data:`NO_TRACK` without one.
    """
    with _opened(path) as file:
        stream = file.stream
        facts = dict(
            index=stream.index,
            language=stream.metadata.get('language'),
            channels=stream.codec_context.channels,
            rate=stream.codec_context.sample_rate,
            seconds=_track_end(file),
        )
    if not facts['channels']:
        # Where sound comes late in a file, only the sound itself tells.
        with _opened(path) as file:
            for frame in islice(_Frames(file), 1):
                facts.update(channels=frame.layout.nb_channels, rate=frame.sample_rate)
    return facts


def read_sound(path: str, rate: int, start: float = 0.0, end: float | None = None) -> np.ndarray:
    """float32 (channels, samples) of the seconds from ``start`` to ``end`` of a file.

    Second 0 is where the earliest stream of the file begins.  A track that begins later is preceded
    by silence, and a pause in its time stamps is silent, as FFmpeg's
    ``aresample=async=1:first_pts=0`` has it.  Fewer samples where the track ends before ``end``.

    Args:
        path: the file.
        rate: samples a second, whatever the track has.
        start, end: seconds; ``end=None``: to the end of the track.

    Raises:
        MediaError: it cannot be decoded, or over a tenth of it cannot.
    """
    if start > SEEK_FROM and not _clock_jumps(path):
        for before in SEEKS:
            samples = _read_after_seek(path, rate, start, end, before) if before < start else None
            if samples is not None:
                return samples
    with _opened(path) as file:
        frames = _Frames(file)
        clock = _Clock(file.start, file.is_broadcast)
        return _read(file, frames, iter(frames), clock, rate, start, end)


@dataclass
class _File:
    """An open file and the track of it that is played."""

    av: Any
    path: str
    container: Any
    stream: Any

    @property
    def format(self) -> str:
        return self.container.format.name.split(',')[0]

    @property
    def is_broadcast(self) -> bool:
        return self.format in BROADCAST

    @property
    def start(self) -> float:
        """Second of the file's own clock at which its earliest stream begins."""
        return (self.container.start_time or 0) / self.av.time_base

    @property
    def unit(self) -> float:
        """Seconds of the track's clock unit."""
        return float(self.stream.time_base)


@contextmanager
def _opened(path: str) -> Iterator[_File]:
    av = optional_library('av', 'av')
    if not Path(path).is_file():
        raise MediaError(path, 'file not found')
    try:
        container = av.open(str(path))
    except (av.FFmpegError, ValueError) as error:
        raise MediaError(path, decoder_reason(error, 'cannot be opened')) from None
    with container:
        stream = _played_track(container)
        if stream is None:
            raise MediaError(path, NO_TRACK)
        if stream.codec_context is None:
            raise MediaError(path, 'the codec of its audio track is not known to FFmpeg')
        try:
            yield _File(av, str(path), container, stream)
        except (av.FFmpegError, ValueError) as error:
            if isinstance(error, MediaError):
                raise
            raise MediaError(path, decoder_reason(error, 'sound decoding failed')) from None


def _played_track(container: Any) -> Any:
    """The default track of a file, else the one that FFmpeg takes."""
    tracks = container.streams.audio
    default = (each for each in tracks if each.disposition & type(each.disposition).default)
    found = next(default, None)
    return (found or container.streams.best('audio') or tracks[0]) if tracks else None


class _Clock:
    """Turns time stamps into places on the file's clock, where sound follows on sound.

    Args:
        start: second of the stamps that is second 0.
        is_broadcast: stamps that step back, or far forward, belong to another clock.
        following: sample at which the first frame lies; None: at its beginning, where a track
            may be late.
    """

    def __init__(self, start: float, is_broadcast: bool, following: int | None = None) -> None:
        self.start, self.is_broadcast = start, is_broadcast
        self.jumped = False
        self._is_first = following is None
        self._following, self._rate = following or 0, 0

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
        """The place, or where the sound before it ended."""
        step = (place - self._following) / rate
        # At the beginning of a track any step is its delay.
        new_clock = self.is_broadcast and not self._is_first and not -STEP <= step <= JUMP
        if new_clock:
            self.start += step
            self.jumped = True
        is_near = abs(step) <= (FIRST_STEP if self._is_first else STEP)
        return self._following if new_clock or is_near else place


class _Resampled:
    """Samples at their places, resampled from one sample of the result on.

    Args:
        file: the track.
        frame: its first frame.
        rate: samples a second of the result.
        origin: second of its first sample, roughly: where samples of both rates coincide.
    """

    def __init__(self, file: _File, frame: Any, rate: int, origin: float) -> None:
        self.file, self.rate, self.native = file, rate, frame.sample_rate
        # Only from a common sample on are excerpts resampled like the whole.
        common = rate // int(np.gcd(rate, self.native))
        self.origin = int(max(origin, 0) * rate // common * common)
        self.following = round(self.origin * self.native / rate)
        # Broadcasts change channels on the way: those of the beginning stay.
        self._layout = frame.layout
        self._packer = self._resampler = None
        self._template: tuple = ()
        self._waiting: list[np.ndarray] = []
        self._parts: list[np.ndarray] = []

    @property
    def channels(self) -> int:
        return self._layout.nb_channels

    def add(self, place: int, frame: Any) -> None:
        """Lay a frame, after silence if it begins later than what was there ended."""
        if frame.sample_rate == self.native and place + frame.samples <= self.following:
            return
        samples = self._packed(frame)
        self.silence(place)
        self._push(samples[max(self.following - place, 0) :])

    def silence(self, place: int) -> None:
        """Fill up to a place with silence."""
        missing = place - self.following
        if missing > MAX_PAUSE * self.native:
            raise MediaError(self.file.path, f'pause of {missing / self.native:.0f} s in its sound')
        while missing > 0:
            length = min(missing, self.native)
            self._push(np.zeros((length, self.channels), np.float32))
            missing -= length

    def between(self, first: int, stop: int | None) -> np.ndarray:
        """float32 (channels, samples) of the samples of the result from ``first`` to ``stop``."""
        self._resample(is_last=True)
        if not self._parts:
            return np.zeros((self.channels, 0), np.float32)
        stop = None if stop is None else stop - self.origin
        whole = np.concatenate(self._parts)
        return np.ascontiguousarray(whole[first - self.origin : stop].T)

    def _packed(self, frame: Any) -> np.ndarray:
        """(samples, channels) of a frame.

        Packed, since PyAV 18 reads beyond the planes of some planar frames.
        """
        template = (frame.format.name, frame.layout.name, frame.sample_rate)
        if template != self._template:
            self._packer = self.file.av.AudioResampler(format='flt', layout=self._layout)
            self._template = template
            if frame.sample_rate != self.native:
                self._change_rate(frame.sample_rate)
        frames = self._packer.resample(frame)
        return np.concatenate([each.to_ndarray().reshape(-1, self.channels) for each in frames])

    def _change_rate(self, native: int) -> None:
        self._resample(is_last=True)
        done = self.origin + sum(map(len, self._parts))
        self.native, self._resampler = native, None
        self.following = round(done * native / self.rate)

    def _push(self, samples: np.ndarray) -> None:
        self._waiting.append(samples)
        self.following += len(samples)
        if sum(map(len, self._waiting)) >= self.native:
            self._resample()

    def _resample(self, is_last: bool = False) -> None:
        samples = np.concatenate(self._waiting) if self._waiting else np.zeros((0, 1), np.float32)
        self._waiting = []
        if self.native == self.rate:
            self._parts += [samples] if len(samples) else []
            return
        frames = self._resampled(samples) if len(samples) else []
        # The filter still holds the last samples.
        if is_last and self._resampler:
            frames += self._resampler.resample(None)
        self._parts += [each.to_ndarray().reshape(-1, self.channels) for each in frames]

    def _resampled(self, samples: np.ndarray) -> list[Any]:
        av = self.file.av
        frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), 'flt', self._layout)
        frame.sample_rate = self.native
        self._resampler = self._resampler or av.AudioResampler(rate=self.rate)
        return self._resampler.resample(frame)


class _Frames:
    """Frames of a track in order, packets that cannot be decoded left out as players do.

    Args:
        file: the track.
        seeks: its place in the file was sought.

    Attributes:
        good, bad: packets so far.
        reason: why the first bad one could not be decoded.
        broken: why the file could not be read on, or None.
    """

    def __init__(self, file: _File, seeks: bool = False) -> None:
        self.file, self._seeks = file, seeks
        self.good = self.bad = 0
        self.reason: BaseException | None = None
        self.broken: BaseException | None = None

    def __iter__(self) -> Iterator[Any]:
        for packet in self._packets():
            try:
                frames = packet.decode()
            except self.file.av.FFmpegError as error:
                self.bad += bool(packet.size)
                self.reason = self.reason or error
                continue
            self.good += bool(packet.size)
            if self._seeks and self.good == 1:
                # Half packets at the place are no fault of the file.
                self.bad = 0
            yield from (frame for frame in frames if frame.samples)

    def _packets(self) -> Iterator[Any]:
        try:
            yield from self.file.container.demux(self.file.stream)
        except self.file.av.FFmpegError as error:
            self.broken = error

    def check(self) -> None:
        """Raise MediaError when too much was left out."""
        count = self.good + self.bad
        if self.bad > max(1, MISSING_SHARE * count) or self.bad == count > 0:
            reason = f'{self.bad} of {count} packets of its sound cannot be decoded'
            raise MediaError(self.file.path, decoder_reason(self.reason, reason))


def _read(
    file: _File,
    frames: _Frames,
    remaining: Iterator[Any],
    clock: _Clock,
    rate: int,
    start: float,
    end: float | None,
) -> np.ndarray:
    """The excerpt, of frames of which the first lies well before it."""
    result = None
    for frame in remaining:
        place, native = clock.place(frame.time, frame.samples, frame.sample_rate), frame.sample_rate
        result = result or _Resampled(file, frame, rate, start - MARGIN)
        # The filter looks ahead.
        stop = None if end is None else round((end + MARGIN) * native)
        if stop is not None and place >= stop:
            result.silence(stop)
            break
        result.add(place, frame)
    frames.check()
    if result is None:
        return np.zeros((file.stream.codec_context.channels or 1, 0), np.float32)
    first = round(start * rate)
    return result.between(first, None if end is None else first + round((end - start) * rate))


def _read_after_seek(
    path: str, rate: int, start: float, end: float | None, before: float
) -> np.ndarray | None:
    """The excerpt, or None where seeking did not lead to a known place before it."""
    with _opened(path) as file:
        grid = _frame_grid(file)
        try:
            _seek(file, file.start + start - before)
        except file.av.FFmpegError:
            return None
        frames = _Frames(file, seeks=True)
        remaining = iter(frames)
        ahead = list(_frames_until(remaining, file.start + start - MARGIN))
        native = ahead[0].sample_rate if ahead else 0
        if any(frame.time is None or frame.sample_rate != native for frame in ahead):
            return None
        place = _first_place(ahead, file.start, file.unit) if ahead else np.inf
        if place > (start - MARGIN) * native:
            return None
        clock = _Clock(
            file.start, file.is_broadcast, following=_on_grid(place, grid, file.unit * native)
        )
        return _read(file, frames, chain(ahead, remaining), clock, rate, start, end)


def _frames_until(frames: Iterator[Any], second: float) -> Iterator[Any]:
    """Frames up to the one that reaches a second of the file's own clock."""
    for frame in frames:
        yield frame
        if frame.time is None or frame.time + frame.samples / frame.sample_rate > second:
            return


def _first_place(frames: list[Any], start: float, unit: float) -> float:
    """Sample at which the first of some frames lies, by the time stamps of all.

    Stamps are rounded, and for some packets after a place that was sought FFmpeg guesses them.
    """
    rate = frames[0].sample_rate
    lengths = np.cumsum([0] + [frame.samples for frame in frames[:-1]])
    places = np.array([(frame.time - start) * rate for frame in frames]) - lengths
    # Up to the first pause, which the clock finds.
    pauses = np.flatnonzero(np.abs(np.diff(places)) > STEP * rate)
    places = places[: pauses[0] + 1 if len(pauses) else None]
    agreed = np.abs(places - np.median(places)) <= unit * rate
    return float(places[agreed].mean() if agreed.any() else np.median(places))


def _seek(file: _File, second: float) -> None:
    file.container.seek(int(second / file.unit), stream=file.stream)


def _frame_grid(file: _File) -> tuple[int, int] | None:
    """(place of a frame, length of all frames) where time stamps are coarse and frames alike."""
    if file.unit <= COARSE_UNIT:
        return None
    clock = _Clock(file.start, file.is_broadcast)
    found = [
        (clock.place(frame.time, frame.samples, frame.sample_rate), frame.samples)
        for frame in islice(_Frames(file), 3)
    ]
    return found[1] if len(found) == 3 and found[1][1] == found[2][1] else None


def _on_grid(place: float, grid: tuple[int, int] | None, rounding: float) -> int:
    """The place of the grid that is meant by a rounded one, if any."""
    if grid is None:
        return round(place)
    first, length = grid
    exact = first + round((place - first) / length) * length
    return exact if abs(exact - place) <= rounding / 2 + 2 else round(place)


def _clock_jumps(path: str) -> bool:
    """Whether the times of packets do not tell their place in the file."""
    with _opened(path) as file:
        return file.is_broadcast and _walk(file)[1]


def _walk(file: _File) -> tuple[float, bool]:
    """(second at which the last packet ends, whether the clock jumps), without decoding."""
    clock, end = _Clock(file.start, file.is_broadcast), 0.0
    for packet in file.container.demux(file.stream):
        if packet.pts is not None:
            stamp, length = packet.pts * file.unit, (packet.duration or 0) * file.unit
            clock.place(stamp, round(length * PACKET_RATE), PACKET_RATE)
            end = max(end, stamp - clock.start + length)
    return end, clock.jumped


def _track_end(file: _File) -> float | None:
    """Second from the start of the file at which the track ends."""
    stream = file.stream
    # MP3 files with a header state the delay of the encoder too.
    is_estimated = file.format in ESTIMATED and not stream.start_time
    if file.is_broadcast or is_estimated:
        return _walk(file)[0]
    if stream.duration:
        return ((stream.start_time or 0) + stream.duration) * file.unit - file.start
    if file.container.duration:
        for before in TAILS:
            if (end := _end_after_seek(file, before)) is not None:
                return end
    with _opened(file.path) as again:
        return _walk(again)[0]


def _end_after_seek(file: _File, before: float) -> float | None:
    """End of the last packet from some seconds before the end of the file on, if there is one."""
    try:
        _seek(file, file.start + file.container.duration / file.av.time_base - before)
        ends = [
            (packet.pts + (packet.duration or 0)) * file.unit
            for packet in file.container.demux(file.stream)
            if packet.pts is not None
        ]
    except file.av.FFmpegError:
        return None
    return max(ends) - file.start if ends else None
