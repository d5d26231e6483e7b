from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from internvideo.datasets.bad_samples import MediaError
from internvideo.datasets.inference.video_stream import (
    FrameStream,
    sliding_windows,
    spread,
)
from internvideo.datasets.media.readers import open_video
from internvideo.datasets.media.reading import at_rate
from internvideo.datasets.synthetic.media import write_wav
from tests.apis.tiny import moving_frames, write_video


@given(st.integers(0, 60), st.integers(1, 20), st.integers(1, 20))
def test_windows_cover_every_item_and_hold_what_they_say(n: int, window: int, stride: int) -> None:
    windows = list(sliding_windows(range(n), window, stride))
    seen = set()
    for index, part in enumerate(windows):
        assert part.first == index * stride and len(part.items) == window
        real = window - part.padded
        assert part.items == [*range(part.first, part.first + real), *[n - 1] * part.padded]
        assert part.padded == 0 or part is windows[-1]
        seen.update(part.items)
    if stride <= window:
        assert seen == set(range(n))


@given(st.integers(1, 40), st.sampled_from([5, 10, 12, 24, 30]), st.integers(1, 60))
def test_rate_keeps_the_length_of_the_video(n: int, source: int, fps: int) -> None:
    frames = ((i, 3.0 + i / source, 3.0 + (i + 1) / source) for i in range(n))
    chosen = [frame for frame, _, _, count in at_rate(frames, fps) for _ in range(count)]
    assert chosen == sorted(chosen) and chosen[0] == 0
    assert abs(len(chosen) - n * Fraction(fps, source)) <= 1
    if fps == source:
        assert chosen == list(range(n))


def test_spread_takes_middles() -> None:
    assert spread(4, 4) == [0, 1, 2, 3]
    assert spread(16, 4) == [2, 6, 10, 14]
    with pytest.raises(ValueError, match='shorter than the 8 frames'):
        spread(4, 8)


def test_stream_decodes_what_a_reader_does(videos: Path) -> None:
    path = str(videos / 'sub' / '0.mp4')
    stream = FrameStream(path)
    expected = open_video(path, 'pyav').get_batch(range(30))
    np.testing.assert_array_equal(np.stack(list(stream)), expected)
    assert (stream.source_fps, stream.decoded, stream.yielded) == (10.0, 30, 30)
    half = np.stack(list(FrameStream(path, fps=5)))
    np.testing.assert_array_equal(half, expected[::2])


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    whole = write_video(tmp_path / 'whole.avi', moving_frames(60, side=64))
    cut = tmp_path / 'cut.avi'
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    write_wav(tmp_path / 'sound.wav', np.zeros(1000, np.int16))
    for name, reason in [
        ('gone.mp4', 'file not found'),
        ('sound.wav', 'no video stream'),
        ('cut.avi', 'file is cut off: .* bytes'),
    ]:
        with pytest.raises(MediaError, match=reason) as caught:
            list(FrameStream(tmp_path / name))
        assert name in str(caught.value)
    with pytest.raises(ValueError, match='fps must be positive'):
        FrameStream(whole, fps=0)
