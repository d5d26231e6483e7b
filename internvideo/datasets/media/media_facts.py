"""Facts of a media file and of its streams, as a probe finds them."""

from dataclasses import dataclass, field

import numpy as np

from .orientation import Orientation
from .packet_table import PacketTable


@dataclass(frozen=True)
class StreamFacts:
    """One stream of a file.

    Attributes:
        index: number in the file.
        kind: ``'video'``, ``'audio'``, ``'picture'`` (an attached cover), ``'subtitle'``,
            ``'data'``.
        codec: FFmpeg's name, empty when unknown.
        is_default: whether the container asks for it to be played.
        language: as the container says, or None.
        start: second from the file's start at which it begins.
        seconds: its length; None when the container does not say.
    """

    index: int
    kind: str
    codec: str
    is_default: bool
    language: str | None
    start: float
    seconds: float | None


@dataclass(frozen=True)
class AudioFacts:
    """The audio track that is played: the default one.

    Attributes:
        index, codec, rate (a second), channels: of the track.
        start: second from the file's start at which it begins.
        seconds: its length; None when the container does not say.
    """

    index: int
    codec: str
    rate: int
    channels: int
    start: float
    seconds: float | None


@dataclass(frozen=True)
class VideoFacts:
    """The video stream that is shown: the default one that is no attached picture.

    Attributes:
        index, codec: of the stream.
        width, height: as stored, in pixels.
        orientation: how pictures are put upright, as far as the container says.
        sample_aspect: width of a pixel by its height.
        fps: frames a second on average, 0.0 when unknown.
        times: float64 (frames,), seconds from the file's start, in order of presentation.
        is_counted: whether ``times`` are sure; else only decoding tells how many frames there are.
        is_constant_rate: whether frames follow each other at one rate.
        is_interlaced: whether the stream says that frames are two fields.
        hazards: what leads some readers astray, short words, see docs/media.md.
        packets: the packets.
        time_unit: seconds of the stream's clock unit.
    """

    index: int
    codec: str
    width: int
    height: int
    orientation: Orientation
    sample_aspect: float
    fps: float
    times: np.ndarray = field(repr=False)
    is_counted: bool
    is_constant_rate: bool
    is_interlaced: bool
    hazards: tuple[str, ...]
    packets: PacketTable = field(repr=False)
    time_unit: float

    @property
    def num_frames(self) -> int:
        """Frames that are meant to be seen."""
        return len(self.times)

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) on display, in pixels."""
        return self.orientation.size(self.width, self.height)

    @property
    def shown_aspect(self) -> float:
        """Width of a pixel by its height in upright frames."""
        return 1 / self.sample_aspect if self.orientation.swaps_sides else self.sample_aspect


@dataclass(frozen=True)
class MediaProbe:
    """Facts of a file.

    Attributes:
        path: the file.
        container: FFmpeg's name of the format, the first of several.
        start: second of the file's own clock at which its earliest stream begins; all other
            seconds count from there.
        streams: all streams.
        video, audio: those that are shown and heard; None without.
    """

    path: str
    container: str
    start: float
    streams: tuple[StreamFacts, ...]
    video: VideoFacts | None
    audio: AudioFacts | None
