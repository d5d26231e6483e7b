"""Audio of media files in seconds of the clock that their pictures have too, without torch."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np

from .audio_placement import FIRST_STEP, STEP, AudioClock, PlacedAudio
from .container_size import stated_size
from .errors import MediaError, decoder_reason
from .file_cache import FileCache, file_key
from .frame_times import BROADCAST
from .libraries import import_av, open_container

NO_TRACK = 'no audio track'
SEEK_FROM = 2.0
"""Seconds into a file from which seeking pays."""
SEEKS = (0.75, 5.0, 30.0)
"""Seconds before an excerpt to which seeking is tried before reading from the beginning: decoders
need some frames to give what they give in order, and some files seek to a place behind."""
MARGIN = 0.05
"""Seconds resampled around an excerpt, more than the filter is long."""
ESTIMATED = ('mp3', 'aac', 'ac3', 'eac3', 'dts', 'truehd', 'mlp', 'amr', 'loas')
"""Bare streams, whose length FFmpeg guesses from the bit rate."""
PACKET_RATE = 90000
COARSE_UNIT = 1 / 8000
"""Time stamps of coarser units (Matroska, FLV) do not tell one sample from the next."""
TAILS = (2.0, 20.0, 200.0)
"""Seconds before the end of a file in which the last packet of a track is looked for."""
MISSING_SHARE = 0.1
"""Up to a tenth of the packets may be damaged, as of videos."""

_walks = FileCache()


def audio_facts(path: str) -> dict[str, Any]:
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
        # Where audio comes late in a file, only the audio itself tells.
        with _opened(path) as file:
            for frame in islice(_Frames(file), 1):
                facts.update(channels=frame.layout.nb_channels, rate=frame.sample_rate)
    return facts


def read_audio(path: str, rate: int, start: float = 0.0, end: float | None = None) -> np.ndarray:
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
    span = _Span(rate, start, end)
    for before in SEEKS if start > SEEK_FROM else ():
        with _opened(path) as file:
            samples = _read_after_seek(file, span, before)
        if samples is not None:
            return samples
    with _opened(path) as file:
        frames = _Frames(file)
        return _read(file, frames, iter(frames), AudioClock(file.start, file.format), span)


@dataclass(frozen=True)
class _Span:
    """Seconds of a file that are asked for, at a number of samples a second."""

    rate: int
    start: float
    end: float | None

    @property
    def samples(self) -> tuple[int, int | None]:
        """Samples of the result, counted from the start of the file."""
        first = round(self.start * self.rate)
        if self.end is None:
            return first, None
        return first, first + round((self.end - self.start) * self.rate)

    def stop(self, native: int) -> float:
        """Sample of the track up to which it is read."""
        # The filter looks ahead.
        return np.inf if self.end is None else round((self.end + MARGIN) * native)


@dataclass(frozen=True)
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
    def start(self) -> float:
        """Second of the file's own clock at which its earliest stream begins."""
        return (self.container.start_time or 0) / self.av.time_base

    @property
    def unit(self) -> float:
        """Seconds of the track's clock unit."""
        return float(self.stream.time_base)

    def seek(self, second: float) -> bool:
        """Go to a packet before a second of the file, if that is possible."""
        try:
            self.container.seek(int((self.start + second) / self.unit), stream=self.stream)
        except self.av.FFmpegError:
            return False
        return True


@contextmanager
def _opened(path: str) -> Iterator[_File]:
    av = import_av()
    file_key(path)
    with open_container(path) as container:
        stream = _played_track(container)
        if stream is None:
            raise MediaError(path, NO_TRACK)
        if stream.codec_context is None:
            raise MediaError(path, 'the codec of its audio track is not known to FFmpeg')
        file = _File(av, path, container, stream)
        _check_size(file)
        try:
            yield file
        except (av.FFmpegError, ValueError) as error:
            if isinstance(error, MediaError):
                raise
            raise MediaError(path, decoder_reason(error, 'audio decoding failed')) from None


def _check_size(file: _File) -> None:
    size, whole = Path(file.path).stat().st_size, stated_size(file.path, file.format)
    if whole and size < (1 - MISSING_SHARE) * whole:
        raise MediaError(file.path, f'file is cut off: {size} of {whole} bytes')


def _played_track(container: Any) -> Any:
    """Track of a file that is played: the default one, else the one that FFmpeg takes."""
    tracks = container.streams.audio
    default = (each for each in tracks if each.disposition & type(each.disposition).default)
    found = next(default, None)
    return (found or container.streams.best('audio') or tracks[0]) if tracks else None


def _demuxed(file: _File) -> Iterator[Any]:
    """Packets of the track and an empty one that flushes its decoder."""
    # At the end PyAV 18 looks for streams in its list that came up on the way, as in broadcasts.
    with suppress(IndexError):
        yield from file.container.demux(file.stream)


class _Frames:
    """Frames of a track in order, packets that cannot be decoded left out as players do.

    Args:
        file: the track.
        is_sought: its place in the file was sought, so that the first packets may be halves.

    Attributes:
        good, bad: packets so far.
    """

    def __init__(self, file: _File, is_sought: bool = False) -> None:
        self.file, self._is_sought = file, is_sought
        self.good = self.bad = 0
        self._reason = self._broken = ''

    def __iter__(self) -> Iterator[Any]:
        for packet in self._packets():
            try:
                frames = packet.decode()
            except self.file.av.FFmpegError as error:
                # The packet after the last one is empty and flushes the decoder.
                self.bad += bool(packet.size)
                self._reason = self._reason or decoder_reason(error, '')
                continue
            self.good += bool(packet.size)
            if self._is_sought and self.good == 1:
                self.bad = 0
            yield from (frame for frame in frames if frame.samples)

    def _packets(self) -> Iterator[Any]:
        """Packets up to the end, or to a place from which the file cannot be read on."""
        try:
            yield from _demuxed(self.file)
        except self.file.av.FFmpegError as error:
            self._broken = decoder_reason(error, 'cannot be read on')

    def check(self, reached: float, end: float | None) -> None:
        """Raise MediaError when too much was left out.

        Args:
            reached: second of the file up to which frames came.
            end: second up to which they were asked for; None: to the end of the track.
        """
        length = min(end or np.inf, _stated_end(self.file) or np.inf)
        if self._broken and reached < (1 - MISSING_SHARE) * length:
            raise MediaError(self.file.path, f'after second {reached:.1f} it {self._broken}')
        count = self.good + self.bad
        if self.bad > max(1, MISSING_SHARE * count) or self.bad == count > 0:
            raise MediaError(
                self.file.path,
                f'{self.bad} of {count} packets of its audio cannot be decoded{self._reason}',
            )


def _read(
    file: _File, frames: _Frames, remaining: Iterator[Any], clock: AudioClock, span: _Span
) -> np.ndarray:
    """Samples of the span, from frames of which the first lies well before it."""
    audio = None
    for frame in remaining:
        native = frame.sample_rate
        place = clock.place(frame.time, frame.samples, native)
        if audio is None:
            audio = PlacedAudio(file.av, file.path, frame, span.rate, span.start - MARGIN)
        if place >= span.stop(native):
            audio.add_silence(int(span.stop(native)))
            break
        audio.add(place, frame)
    frames.check(clock.end, span.end)
    if audio is None:
        return np.zeros((file.stream.codec_context.channels or 1, 0), np.float32)
    return audio.between(*span.samples)


# --- excerpts ---


def _read_after_seek(file: _File, span: _Span, before: float) -> np.ndarray | None:
    """Samples of the span, or None where seeking did not lead to a known place before it."""
    packets, grid = _broadcast_packets(file), _frame_grid(file)
    if (packets and packets.jumped) or before >= span.start:
        return None
    shift = packets.shift_from(span.start - before) if packets else 0.0
    if not file.seek(span.start - shift - before):
        return None
    frames = _Frames(file, is_sought=True)
    remaining = iter(frames)
    first_second = span.start - shift - MARGIN
    ahead = list(_frames_until(remaining, file.start + first_second))
    rates = {frame.sample_rate for frame in ahead}
    if len(rates) != 1 or any(frame.time is None for frame in ahead):
        return None
    (native,) = rates
    place = _first_place(ahead, file.start, file.unit)
    if place > first_second * native:
        return None
    following = _on_grid(place, grid, file.unit * native)
    clock = AudioClock(file.start, file.format, following + round(shift * native))
    return _read(file, frames, chain(ahead, remaining), clock, span)


def _frames_until(frames: Iterator[Any], second: float) -> Iterator[Any]:
    """Frames up to the one that reaches a second of the file's own clock."""
    for frame in frames:
        yield frame
        if frame.time is None or frame.time + frame.samples / frame.sample_rate > second:
            return


def _first_place(frames: list[Any], start: float, unit: float) -> float:
    """Sample at which the first of some frames lies, by the time stamps of all.

    Stamps are rounded, and those of some packets after a place that was sought are guesses.
    """
    rate = frames[0].sample_rate
    lengths = np.cumsum([0] + [frame.samples for frame in frames[:-1]])
    places = np.array([(frame.time - start) * rate for frame in frames]) - lengths
    # Up to the first pause, which the clock finds.
    pauses = np.flatnonzero(np.abs(np.diff(places)) > STEP * rate)
    places = places[: pauses[0] + 1 if len(pauses) else None]
    is_agreed = np.abs(places - np.median(places)) <= unit * rate
    return float(places[is_agreed].mean() if is_agreed.any() else np.median(places))


def _frame_grid(file: _File) -> tuple[int, int] | None:
    """(place of a frame, length of all frames) where time stamps are coarse and frames alike."""
    if file.unit <= COARSE_UNIT:
        return None
    clock = AudioClock(file.start, file.format)
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


# --- lengths, without decoding ---


@dataclass(frozen=True)
class _Packets:
    """Times of a track's packets.

    Attributes:
        end: second of the file at which the last one ends.
        jumped: whether the clock jumps, so that times do not tell the place in the file.
        stamps: float64 (N,), seconds of the file by their time stamps.
        shifts: float64 (N,), seconds by which they lie later when the file is read in order.
    """

    end: float
    jumped: bool
    stamps: np.ndarray
    shifts: np.ndarray

    def shift_from(self, second: float) -> float:
        """Seconds by which what is stamped so lies later in the whole."""
        first, stop = np.searchsorted(self.stamps, (second, second + SEEKS[0]))
        shift = float(np.median(self.shifts[first:stop])) if stop > first else 0.0
        # Below this it is the rounding of time stamps.
        return shift if abs(shift) > FIRST_STEP else 0.0


def _broadcast_packets(file: _File) -> _Packets | None:
    """Packets of a container that may not keep its clock, None of others."""
    if file.format not in BROADCAST:
        return None
    # They are looked at in a file of their own, which is then at its end.
    with _opened(file.path) as again:
        return _walk(again)


def _walk(file: _File) -> _Packets:
    """Look at all packets, without decoding."""
    key = file_key(file.path)
    if (found := _walks.get(key)) is None:
        clock, ends, times = AudioClock(file.start, file.format), [0.0], []
        rate = file.stream.codec_context.sample_rate or PACKET_RATE
        for packet in _demuxed(file):
            if packet.pts is not None:
                stamp, length = packet.pts * file.unit, (packet.duration or 0) * file.unit
                place = clock.place(stamp, round(length * rate), rate)
                stamp -= clock.start
                ends.append(stamp + length)
                times.append((stamp, place / rate - stamp))
        stamps, shifts = np.array(times, np.float64).reshape(-1, 2).T
        found = _Packets(max(ends), clock.jumped, stamps, shifts)
        _walks.put(key, found)
    return found


def _track_end(file: _File) -> float | None:
    """Second from the start of the file at which the track ends."""
    stream = file.stream
    # MP3 files with a header state the delay of the encoder too.
    is_estimated = file.format in ESTIMATED and not stream.start_time
    if file.format in BROADCAST or is_estimated:
        return _walk(file).end
    if stream.duration:
        return _stated_end(file)
    for before in TAILS if file.container.duration else ():
        end = _end_after_seek(file, file.container.duration / file.av.time_base - before)
        if end is not None:
            return end
    with _opened(file.path) as again:
        return _walk(again).end or None


def _stated_end(file: _File) -> float | None:
    stream = file.stream
    if not stream.duration:
        return None
    return ((stream.start_time or 0) + stream.duration) * file.unit - file.start


def _end_after_seek(file: _File, second: float) -> float | None:
    """End of the last packet from a second on, if there is one."""
    if not file.seek(second):
        return None
    ends = [
        (packet.pts + (packet.duration or 0)) * file.unit
        for packet in _demuxed(file)
        if packet.pts is not None
    ]
    return max(ends) - file.start if ends else None
