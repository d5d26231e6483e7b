"""Small real media, good and broken, made once per test session."""

from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from tests.datasets.media.awkward_media import write_kinds


def write_video(path: Path, frames: int = 30, size: tuple[int, int] = (64, 48)) -> Path:
    """H.264 frames whose brightness grows with their number."""
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('libx264', rate=10, options=dict(g='12'))
        stream.width, stream.height, stream.pix_fmt = *size, 'yuv420p'
        for number in range(frames):
            image = np.full((size[1], size[0], 3), 6 * number % 256, np.uint8)
            image[: size[1] // 2, : size[0] // 3, 0] = 255
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format='rgb24')))
        container.mux(stream.encode())
    return path


def write_audio(path: Path) -> Path:
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('aac', rate=16000, layout='mono')
        tone = np.zeros((1, 16000), np.float32)
        frame = av.AudioFrame.from_ndarray(tone, format='fltp', layout='mono')
        frame.sample_rate = 16000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def write_frames(folder: Path, count: int = 12) -> Path:
    folder.mkdir()
    for number in range(1, count + 1):
        image = np.full((48, 64, 3), 10 * number, np.uint8)
        cv2.imwrite(str(folder / f'img_{number:05}.jpg'), image)
    return folder


def write_empty_stream(path: Path) -> Path:
    """An mp4 with a video stream and no frame in it."""
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('libx264', rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, 'yuv420p'
        container.start_encoding()
    return path


@pytest.fixture(scope='session')
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with ``good.mp4``, ``short.mp4`` (3 frames), broken files and frame folders."""
    root = tmp_path_factory.mktemp('media')
    good = write_video(root / 'good.mp4')
    write_video(root / 'short.mp4', frames=3)
    write_audio(root / 'audio_only.mp4')
    write_empty_stream(root / 'zero_frames.mp4')
    (root / 'text.mp4').write_text('not a video at all\n' * 20)
    (root / 'empty.mp4').touch()
    (root / 'truncated.mp4').write_bytes(good.read_bytes()[: good.stat().st_size // 2])
    write_frames(root / 'frames')
    (write_frames(root / 'gap') / 'img_00006.jpg').unlink()
    return root


@pytest.fixture(scope='session')
def awkward(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with all awkward kinds of media, named as in KINDS."""
    folder = tmp_path_factory.mktemp('awkward')
    write_kinds(folder)
    return folder
