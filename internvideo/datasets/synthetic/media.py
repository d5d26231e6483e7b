"""Writers of generated clips as mp4 (H.264 and AAC), folders of frames and wav.

Each file is written under a temporary name and renamed, so none is ever half there.
"""

import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np

from internvideo.fileio.atomic import atomic_path, atomic_write

from .audio import SAMPLE_RATE

GOP = 12
"""Frames from one key frame to the next: short, so that seeking is cheap."""


def write_whole(path: Path, write: Callable[[Path], None]) -> None:
    """Let ``write`` fill a file or folder that becomes ``path`` once it is whole.

    Not flushed to the disk: there are thousands, and what is lost is rendered again.
    """
    with atomic_path(path, single_writer=True, sync=False) as temporary:
        write(temporary)


def write_text(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` in one piece."""
    atomic_write(path, text, single_writer=True)


def write_video(path: Path, frames: np.ndarray, waveform: np.ndarray, fps: int) -> None:
    """Encode uint8 frames (T, H, W, 3) and an int16 mono track (16 kHz) as mp4.

    Raises:
        ValueError: a side is odd, which 4:2:0 video cannot hold.
    """
    height, width = frames.shape[1:3]
    if height % 2 or width % 2:
        raise ValueError(f'{path}: sides must be even for H.264, got {width}x{height}')
    write_whole(path, lambda temporary: _encode(temporary, frames, waveform, fps))


def _encode(path: Path, frames: np.ndarray, waveform: np.ndarray, fps: int) -> None:
    import av

    # One thread: several processes write the world, and x264's output depends on their number.
    options = {'preset': 'ultrafast', 'crf': '18', 'threads': '1'}
    with av.open(str(path), 'w', format='mp4') as container:
        video = container.add_stream('libx264', rate=fps, options=options)
        video.width, video.height, video.pix_fmt = frames.shape[2], frames.shape[1], 'yuv420p'
        video.codec_context.gop_size = GOP
        audio = container.add_stream('aac', rate=SAMPLE_RATE, layout='mono')
        for image in frames:
            container.mux(video.encode(av.VideoFrame.from_ndarray(image, format='rgb24')))
        container.mux(video.encode())  # frames that the encoder still holds
        track = av.AudioFrame.from_ndarray(waveform[None], format='s16', layout='mono')
        track.sample_rate, track.pts = SAMPLE_RATE, 0
        container.mux(audio.encode(track))
        container.mux(audio.encode())


def write_frame_folder(path: Path, frames: np.ndarray) -> None:
    """Write uint8 frames (T, H, W, 3) as ``img_00001.jpg`` and so on, counted from 1."""
    write_whole(path, lambda temporary: _write_images(temporary, frames))


def _write_images(folder: Path, frames: np.ndarray) -> None:
    from PIL import Image

    folder.mkdir(parents=True)
    for number, image in enumerate(frames, start=1):
        Image.fromarray(image).save(folder / f'img_{number:05d}.jpg', quality=92)


def write_wav(path: Path, waveform: np.ndarray) -> None:
    """Write an int16 mono track (16 kHz) as wav."""
    write_whole(path, lambda temporary: _write_wave(temporary, waveform))


def _write_wave(path: Path, waveform: np.ndarray) -> None:
    with wave.open(str(path), 'wb') as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        # Little-endian on any machine, as wav files are.
        file.writeframes(waveform.astype('<i2').tobytes())
