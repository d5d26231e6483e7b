"""Sound of files: excerpts, resampling, tracks of videos, missing and broken ones."""

import random
import wave
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from internvideo.datasets.bad_samples import MediaError
from internvideo.datasets.media.audio import AudioFeatures, AudioTrack, mono_excerpt
from internvideo.datasets.synthetic.media import write_video, write_wav
from internvideo.ops.filter_bank import log_mel_filter_bank, num_filter_frames
from tests.datasets.conftest import write_video as write_mute
from tests.datasets.media_world import FPS, clip, tone

RATE = 16000


def write_stereo(path: Path, waveform: np.ndarray, rate: int = RATE) -> Path:
    """int16 (samples, 2) as wave file."""
    with wave.open(str(path), 'wb') as file:
        file.setparams((2, 2, rate, 0, 'NONE', ''))
        file.writeframes(waveform.astype('<i2').tobytes())
    return path


def write_flac(path: Path, waveform: np.ndarray) -> Path:
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('flac', rate=RATE, layout='mono')
        frame = av.AudioFrame.from_ndarray(waveform[None], format='s16', layout='mono')
        frame.sample_rate, frame.pts, frame.time_base = RATE, 0, Fraction(1, RATE)
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


@pytest.fixture(scope='module')
def audio_files(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp('audio_files')
    write_wav(root / 'long.wav', tone(12))
    write_wav(root / 'short.wav', tone(0.5))
    write_wav(root / 'click.wav', tone(0.01))
    write_video(root / 'tone.mp4', clip(0), tone(1.2), FPS)
    write_mute(root / 'mute.mp4')
    (root / 'broken.wav').write_bytes(b'RIFF nothing')
    (root / 'empty.wav').touch()
    return root


def test_a_wave_file_is_read_sample_by_sample(audio_files) -> None:
    track = AudioTrack(str(audio_files / 'long.wav'))
    assert (track.channels, track.seconds) == (1, 12)
    assert torch.equal(track.read()[0], torch.from_numpy(tone(12) / np.float32(32768)))


@pytest.mark.parametrize(('start', 'end'), [(0.0, 1.5), (0.7, 1.9), (5.25, 9.0), (11.5, 13.0)])
def test_a_part_is_that_part_of_the_whole(start, end, audio_files) -> None:
    track = AudioTrack(str(audio_files / 'long.wav'))
    expected = track.read()[:, round(start * RATE) : round(end * RATE)]
    assert torch.equal(track.read(start, end), expected)


def test_formats_agree_and_rates_are_changed(audio_files, tmp_path) -> None:
    flac = write_flac(tmp_path / 'a.flac', tone(0.5))
    own = AudioTrack(str(audio_files / 'short.wav')).read()
    assert torch.equal(AudioTrack(str(flac)).read(), own)
    other = np.repeat(tone(1), 3)[: 3 * RATE, None].repeat(2, axis=1)
    read = AudioTrack(str(write_stereo(tmp_path / 'a.wav', other, 3 * RATE))).read()
    assert read.shape == (2, RATE)
    assert (read[0, 1600:-1600] - torch.from_numpy(tone(1) / 32768)[1600:-1600]).abs().max() < 0.05


def test_excerpts_are_drawn_padded_or_left() -> None:
    stereo = torch.stack([torch.arange(8.0), torch.zeros(8)])
    asked = []

    def draw(low: int, high: int) -> int:
        asked.append((low, high))
        return 2

    assert mono_excerpt(stereo, 3, draw).tolist() == [1.0, 1.5, 2.0]
    assert mono_excerpt(stereo[:1], 3, draw).tolist() == [2.0, 3.0, 4.0]
    assert mono_excerpt(stereo[:1], 3, draw, crop_mono=False).tolist() == [0.0, 1.0, 2.0]
    assert mono_excerpt(stereo, 10).tolist()[-3:] == [3.5, 0.0, 0.0]
    assert len(mono_excerpt(stereo, 0)) == 8
    assert asked == [(0, 5), (0, 5)]


def test_ten_seconds_are_998_frames(audio_files) -> None:
    assert num_filter_frames(10 * RATE) == 998
    features = AudioFeatures()
    random.seed(0)
    bank = features(str(audio_files / 'long.wav'))
    random.seed(0)
    start = random.randint(0, 2 * RATE)
    whole = AudioTrack(str(audio_files / 'long.wav')).read()[0]
    assert bank.shape == (998, 64)
    assert torch.equal(bank, log_mel_filter_bank(whole[start : start + 10 * RATE], 64))
    first = AudioFeatures(random_crop=False)(str(audio_files / 'long.wav'))
    assert torch.equal(first, log_mel_filter_bank(whole[: 10 * RATE], 64))


def test_short_audio_is_filled_before_or_behind_the_filter_bank(audio_files) -> None:
    path, features = str(audio_files / 'short.wav'), AudioFeatures(max_seconds=1)
    wave = AudioTrack(path).read()[0]
    before = features(path)
    behind = features(path, pad_bank=True)
    assert before.shape == behind.shape == (98, 64)
    assert torch.equal(behind[:48], log_mel_filter_bank(wave, 64)) and not behind[48:].any()
    assert torch.equal(before, log_mel_filter_bank(torch.cat([wave, torch.zeros(8000)]), 64))


def test_a_missing_track_is_zeros_where_that_is_allowed(audio_files) -> None:
    features = AudioFeatures()
    assert not features(str(audio_files / 'mute.mp4'), pad_missing=True).any()
    with pytest.raises(MediaError, match=r'mute\.mp4: no audio track'):
        features(str(audio_files / 'mute.mp4'))
    assert features(str(audio_files / 'tone.mp4'), pad_missing=True, pad_bank=True)[:100].any()


@pytest.mark.parametrize(
    ('name', 'options', 'reason'),
    [
        ('gone.wav', dict(pad_missing=True), 'file not found'),
        ('broken.wav', dict(pad_missing=True), 'cannot be opened'),
        ('empty.wav', {}, 'file is empty'),
        ('click.wav', dict(pad_bank=True), '160 samples of sound are less than a window'),
        ('short.wav', dict(start=3.0), 'no sound from second 3 on'),
    ],
)
def test_unreadable_audio_is_named(name, options, reason, audio_files) -> None:
    with pytest.raises(MediaError, match=f'{name}: {reason}'):
        AudioFeatures()(str(audio_files / name), **options)


@pytest.mark.parametrize('field', ['sample_rate', 'max_seconds', 'num_mel_bins'])
def test_settings_are_checked(field) -> None:
    with pytest.raises(ValueError, match=field):
        AudioFeatures(**{field: -1})
