"""Audio lies on the clock of its file, whole and in excerpts, whatever the container does."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from internvideo.datasets.media.audio_reading import audio_facts, read_audio
from internvideo.datasets.media.errors import MediaError
from tests.datasets.media.audio_files import (
    burst_errors,
    spoil_packets,
    strip_xing,
    unstate_length,
    write_audio,
)

RATE = 16000
SECONDS = 8
EXPERIMENTAL = dict(options=dict(strict='-2'))
KINDS = {
    'aac.mp4': dict(codec='aac', rate=44100, layout='stereo', video='libx264'),
    'late.mp4': dict(codec='aac', left_out=(0, 1.0), video='libx264'),
    'gap.mp4': dict(codec='aac', left_out=(3.0, 4.0), video='libx264'),
    'aac.mkv': dict(codec='aac', rate=44100, video='libx264'),
    'late.mkv': dict(codec='libopus', left_out=(0, 1.0), video='libx264'),
    'gap.mkv': dict(codec='aac', left_out=(3.0, 4.0), video='libx264'),
    'vorbis.mkv': dict(codec='vorbis', layout='stereo', **EXPERIMENTAL),
    'opus.webm': dict(codec='libopus', video='libvpx'),
    'mp2.ts': dict(codec='mp2', video='mpeg2video', offset=1.4),
    'aac.ts': dict(codec='aac', video='libx264', offset=40000.0),
    'late.ts': dict(codec='mp2', left_out=(0, 1.0), video='mpeg2video', offset=40000.0),
    'gap.ts': dict(codec='mp2', left_out=(3.0, 4.0), video='mpeg2video', offset=1.4),
    'mp2.mpg': dict(codec='mp2', video='mpeg1video'),
    'ac3.vob': dict(codec='ac3', video='mpeg2video', container='vob'),
    'cbr.mp3': dict(codec='libmp3lame', layout='stereo', bit_rate=128000),
    'vbr.mp3': dict(codec='libmp3lame', rate=44100, options=dict(q='4')),
    'bare.aac': dict(codec='aac', rate=44100, container='adts'),
    'opus.ogg': dict(codec='libopus'),
    'gap.ogg': dict(codec='libopus', left_out=(3.0, 4.0)),
    'law.wav': dict(codec='pcm_mulaw', rate=8000),
    'wide.flac': dict(codec='flac', rate=96000),
    'surround.flac': dict(codec='flac', layout='7.1'),
    'mp3.avi': dict(codec='libmp3lame', rate=44100, video='mpeg4'),
    'aac.flv': dict(codec='aac', rate=44100, video='flv'),
    'wma.asf': dict(codec='wmav2', rate=44100, bit_rate=64000, container='asf'),
}
SPECIAL: dict[str, tuple[Callable[[Path], Path], dict]] = {
    # Without its header nobody knows of the delay of the encoder.
    'bare.mp3': (strip_xing, dict(codec='libmp3lame', options=dict(q='4'))),
    'stream.wav': (unstate_length, dict(codec='pcm_s16le')),
}
DELAYS = {
    'bare.mp3': 1105 / 48000,
    'bare.aac': 1024 / 44100,
    'wma.asf': 2048 / 44100,
    'mp3.avi': 1105 / 44100,
}
"""Seconds of the encoder's delay that these containers do not state."""
NOISY = ('ac3.vob',)
"""Decoders of these fill up with noise, which goes on from wherever they began."""


@pytest.fixture(scope='module')
def audio_file(tmp_path_factory) -> Callable[[str], Path]:
    """Path of a kind of file, written when it is first asked for."""
    root = tmp_path_factory.mktemp('sounds')

    def path_of(name: str) -> Path:
        path = root / name
        if not path.exists():
            change, facts = SPECIAL.get(name) or (lambda path: path, KINDS[name])
            change(write_audio(path, seconds=SECONDS, **facts))
        return path

    return path_of


def expected_bursts(name: str) -> set[int]:
    first, last = KINDS.get(name, {}).get('left_out', (0, 0))
    return {number for number in range(2 * SECONDS) if not first <= 0.5 * number < last}


def picture_start(path: str) -> float:
    """Second of the file at which its picture begins."""
    with av.open(path) as file:
        for stream in file.streams.video:
            return float(stream.start_time * stream.time_base) - file.start_time / av.time_base
    return 0.0


@pytest.mark.parametrize('name', [*KINDS, *SPECIAL])
def test_sound_lies_where_it_was_recorded(name, audio_file) -> None:
    path = str(audio_file(name))
    errors = burst_errors(read_audio(path, RATE)[0], RATE)
    assert set(errors) == expected_bursts(name)
    late = np.array(list(errors.values())) - DELAYS.get(name, picture_start(path))
    # Containers state times in units of a millisecond at most.
    assert np.abs(late).max() < 1.2e-3


@pytest.mark.parametrize('name', [*KINDS, *SPECIAL])
def test_an_excerpt_is_that_part_of_the_whole(name, audio_file) -> None:
    path = str(audio_file(name))
    whole = read_audio(path, RATE)
    for start, end in [(0.0, 0.45), (0.7, 1.9), (3.3, 4.8), (5.205, 6.7), (7.5, 9.0)]:
        part = read_audio(path, RATE, start, end)
        expected = whole[:, round(start * RATE) :][:, : round((end - start) * RATE)]
        if name == 'gap.mkv':
            # After a pause the container's milliseconds are all that is known.
            errors = burst_errors(part[0], RATE, start).values()
            assert np.abs(list(errors)).max(initial=0) < 1.2e-3
        else:
            assert part.shape == expected.shape
            np.testing.assert_allclose(part, expected, atol=0.05 if name in NOISY else 1e-4)


@pytest.mark.parametrize('name', [*KINDS, *SPECIAL])
def test_lengths_are_true(name, audio_file) -> None:
    path = str(audio_file(name))
    facts = audio_facts(path)
    samples = read_audio(path, RATE)
    assert facts['seconds'] == pytest.approx(samples.shape[1] / RATE, abs=0.06)
    assert facts['channels'] == len(samples)


@pytest.mark.skipif(shutil.which('ffmpeg') is None, reason='needs the command ffmpeg')
@pytest.mark.parametrize(
    'name', ['late.mp4', 'gap.mp4', 'mp2.ts', 'gap.ts', 'mp2.mpg', 'vbr.mp3', 'bare.mp3', 'gap.ogg']
)
def test_sound_is_that_of_the_command_ffmpeg(name, audio_file) -> None:
    path = str(audio_file(name))
    command = f'-map 0:a -af aresample={RATE}:async=1:first_pts=0 -f f32le -'.split()
    result = subprocess.run(
        ['ffmpeg', '-v', 'error', '-i', path, *command], stdout=subprocess.PIPE, check=True
    )
    expected = np.frombuffer(result.stdout, np.float32)
    own = read_audio(path, RATE)[0]
    assert abs(len(own) - len(expected)) <= 1
    length = min(len(own), len(expected))
    np.testing.assert_allclose(own[:length], expected[:length], atol=1e-3)


def test_the_default_track_is_read(tmp_path) -> None:
    path = str(write_audio(tmp_path / 'two.mkv', 'aac', 3, tracks=2, video='libx264'))
    facts = audio_facts(path)
    assert (facts['index'], facts['language']) == (2, 'eng')
    assert len(burst_errors(read_audio(path, RATE)[0], RATE)) == 6


def test_another_clock_goes_on_where_the_first_ended(tmp_path) -> None:
    path = tmp_path / 'joined.ts'
    parts = [
        write_audio(tmp_path / f'{offset}.ts', 'mp2', 3, video='mpeg2video', offset=offset)
        for offset in (1.0, 900.0, 400.0)
    ]
    path.write_bytes(b''.join(part.read_bytes() for part in parts))
    wave = read_audio(str(path), RATE)
    assert wave.shape[1] == pytest.approx(9 * RATE, abs=0.1 * RATE)
    assert audio_facts(str(path))['seconds'] == pytest.approx(9, abs=0.1)
    np.testing.assert_array_equal(read_audio(str(path), RATE, 4.0, 7.5), wave[:, 64000:120000])


@pytest.mark.parametrize(
    ('codec', 'first'), [('mp2', 300 * 188), ('ac3', 30 * 2048)], ids=['packet', 'mid_frame']
)
def test_excerpts_agree_where_a_recording_begins_on_the_way(codec, first, tmp_path) -> None:
    container = dict(mp2='mpegts', ac3='vob')[codec]
    path = tmp_path / f'cut.{container}'
    write_audio(path, codec, 8, video='mpeg2video', container=container)
    path.write_bytes(path.read_bytes()[first:])
    whole = read_audio(str(path), RATE)
    part = read_audio(str(path), RATE, 3.0, 5.0)
    np.testing.assert_allclose(part, whole[:, 3 * RATE : 5 * RATE], atol=0.05)


@pytest.mark.parametrize(('every', 'is_read'), [(20, True), (4, False)])
def test_up_to_a_tenth_may_be_damaged(every, is_read, tmp_path) -> None:
    path = write_audio(tmp_path / 'a.mka', 'ac3', 4)
    spoil_packets(path, every)
    if is_read:
        assert len(burst_errors(read_audio(str(path), RATE)[0], RATE)) > 6
    else:
        with pytest.raises(MediaError, match=r'a\.mka: \d+ of 125 packets of its audio cannot'):
            read_audio(str(path), RATE)


def test_channels_and_rates_may_change_on_the_way(tmp_path) -> None:
    parts = [
        write_audio(tmp_path / 'a.ts', 'aac', 3, 48000, 'stereo', offset=1.0),
        write_audio(tmp_path / 'b.ts', 'aac', 3, 32000, 'mono', offset=4.0),
    ]
    path = tmp_path / 'joined.ts'
    path.write_bytes(b''.join(part.read_bytes() for part in parts))
    wave = read_audio(str(path), RATE)
    assert len(wave) == 2
    errors = burst_errors(wave[0], RATE)
    assert set(errors) >= set(range(6))
    assert set(burst_errors(wave[1][3 * RATE :], RATE)) == set(range(6))


def test_reasons_name_the_file_and_nothing_of_this_machine(tmp_path) -> None:
    path = tmp_path / 'broken.mp3'
    path.write_bytes(b'ID3' + bytes(500))
    with pytest.raises(MediaError) as error:
        read_audio(str(path), RATE)
    assert error.value.path == str(path)
    assert '0x' not in error.value.reason and '/' not in error.value.reason


def test_attached_pictures_are_no_sound(tmp_path) -> None:
    path = tmp_path / 'silent.mp4'
    with av.open(str(path), 'w') as file:
        stream = file.add_stream('mjpeg', rate=1)
        stream.width, stream.height, stream.pix_fmt = 64, 48, 'yuvj420p'
        file.mux(stream.encode(av.VideoFrame(64, 48, 'yuvj420p')))
        file.mux(stream.encode())
    with pytest.raises(MediaError, match='no audio track'):
        audio_facts(str(path))


def test_a_file_that_was_cut_off_is_refused(tmp_path) -> None:
    path = write_audio(tmp_path / 'cut.wav', 'pcm_s16le', 2)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(MediaError, match=r'cut\.wav: file is cut off: \d+ of \d+ bytes'):
        read_audio(str(path), RATE)
