"""Readers of video files and frame folders, all with one interface."""

import importlib
import re
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Protocol

import numpy as np

from internvideo.datasets.bad_samples import MediaError

# decord: "[12:34:56] /x/video.cc:151: Check failed: n >= 0 (-5 vs. 0) ERROR ..." and stack traces;
# torchcodec: "function, /x/decoder.cpp:41, ...".
DECODER_NOISE = (
    r'^\[[\d:]+\] \S+:\d+: ',
    r'^Check failed: .*?\([^)]*\) ',
    r' Stack trace.*$',
    r'^\w+, \S+\.cpp:\d+, ',
)
# A header may count a few frames that no player shows; below this share the file was cut off.
COMPLETE_SHARE = 0.95
# What decord 0.6 says of videos turned by a quarter (phones), which it cannot batch.
DECORD_TURNED = 'The size must exactly match'


class Reader(Protocol):
    """Random access to the frames of one video.

    ``len(reader)`` frames at ``fps`` (0.0 when unknown); ``get_batch(indices)`` decodes them to
    uint8 (N, H, W, 3) RGB at native size and raises :class:`MediaError` when it cannot.
    Frames stand upright: rotation that the container asks for is applied.

    The backends give the same frames of H.264 mp4 files; in older containers (AVI) their seeking
    may differ by some frames.
    """

    fps: float

    def __len__(self) -> int: ...

    def get_batch(self, indices: Sequence[int]) -> np.ndarray: ...


class DecordReader:
    """Frames through decord, one thread."""

    def __init__(self, path: str) -> None:
        decord = optional_library('decord', 'decord')
        self.path = path
        try:
            # At native size: resizing in decord raises at some sizes, differs by grey levels and
            # is no faster. One thread, since loader workers are the parallelism.
            self._reader = decord.VideoReader(path, num_threads=1)
            self.fps = float(self._reader.get_avg_fps())
        except (RuntimeError, decord.DECORDError) as error:
            raise MediaError(path, decoder_reason(error, 'no readable video stream')) from None
        # decord raises one or another of these by the kind of fault.
        self._errors = (RuntimeError, IndexError, decord.DECORDError)

    def __len__(self) -> int:
        return len(self._reader)

    def get_batch(self, indices: Sequence[int]) -> np.ndarray:
        try:
            # decord seeks to other frames than asked in MPEG-TS, WMV, AVI with B-frames and
            # open-GOP files, and says nothing; PyAVReader reads these right, at the cost of
            # decoding from the start.
            return self._reader.get_batch([int(i) for i in indices]).asnumpy()
        except self._errors as error:
            if DECORD_TURNED in str(error):
                return PyAVReader(self.path).get_batch(indices)
            raise MediaError(self.path, decoder_reason(error, 'decoding failed')) from None


class TorchCodecReader:
    """Frames through torchcodec, frame-exact seeking, one thread."""

    def __init__(self, path: str) -> None:
        decoders = optional_library('torchcodec.decoders', 'torchcodec')
        self.path = path
        try:
            # Not `approximate`, which gives other frames than asked where the rate varies and in
            # open-GOP mp4 files.
            self._decoder = decoders.VideoDecoder(
                path, dimension_order='NHWC', num_ffmpeg_threads=1, seek_mode='exact'
            )
        except (RuntimeError, ValueError) as error:
            raise MediaError(path, decoder_reason(error, 'no readable video stream')) from None
        self.fps = float(self._decoder.metadata.average_fps or 0.0)
        # Exact mode counts what is there, so that a file that was cut off is noticed.
        stated = self._decoder.metadata.num_frames_from_header or 0
        if len(self) < COMPLETE_SHARE * stated:
            raise MediaError(path, f'file is cut off: {len(self)} of {stated} frames')

    def __len__(self) -> int:
        return len(self._decoder)

    def get_batch(self, indices: Sequence[int]) -> np.ndarray:
        try:
            return self._decoder.get_frames_at([int(i) for i in indices]).data.numpy()
        except (RuntimeError, IndexError) as error:
            raise MediaError(self.path, decoder_reason(error, 'decoding failed')) from None


class PyAVReader:
    """Frames through PyAV, decoded in sequence from the start, one thread."""

    def __init__(self, path: str) -> None:
        self._av = optional_library('av', 'av')
        self.path = path
        with self._open() as container:
            stream = self._video_stream(container)
            self.fps = float(stream.average_rate or 0.0)
            # The header also counts frames that an edit list hides: asking for these raises.
            self._count = stream.frames or sum(1 for _ in self._decode(container))

    def __len__(self) -> int:
        return self._count

    def get_batch(self, indices: Sequence[int]) -> np.ndarray:
        wanted = {int(i) for i in indices}  # an index may come several times, in any order
        with self._open() as container:
            frames = {}
            for number, frame in enumerate(self._decode(container)):
                if number in wanted:
                    frames[number] = _upright(frame)
                if len(frames) == len(wanted):
                    break
        if len(frames) < len(wanted):
            missing = min(wanted - set(frames))
            raise MediaError(self.path, f'frame {missing} of {len(self)} cannot be decoded')
        return np.stack([frames[int(i)] for i in indices])

    def _open(self):
        try:
            return self._av.open(self.path)
        except (self._av.FFmpegError, ValueError) as error:
            raise MediaError(self.path, decoder_reason(error, 'cannot be opened')) from None

    def _video_stream(self, container):
        if not container.streams.video:
            raise MediaError(self.path, 'no video stream')
        stream = container.streams.video[0]
        stream.thread_count = 1  # loader workers are the parallelism: threads would compete
        return stream

    def _decode(self, container):
        try:
            yield from container.decode(self._video_stream(container))
        except self._av.FFmpegError as error:
            raise MediaError(self.path, decoder_reason(error, 'decoding failed')) from None


def _upright(frame) -> np.ndarray:
    # `rotation` says nothing of mirroring: mirrored display matrices come out turned at most.
    image = frame.to_ndarray(format='rgb24')
    return np.rot90(image, frame.rotation // 90) if frame.rotation else image


class FrameFolderReader:
    """Frames kept as image files, numbered from 1: frame ``i`` is ``filename_tmpl.format(i + 1)``.

    Args:
        path: Folder.
        filename_tmpl: Name of a frame, such as ``img_{:05}.jpg`` or ``{:05}.jpg``.
        total_frames: Number of frames; None counts the files.
    """

    fps = 0.0

    def __init__(
        self, path: str, filename_tmpl: str = 'img_{:05}.jpg', total_frames: int | None = None
    ) -> None:
        self.path, self.filename_tmpl = Path(path), filename_tmpl
        if not self.path.is_dir():
            raise MediaError(path, 'frame folder not found')
        self._count = self._count_files() if total_frames is None else total_frames
        if self._count <= 0:
            raise MediaError(path, f'no frame like {filename_tmpl.format(1)} in the folder')

    def _count_files(self) -> int:
        suffix = Path(self.filename_tmpl).suffix
        return sum(1 for file in self.path.iterdir() if file.suffix == suffix)

    def __len__(self) -> int:
        return self._count

    def get_batch(self, indices: Sequence[int]) -> np.ndarray:
        return np.stack([self._frame(int(i)) for i in indices])

    def _frame(self, index: int) -> np.ndarray:
        file = self.path / self.filename_tmpl.format(index + 1)
        if not file.is_file():
            raise MediaError(self.path, f'frame file {file.name} is missing')
        image = decode_image(file)
        if image is None:
            raise MediaError(self.path, f'frame file {file.name} is not an image')
        return image


class ImageReader:
    """An image file (JPEG, PNG, WebP, ...) as a video of one frame."""

    fps = 0.0

    def __init__(self, path: str) -> None:
        if not Path(path).is_file():
            raise MediaError(path, 'file not found')
        self._image = decode_image(Path(path))
        if self._image is None:
            raise MediaError(path, 'not an image')

    def __len__(self) -> int:
        return 1

    def get_batch(self, indices: Sequence[int]) -> np.ndarray:
        return np.stack([self._image] * len(indices))


def decode_image(file: Path) -> np.ndarray | None:
    """Read an image upright as uint8 (H, W, 3) RGB, or None when the file holds none."""
    import cv2

    # From memory: cv2.imread warns on stderr of a file that it cannot read.
    content = np.fromfile(file, np.uint8)
    # IMREAD_COLOR turns pictures as their EXIF data say.
    image = cv2.imdecode(content, cv2.IMREAD_COLOR) if len(content) else None
    return None if image is None else cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


READERS = dict(decord=DecordReader, torchcodec=TorchCodecReader, pyav=PyAVReader)


def open_video(path: str, backend: str = 'decord') -> Reader:
    """Open a video file.

    Raises:
        MediaError: missing, empty, without video stream or frames.
        ValueError: unknown ``backend``.
        ImportError: the backend's package is not installed.
    """
    if backend not in READERS:
        raise ValueError(f'unknown video backend {backend!r}; known: {", ".join(READERS)}, frames')
    if not Path(path).is_file():
        raise MediaError(path, 'file not found')
    if Path(path).stat().st_size == 0:
        raise MediaError(path, 'file is empty')
    reader = READERS[backend](path)
    if len(reader) <= 0:
        raise MediaError(path, 'no frame in the video stream')
    return reader


def optional_library(module: str, package: str) -> ModuleType:
    """Import a package that a reader needs, or raise ImportError with how to install it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(
            f'this reader needs the package {package!r}: pip install {package}'
        ) from error


def decoder_reason(error: BaseException, fallback: str) -> str:
    """Message of a decoder on one line without the times and source places it adds."""
    text = ' '.join(str(error).split())
    for noise in DECODER_NOISE:
        text = re.sub(noise, '', text)
    return f'{fallback} ({text[:200]})' if text else fallback
