"""Audio of media files, as the filter bank that audio encoders read."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from internvideo.ops.filter_bank import SAMPLE_RATE, WINDOW, log_mel_filter_bank, num_filter_frames

from .audio_reading import NO_TRACK
from .decoder_process import run_guarded
from .errors import MediaError
from .file_cache import FileCache, file_key
from .libraries import optional_library
from .limits import media_limits
from .readers import Limits

RandInt = Callable[[int, int], int]
FACTS = 'internvideo.datasets.media.audio_reading:audio_facts'
READ = 'internvideo.datasets.media.audio_reading:read_audio'

_facts = FileCache()


class AudioTrack:
    """The audio track of a file (wav, flac, mp3, mp4, ...) that players take: the default one.

    Args:
        path: the file.
        rate: samples a second that :meth:`read` gives, whatever the track has.
        limits: :class:`MediaLimits` or its fields; of sound the deadline counts.

    Attributes:
        index: number of the track among the streams of the file.
        language: as the container says, or None.
        seconds: from the start of the file to the end of the track; None when unknown.
        channels: number of them.

    Raises:
        MediaError: missing, broken, or ``NO_TRACK`` without an audio track.
    """

    def __init__(self, path: str, rate: int = SAMPLE_RATE, limits: Limits = None) -> None:
        self.path, self.rate = str(path), rate
        self._deadline = media_limits(limits).deadline
        optional_library('av', 'av')
        facts = self._remembered_facts()
        self.index: int = facts['index']
        self.language: str | None = facts['language']
        self.channels: int = facts['channels']
        self.seconds: float | None = facts['seconds']

    def _remembered_facts(self) -> dict[str, Any]:
        key = file_key(self.path)
        if (found := _facts.get(key)) is None:
            found = run_guarded(FACTS, self.path, deadline=self._deadline)
            _facts.put(key, found)
        return found

    def samples_between(self, start: float, end: float | None) -> int:
        """Number of samples of :meth:`read` as far as the file says, or 0."""
        if self.seconds is None:
            return 0
        return int((min(self.seconds, end or self.seconds) - start) * self.rate)

    def read(self, start: float = 0.0, end: float | None = None) -> Tensor:
        """float32 (channels, samples) in [-1, 1] of the seconds from ``start`` to ``end``.

        Seconds count from the start of the file, which is that of its picture too: a track that
        begins later is preceded by silence, and pauses in its time stamps are silent.  Fewer
        samples where the track ends before, perhaps none.

        Raises:
            MediaError: it cannot be decoded, or over a tenth of it cannot.
        """
        samples = run_guarded(READ, self.path, self.rate, start, end, deadline=self._deadline)
        return torch.from_numpy(samples)


def mono_excerpt(
    wave: Tensor, length: int, randint: RandInt = random.randint, crop_mono: bool = True
) -> Tensor:
    """(channels, samples) to the mean over channels, (length,).

    A longer sound gives a part that begins where ``randint(0, surplus)`` says, a shorter one is
    followed by zeros.

    Args:
        wave: the sound.
        length: samples; 0 leaves it as long as it is.
        randint: draws, both ends included.
        crop_mono: False: the first part of a sound of one channel, as published.
    """
    mono, surplus = wave.mean(dim=0), wave.shape[1] - length
    if length == 0:
        return mono
    if surplus <= 0:
        return pad(mono, (0, -surplus))
    start = randint(0, surplus) if crop_mono or len(wave) > 1 else 0
    return mono[start : start + length]


@dataclass
class AudioFeatures:
    """Reads files as filter banks, float32 (frames, ``num_mel_bins``).

    Args:
        sample_rate: must be 16000, what the filter bank is made for.
        max_seconds: a drawn part of that length stands for a longer sound; 0: all of it.
        num_mel_bins: of the filter bank.
        random_crop: False: the first part in place of a drawn one (testing).
        crop_mono: False: always the first part of sounds of one channel, as published.
        limits: of :class:`AudioTrack`.

    Raises:
        ValueError: another sample rate, a negative length, no bins.
    """

    sample_rate: int = SAMPLE_RATE
    max_seconds: float = 10.0
    num_mel_bins: int = 64
    random_crop: bool = True
    crop_mono: bool = True
    limits: Limits = None

    def __post_init__(self) -> None:
        if self.sample_rate != SAMPLE_RATE:
            raise ValueError(f'audio.sample_rate must be {SAMPLE_RATE}, got {self.sample_rate}')
        if self.max_seconds < 0 or self.num_mel_bins < 1:
            raise ValueError(
                'audio: max_seconds must not be negative and num_mel_bins be positive, got '
                f'{self.max_seconds} and {self.num_mel_bins}'
            )

    @property
    def length(self) -> int:
        """Samples of the longest audio, 0 for any."""
        return round(self.max_seconds * self.sample_rate)

    @property
    def num_frames(self) -> int:
        """Frames of the longest audio, 998 for ten seconds, 0 for any."""
        return num_filter_frames(self.length)

    def __call__(
        self,
        path: str,
        start: float = 0.0,
        end: float | None = None,
        pad_missing: bool = False,
        pad_bank: bool = False,
    ) -> Tensor:
        """Filter bank of a file's audio, filled up with silence when it is short.

        Args:
            path: the file.
            start, end: seconds to look at; ``end=None``: to its end.
            pad_missing: zeros stand for a track that is missing or empty.
            pad_bank: the zeros follow the filter bank, as published for videos, not the sound.

        Raises:
            MediaError: broken or, without ``pad_missing``, no audio track or nothing in it.
        """
        try:
            wave = self._read(path, start, end)
        except MediaError as error:
            # Silence stands for a missing track only; a broken file stays unreadable.
            if error.reason != NO_TRACK or not pad_missing:
                raise
            wave = torch.zeros(1, 0)
        # As published, a missing track is zeros of the bank, not the bank of silence.
        if wave.shape[1] < WINDOW and pad_missing:
            return torch.zeros(max(self.num_frames, 1), self.num_mel_bins)
        if wave.shape[1] == 0:
            raise MediaError(path, f'no sound from second {start:g} on')
        length = min(self.length, wave.shape[1]) if pad_bank else self.length
        wave = mono_excerpt(wave, length, self._randint, self.crop_mono)
        if len(wave) < WINDOW:
            raise MediaError(path, f'{len(wave)} samples of sound are less than a window (25 ms)')
        bank = log_mel_filter_bank(wave, self.num_mel_bins)
        return pad(bank, (0, 0, 0, max(self.num_frames - len(bank), 0)))

    def _randint(self, low: int, high: int) -> int:
        return random.randint(low, high) if self.random_crop else low

    def _read(self, path: str, start: float, end: float | None) -> Tensor:
        """Read (channels, samples), of a long track only the part that is used."""
        track = AudioTrack(path, self.sample_rate, self.limits)
        surplus = track.samples_between(start, end) - self.length
        if not self.length or surplus <= 0:
            return track.read(start, end)
        cropped = self.crop_mono or track.channels > 1
        start += self._randint(0, surplus) / self.sample_rate if cropped else 0
        return track.read(start, start + self.length / self.sample_rate)
