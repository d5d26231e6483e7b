"""Every awkward kind under every backend: the right frames at their times, or a named refusal."""

import random
from pathlib import Path

import numpy as np
import pytest

from internvideo.datasets.inference.video_stream import FrameStream
from internvideo.datasets.media.errors import MediaError
from internvideo.datasets.media.readers import BACKENDS, open_video

from .awkward_media import KINDS
from .media_kinds import EXACT, REFUSED, Kind
from .media_writing import RATE
from .numbered_frames import UNREADABLE, read_number

NEAR = 0.002
"""Seconds by which the clocks of containers round."""
VIDEO_BACKENDS = [backend for backend in BACKENDS if backend != 'frames']
LIBRARIES = [backend for backend in VIDEO_BACKENDS if backend not in ('auto', 'pyav')]


def open_kind(folder: Path, kind: Kind, backend: str):
    """Reader of a kind, or None when it is refused by its name, as it may be."""
    if backend in LIBRARIES:
        pytest.importorskip(backend, exc_type=ImportError)
    path = folder / kind.name
    try:
        return open_video(str(path), backend)
    except MediaError as error:
        assert (error.path, '\n' in error.reason) == (str(path), False)
        assert kind.outcome != EXACT or backend in LIBRARIES, error
        # A library that is refused for what it is names another backend that would do.
        assert kind.outcome != EXACT or "'auto'" in error.reason, error
        return None


def read_kind(reader, kind: Kind, indices: list[int]) -> np.ndarray | None:
    """Frames, or None when a damaged file is refused by its name, as it may be."""
    try:
        return reader.get_batch(indices)
    except MediaError as error:
        assert kind.name in str(error)
        assert kind.outcome != EXACT or "'auto'" in str(error), error
        return None


def is_right(kind: Kind, reader, index: int, number: int) -> bool:
    """Tell whether a frame shows what it must: by its time where some may be missing."""
    index = reader.repeated.get(index, index)
    if not kind.damaged:
        return number == kind.numbers[index]
    if number == UNREADABLE:
        # What a decoder conceals of damage is no other picture.
        return kind.outcome != EXACT
    # Program streams give times to some pictures only: those of the others are counted from there.
    slack = 2 / RATE if kind.name.endswith('.mpg') else 0
    return abs(reader.times[index] - kind.times[kind.numbers.index(number)]) <= NEAR + slack


def check_frames(kind: Kind, reader, indices: list[int]) -> bool:
    """Check what is read, and tell whether anything was."""
    frames = read_kind(reader, kind, indices)
    if frames is None:
        return False
    assert (frames.dtype, frames.shape[0], frames.shape[3]) == (np.uint8, len(indices), 3)
    seen = [read_number(frame) for frame in frames]
    wrong = [
        (index, number)
        for index, (number, _) in zip(indices, seen, strict=True)
        if not is_right(kind, reader, index, number)
    ]
    assert not wrong
    assert {lies for number, lies in seen if number != UNREADABLE} <= {kind.orientation}
    return True


@pytest.mark.parametrize('backend', VIDEO_BACKENDS)
@pytest.mark.parametrize('name', KINDS)
def test_right_frames_or_a_named_reason(name: str, backend: str, awkward: Path) -> None:
    kind = KINDS[name]
    reader = open_kind(awkward, kind, backend)
    if reader is None:
        return
    count = len(reader)
    if not kind.damaged:
        assert count == len(kind.numbers)
    whole = check_frames(kind, reader, list(range(count)))
    assert kind.outcome != REFUSED or not whole, f'{name} was read'
    order = random.Random(0).sample(range(count), min(count, 4))
    for index in order:
        check_frames(kind, reader, [index])
    check_frames(kind, reader, np.linspace(0, count - 1, 8).astype(int).tolist())


@pytest.mark.parametrize('name', [name for name, kind in KINDS.items() if kind.outcome == EXACT])
def test_times_and_rate(name: str, awkward: Path) -> None:
    kind = KINDS[name]
    reader = open_video(str(awkward / name))
    assert reader.times.dtype == np.float64 and (np.diff(reader.times) >= 0).all()
    if kind.times is not None:
        np.testing.assert_allclose(reader.times, kind.times, atol=NEAR)
        assert kind.fps is None or reader.fps == pytest.approx(kind.fps, rel=0.1)
    assert reader.probe.video.sample_aspect == pytest.approx(float(kind.sample_aspect))


@pytest.mark.parametrize('name', KINDS)
def test_a_stream_gives_all_frames_in_order(name: str, awkward: Path) -> None:
    kind = KINDS[name]
    try:
        timed = list(FrameStream(str(awkward / name)).timed())
    except MediaError as error:
        assert kind.outcome != EXACT and name in str(error)
        return
    assert kind.outcome != REFUSED
    seen = [read_number(image) for image, _, _ in timed]
    if not kind.damaged:
        assert [number for number, _ in seen] == list(kind.numbers)
    assert {lies for number, lies in seen if number != UNREADABLE} <= {kind.orientation}
    starts, ends = (np.array([row[place] for row in timed]) for place in (1, 2))
    assert (ends >= starts).all() and (np.diff(starts) >= 0).all()
    if kind.times is not None and not kind.damaged:
        np.testing.assert_allclose(starts, kind.times, atol=NEAR)


def test_each_library_reads_what_is_common(awkward: Path) -> None:
    for backend in LIBRARIES:
        pytest.importorskip(backend, exc_type=ImportError)
        for name in ('h264.mp4', 'silent.mp4', 'moov_first.mp4', 'one_keyframe.mp4'):
            assert open_kind(awkward, KINDS[name], backend) is not None, (name, backend)


@pytest.mark.parametrize(
    'name',
    [
        '12:30 a talk.mp4',
        'clip %03d.mp4',
        '-i.mp4',
        'a,b;c.mp4',
        "it's \u0444\u96ea.mp4",
        'a\nb.mp4',
    ],
)
def test_names_are_no_addresses_nor_patterns(
    name: str, awkward: Path, tmp_path: Path, monkeypatch
) -> None:
    (tmp_path / name).write_bytes((awkward / 'h264.mp4').read_bytes())
    monkeypatch.chdir(tmp_path)
    for backend in VIDEO_BACKENDS:
        if backend in LIBRARIES:
            pytest.importorskip(backend, exc_type=ImportError)
        check_frames(KINDS['h264.mp4'], open_video(name, backend), [0, 17, 39])
    assert len(list(FrameStream(name))) == len(KINDS['h264.mp4'].numbers)
