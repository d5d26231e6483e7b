"""Windows in frames and seconds, on clocks of every kind."""

from itertools import pairwise

import pytest

from internvideo.datasets.inference.timed_windows import (
    Seconds,
    in_batches,
    timed_frames,
    timed_windows,
    window_length,
    window_settings,
)
from internvideo.datasets.inference.video_stream import FrameStream
from tests.apis.tiny import moving_frames, write_video


def frames_at(*starts: float, last: float = 1.0) -> list[tuple[float, float, float]]:
    """Frames that stand for their own times."""
    ends = [*starts[1:], starts[-1] + last]
    return [(start, start, end) for start, end in zip(starts, ends, strict=True)]


def spans(frames, window, stride) -> list[tuple[float, float]]:
    return [(part.start, part.end) for part in timed_windows(frames, window, stride)]


@pytest.mark.parametrize(
    ('text', 'length'), [('16', 16), (16, 16), ('2s', 2.0), ('0.5 s', 0.5), (Seconds(3), 3.0)]
)
def test_lengths_are_frames_or_seconds(text, length) -> None:
    found = window_length(text)
    assert found == length and isinstance(found, Seconds) == isinstance(length, float)


@pytest.mark.parametrize('text', ['0', '-2', '2m', 's', '', '0s', '1.5', 0])
def test_other_lengths_are_refused(text) -> None:
    with pytest.raises(ValueError, match='is no length'):
        window_length(text)


def test_settings_are_of_one_kind() -> None:
    assert window_settings(32) == (32, 16)
    assert window_settings('2s') == (2.0, 1.0)
    assert window_settings('2s', 4, fps=8) == (16, 4)
    with pytest.raises(ValueError, match='both in seconds'):
        window_settings('2s', 4)


def test_windows_of_frames_tell_their_seconds() -> None:
    parts = list(timed_windows(frames_at(0, 0.5, 3, 4, 9), 2, 2))
    assert [(part.start, part.end) for part in parts] == [(0, 3), (3, 9), (9, 10)]
    assert [(part.first, part.last, part.padded) for part in parts] == [
        (0, 1, 0), (2, 3, 0), (4, 4, 1),
    ]  # fmt: skip


def test_windows_of_seconds_hold_what_is_on_display() -> None:
    parts = list(timed_windows(frames_at(0, 0.5, 1.5, 2.5, 3.5, last=0.5), Seconds(2), Seconds(1)))
    assert [part.images for part in parts] == [[0, 0.5, 1.5], [0.5, 1.5, 2.5], [1.5, 2.5, 3.5]]
    assert [(part.start, part.end) for part in parts] == [(0, 2), (1, 3), (2, 4)]


def test_last_window_of_seconds_ends_with_the_video() -> None:
    assert spans(frames_at(0, 1, 2, last=0.5), Seconds(2), Seconds(2)) == [(0, 2), (2, 2.5)]
    assert spans(frames_at(0), Seconds(2), Seconds(2)) == [(0, 1)]


def test_last_frame_without_length_is_seen() -> None:
    assert spans(frames_at(0, last=0), Seconds(1), Seconds(1)) == [(0, 0)]


def test_a_picture_that_stands_still_gives_no_windows() -> None:
    assert spans(frames_at(0, 1, 9000, 9001), Seconds(2), Seconds(1)) == [
        (0, 2), (1, 3), (8999, 9001), (9000, 9002),
    ]  # fmt: skip


def test_video_that_starts_late_has_its_seconds() -> None:
    assert spans(frames_at(100.25, 101), Seconds(1), Seconds(1)) == [(100.25, 101), (101, 102)]


def test_stride_beyond_the_window_passes_frames_over() -> None:
    frames = frames_at(*range(10))
    assert spans(frames, Seconds(1), Seconds(4)) == [(0, 1), (4, 5), (8, 9)]


@pytest.mark.parametrize('window', [4, Seconds(0.4)])
@pytest.mark.parametrize('jump', [-26.5, -1e6, 1e6])
def test_a_clock_that_jumps_gives_no_more_windows_than_frames(window, jump: float) -> None:
    times = [number / 10 for number in range(100)]
    times[50:] = [second + jump for second in times[50:]]
    found = spans([(None, second, second + 0.1) for second in times], window, window)
    assert 0 < len(found) <= 60
    assert all(start <= end for start, end in found)
    assert all(before[0] <= after[0] for before, after in pairwise(found))


class AtRate:
    """A stream of two frames a second, taken four times a second."""

    fps, until = 4.0, 1.6

    def timed(self):
        """Each frame twice, but the last, which is shorter."""
        yield from [('a', 1.0, 1.5), ('a', 1.0, 1.5), ('b', 1.5, 1.6)]


def test_frames_at_a_rate_have_the_seconds_for_which_they_stand() -> None:
    assert list(timed_frames(AtRate())) == [('a', 1, 1.25), ('a', 1.25, 1.5), ('b', 1.5, 1.6)]


def test_the_last_window_ends_with_the_video_whatever_the_rate(tmp_path) -> None:
    path = write_video(tmp_path / 'a.mp4', moving_frames(28, side=32), fps=28)
    parts = list(timed_windows(timed_frames(FrameStream(path, fps=8)), 4, 4))
    assert [(part.start, round(part.end, 6)) for part in parts] == [(0, 0.5), (0.5, 1.0)]


def test_batches_keep_the_rest() -> None:
    assert list(in_batches(range(5), 2)) == [[0, 1], [2, 3], [4]]
