"""Facts of one media file: whether it can be read, by which readers, and what is unusual."""

import os
import time
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from typing import Any

from internvideo.datasets.bad_samples import MediaError
from internvideo.datasets.media.decoder_process import run_guarded
from internvideo.datasets.media.library_readers import LIBRARY_READERS, fault_of
from internvideo.datasets.media.media_facts import MediaProbe
from internvideo.datasets.media.readers import (
    FrameFolderReader,
    ImageReader,
    Reader,
    open_video,
    probe_media,
)
from internvideo.datasets.media_sources import MediaSource

from .lists import Reading

DECODE_FRAMES = 32
SPEED_FRAMES = 64
"""Consecutive frames by which the speed of decoding is measured."""
ASPECT_ROUNDING = 0.01
FIRST_AUDIO = 'internvideo.datasets.checking.first_audio:decode_first_audio'


@dataclass
class FileFacts:
    """One file, as the record of a report.

    Attributes:
        path: file, or folder of frames.
        problem: kind of what keeps it from being used, None where nothing does.
        detail: the reason.
        container, codec: FFmpeg's names.
        width, height: on display, in pixels.
        frames: how many are shown.
        seconds: of video, or of sound without video.
        fps: frames a second on average.
        constant_rate: whether frames follow each other at one rate.
        orientation: turn and mirror that put pictures upright, as text.
        sample_aspect: width of a pixel by its height, which only `SquarePixels` applies.
        interlaced: whether frames are two fields.
        audio: codec, rate, channels and start of the sound that is heard.
        hazards: what leads some readers astray, see docs/media.md.
        exact_with: backends that read the file right, of those that are installed.
        wrong_with: the others -> what is wrong.
        repeated: damaged frames that another stood in for, as far as they were decoded.
        frames_per_second: speed of decoding, where it was measured.
    """

    path: str
    problem: str | None = None
    detail: str = ''
    container: str | None = None
    codec: str | None = None
    width: int | None = None
    height: int | None = None
    frames: int | None = None
    seconds: float | None = None
    fps: float | None = None
    constant_rate: bool | None = None
    orientation: str | None = None
    sample_aspect: float | None = None
    interlaced: bool | None = None
    audio: dict[str, Any] | None = None
    hazards: list[str] = field(default_factory=list)
    exact_with: list[str] = field(default_factory=list)
    wrong_with: dict[str, str] = field(default_factory=dict)
    repeated: int = 0
    frames_per_second: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)

    @property
    def is_audio_only(self) -> bool:
        """Whether the file holds audio and no pictures."""
        return self.audio is not None and self.width is None

    def fail(self, problem: str, detail: str) -> None:
        """Record the first problem."""
        if self.problem is None:
            self.problem, self.detail = problem, ' '.join(detail.split())

    def warnings(self) -> list[str]:
        """Findings that another reader, or the eye, may stumble over."""
        found = list(self.hazards)
        if self.orientation is not None and 'odd' in self.orientation:
            found.append('odd_angle')
        if self.sample_aspect and abs(self.sample_aspect - 1) > ASPECT_ROUNDING:
            found.append('sample_aspect')
        if self.interlaced and 'interlaced' not in found:
            found.append('interlaced')
        if self.repeated:
            found.append('damaged_frames')
        return found

    def notes(self) -> list[str]:
        """Findings that only are worth knowing."""
        found = []
        if self.orientation not in (None, 'upright') and 'odd_angle' not in self.warnings():
            found.append('turned_or_mirrored')
        if self.constant_rate is False:
            found.append('variable_rate')
        if self.is_audio_only:
            found.append('audio_only')
        return found


def examine_video(
    path: str,
    source: MediaSource,
    reading: Reading,
    announced: int | None = None,
    first_number: int = 1,
) -> FileFacts:
    """Open and decode a video, or a folder of frames.

    Args:
        path: the file or folder.
        source: backend and names of images.
        reading: how much is decoded.
        announced: frames that a list says there are.
        first_number: number in the name of the first image of a folder.

    Raises:
        ImportError: the backend's package is not installed.
    """
    facts = FileFacts(path)
    with _Failures(facts):
        _check_there(path)
        if source.backend != 'frames':
            _add_probe(facts, probe_media(path, limits_of(reading)))
        reader = _open(path, source, reading, first_number)
        facts.frames = len(reader)
        _decode(facts, reader, reading)
        facts.repeated = len(reader.repeated)
    # A list may announce how many frames there are: fewer mean that some are lost.
    wanted = max(reading.min_frames, announced or 0)
    if facts.problem is None and facts.frames < wanted:
        facts.fail('short', f'{facts.frames} of {wanted} frames')
    return facts


def examine_image(path: str) -> FileFacts:
    """Decode an image."""
    facts = FileFacts(path, codec='image')
    with _Failures(facts):
        _check_there(path)
        facts.height, facts.width = ImageReader(path).get_batch([0]).shape[1:3]
    return facts


def examine_audio(path: str, reading: Reading) -> FileFacts:
    """Open a file with audio and decode the beginning of it."""
    facts = FileFacts(path)
    with _Failures(facts):
        _check_there(path)
        _add_probe(facts, probe_media(path, limits_of(reading)))
        if not has_audio(path, reading):
            facts.fail('silent', 'no audio track')
    return facts


def has_audio(path: str, reading: Reading) -> bool:
    """Whether there is an audio track that begins with something decodable.

    Raises:
        MediaError: it cannot be decoded.
    """
    return run_guarded(FIRST_AUDIO, path, deadline=reading.deadline)


def limits_of(reading: Reading) -> dict[str, Any]:
    """Limits of the readers."""
    return dict(deadline=reading.deadline)


class _Failures:
    """Turns what is raised about a file into its problem, so that every fault has its name."""

    def __init__(self, facts: FileFacts) -> None:
        self.facts = facts

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type | None, error: BaseException | None, _: Any) -> bool:
        if isinstance(error, MediaError):
            missing = error.reason == 'no such file or folder'
            self.facts.fail('missing' if missing else 'broken', error.reason)
            return True
        if not isinstance(error, Exception) or isinstance(error, ImportError):
            return False
        self.facts.fail('broken', f'{kind.__name__}: {error}')
        return True


def _check_there(path: str) -> None:
    if not os.path.exists(path):  # noqa: PTH110 - Path.exists raises for names that are too long
        raise MediaError(path, 'no such file or folder')


def _open(path: str, source: MediaSource, reading: Reading, first_number: int) -> Reader:
    if source.backend == 'frames':
        return FrameFolderReader(path, source.filename_tmpl, first_number=first_number)
    return open_video(path, source.backend, limits_of(reading))


def _decode(facts: FileFacts, reader: Reader, reading: Reading) -> None:
    count = facts.frames
    if reading.speed and count:
        start, some = time.perf_counter(), min(count, SPEED_FRAMES)
        reader.get_batch(range(some))
        facts.frames_per_second = round(some / (time.perf_counter() - start), 1)
    if not reading.full:
        reader.get_batch(sorted({0, count - 1}))
        return
    for first in range(0, count, DECODE_FRAMES):
        reader.get_batch(range(first, min(first + DECODE_FRAMES, count)))


def _add_probe(facts: FileFacts, probe: MediaProbe) -> None:
    facts.container = probe.container
    if (audio := probe.audio) is not None:
        names = ('codec', 'rate', 'channels', 'start', 'seconds')
        facts.audio = {name: getattr(audio, name) for name in names}
        facts.codec, facts.seconds = audio.codec, audio.seconds
    video = probe.video
    if video is None:
        return
    facts.codec, (facts.width, facts.height) = video.codec, video.size
    facts.fps, facts.constant_rate = video.fps, video.is_constant_rate
    facts.orientation, facts.sample_aspect = str(video.orientation), video.sample_aspect
    facts.interlaced, facts.hazards = video.is_interlaced, list(video.hazards)
    if video.num_frames:
        length = 1 / video.fps if video.fps else 0.0
        facts.seconds = round(float(video.times[-1] - video.times[0]) + length, 6)
    facts.exact_with = ['auto', 'pyav']
    for name in LIBRARY_READERS:
        if find_spec(name) is None:
            continue
        fault = fault_of(probe, name)
        if fault is None:
            facts.exact_with.append(name)
        else:
            facts.wrong_with[name] = fault
