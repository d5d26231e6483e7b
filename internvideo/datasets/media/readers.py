"""Readers of video files, images and frame folders, all with one interface."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from .decoder_process import run_guarded
from .errors import MediaError
from .file_cache import FileCache, FileKey, file_key
from .frame_times import average_rate
from .libraries import library_version, optional_library
from .library_readers import LIBRARY_READERS, MODULES, fault_of
from .limits import MediaLimits, media_limits
from .media_facts import MediaProbe

BACKENDS = ('decord', 'torchcodec', 'pyav', 'frames', 'auto')
"""Names of readers; ``frames`` reads folders of images."""
PROBE = 'internvideo.datasets.media.reading:probe_here'
COUNT = 'internvideo.datasets.media.reading:count_frames'
READ = 'internvideo.datasets.media.reading:read_frames'
Limits = MediaLimits | Mapping[str, Any] | None

_probes, _counts = FileCache(), FileCache()


class Reader(Protocol):
    """Random access to the frames of one video.

    ``len(reader)`` frames at ``fps`` on average (0.0 when unknown); ``get_batch(indices)`` decodes
    them to uint8 (N, H, W, 3) RGB at native size, upright, and raises :class:`MediaError` when it
    cannot.

    Attributes:
        fps: frames a second on average, 0.0 when unknown.
        times: float64 (frames,), seconds from the file's start at which each frame appears; None
            where frames have no times (folders of images).
        backend: what decodes, with its version.
        sample_aspect: width of a pixel by its height.
        probe: facts of the file; None of images.
        repeated: frames that are damaged -> the frame shown in their place, of all requests.
    """

    fps: float
    times: np.ndarray | None
    backend: str
    sample_aspect: float
    probe: MediaProbe | None
    repeated: dict[int, int]

    def __len__(self) -> int: ...

    def get_batch(self, indices: Sequence[int]) -> np.ndarray: ...


class VideoReader:
    """Frames of a video file by number, exact or refused.

    Args:
        path: the file.
        backend: ``'auto'`` and ``'pyav'`` seek where packets prove which frame is which and decode
            in order elsewhere; ``'decord'`` and ``'torchcodec'`` refuse files that they read wrong,
            and where they fail at a damaged packet PyAV takes over.
        limits: sizes and times above which the file is refused.

    Raises:
        MediaError: missing, empty, cut off, without video stream or frames, over a limit, or not
            for this backend.
        ImportError: the backend's package is not installed.
    """

    def __init__(self, path: str, backend: str = 'auto', limits: Limits = None) -> None:
        self.path, self._limits = path, media_limits(limits)
        self._backend = 'pyav' if backend == 'auto' else backend
        if self._backend in LIBRARY_READERS:
            optional_library(MODULES[self._backend], self._backend)
        # Before the probe: what comes after it is seen to be another file.
        self._key = _content_key(path)
        self.probe = probe_media(path, self._limits)
        if self.probe.video is None:
            raise MediaError(path, 'no video stream')
        self.repeated: dict[int, int] = {}
        video = self.probe.video
        self.times, self.fps, self.sample_aspect = video.times, video.fps, video.shown_aspect
        if self._backend in LIBRARY_READERS:
            self._refuse_wrong()
        elif not video.is_counted:
            self.times = _counted_times(path, self._limits, len(video.packets))
            length = 1 / video.fps if video.fps else 0.0
            self.fps = average_rate(self.times, video.fps, length)

    @property
    def backend(self) -> str:
        """Name and version of the decoder."""
        return library_version(self._backend)

    def _refuse_wrong(self) -> None:
        fault = fault_of(self.probe, self._backend)
        if fault is None:
            return
        others = (name for name in LIBRARY_READERS if name != self._backend)
        fit = [name for name in others if fault_of(self.probe, name) is None]
        raise MediaError(
            self.path, f'{fault}; backend={" or ".join(map(repr, ["auto", *fit]))} reads it'
        )

    def __len__(self) -> int:
        return len(self.times)

    def get_batch(self, indices: Sequence[int]) -> np.ndarray:
        """uint8 (N, H, W, 3) of these frames, numbered from 0.

        Raises:
            MediaError: they cannot be decoded, or there is no such frame.
        """
        numbers = [int(index) for index in indices]
        wrong = next((i for i in numbers if not 0 <= i < len(self)), None)
        if wrong is not None:
            raise MediaError(self.path, f'there is no frame {wrong} of {len(self)}')
        if not numbers:
            width, height = self.probe.video.size
            return np.empty((0, height, width, 3), np.uint8)
        if _content_key(self.path) != self._key:
            raise MediaError(self.path, 'the file has changed since it was opened')
        patience = self._limits.patience(len(self.probe.video.packets))
        images, repeated, self._backend = run_guarded(
            READ, self.path, self._backend, numbers, self._limits, deadline=patience
        )
        self.repeated |= repeated
        return images


def _content_key(path: str) -> FileKey:
    # Without the last number, which links and rights change too.
    return file_key(path)[:-1]


def probe_media(path: str | Path, limits: Limits = None) -> MediaProbe:
    """Probe a media file, in milliseconds, and remember the facts by its content.

    Raises:
        MediaError: missing, empty, unreadable, cut off by more than a tenth, or over a limit.
    """
    limits, path = media_limits(limits), str(path)
    key = (file_key(path), limits)
    found = _probes.get(key)
    if found is None:
        found = run_guarded(PROBE, path, limits, deadline=limits.deadline)
        _probes.put(key, found)
    return found if found.path == path else replace(found, path=path)


def _counted_times(path: str, limits: MediaLimits, num_packets: int) -> np.ndarray:
    key = (file_key(path), limits)
    found = _counts.get(key)
    if found is None:
        patience = limits.patience(num_packets)
        found = run_guarded(COUNT, path, limits, deadline=patience).times
        _counts.put(key, found)
    return found


class FrameFolderReader:
    """Frames kept as image files: frame ``i`` is ``filename_tmpl.format(first_number + i)``.

    Args:
        path: Folder.
        filename_tmpl: Name of a frame, such as ``img_{:05}.jpg`` or ``{:05}.jpg``.
        total_frames: Number of frames; None counts the files.
        first_number: Number in the name of the first frame.
    """

    fps = 0.0
    times = probe = None
    backend, sample_aspect = 'images', 1.0

    def __init__(
        self,
        path: str,
        filename_tmpl: str = 'img_{:05}.jpg',
        total_frames: int | None = None,
        first_number: int = 1,
    ) -> None:
        self.path, self.filename_tmpl = Path(path), filename_tmpl
        self.first_number = first_number
        self.repeated: dict[int, int] = {}
        if not self.path.is_dir():
            raise MediaError(path, 'frame folder not found')
        self._count = self._count_files() if total_frames is None else total_frames
        if self._count <= 0:
            raise MediaError(path, f'no frame like {self.file_of(0).name} in the folder')

    def _count_files(self) -> int:
        suffix = Path(self.filename_tmpl).suffix
        return sum(1 for file in self.path.iterdir() if file.suffix == suffix)

    def __len__(self) -> int:
        return self._count

    def file_of(self, index: int) -> Path:
        """The file of a frame, numbered from 0."""
        return self.path / self.filename_tmpl.format(self.first_number + index)

    def get_batch(self, indices: Sequence[int]) -> np.ndarray:
        """uint8 (N, H, W, 3) of these frames, numbered from 0.

        Raises:
            MediaError: one is missing, is no image, or has another size than the others.
        """
        frames = [self._frame(int(i)) for i in indices]
        for index, frame in zip(indices, frames, strict=True):
            if frame.shape != frames[0].shape:
                name = self.file_of(int(index)).name
                raise MediaError(
                    self.path,
                    f'frame file {name} is {frame.shape[1]}x{frame.shape[0]}, '
                    f'others are {frames[0].shape[1]}x{frames[0].shape[0]}',
                )
        return np.stack(frames)

    def _frame(self, index: int) -> np.ndarray:
        file = self.file_of(index)
        if not file.is_file():
            raise MediaError(self.path, f'frame file {file.name} is missing')
        image = decode_image(file)
        if image is None:
            raise MediaError(self.path, f'frame file {file.name} is not an image')
        return image


class ImageReader:
    """An image file (JPEG, PNG, WebP, ...) as a video of one frame."""

    fps = 0.0
    times = probe = None
    backend, sample_aspect = 'images', 1.0

    def __init__(self, path: str) -> None:
        self.repeated: dict[int, int] = {}
        if not Path(path).is_file():
            raise MediaError(path, 'file not found')
        self._image = decode_image(Path(path))
        if self._image is None:
            raise MediaError(path, 'not an image')

    def __len__(self) -> int:
        return 1

    def get_batch(self, indices: Sequence[int]) -> np.ndarray:
        """uint8 (N, H, W, 3), the image once for each index."""
        return np.stack([self._image] * len(indices))


def decode_image(file: Path) -> np.ndarray | None:
    """Read an image upright as uint8 (H, W, 3) RGB, or None when the file holds none."""
    import cv2

    # From memory: cv2.imread warns on stderr of a file that it cannot read.
    content = np.fromfile(file, np.uint8)
    # IMREAD_COLOR turns pictures as their EXIF data say.
    image = cv2.imdecode(content, cv2.IMREAD_COLOR) if len(content) else None
    return None if image is None else cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def open_video(path: str, backend: str = 'auto', limits: Limits = None) -> Reader:
    """Open a video file.

    Raises:
        MediaError: see :class:`VideoReader`.
        ValueError: unknown ``backend``.
        ImportError: the backend's package is not installed.
    """
    if backend not in BACKENDS:
        raise ValueError(f'unknown video backend {backend!r}; known: {", ".join(BACKENDS)}')
    if backend == 'frames':
        return FrameFolderReader(path)
    return VideoReader(path, backend, limits)
