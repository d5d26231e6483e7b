"""Frames through decord and torchcodec, and which files each of them reads right.

What they get wrong was measured with decord 0.6.0 and torchcodec 0.17.0, see docs/media.md.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from .errors import MediaError, decoder_reason
from .libraries import local_name, optional_library
from .media_facts import MediaProbe, VideoFacts

WRONG_FRAMES = 'gives other frames than asked'
# Hazard of the probe -> what both libraries make of it.
COMMON_FAULTS = dict(
    **dict.fromkeys(
        [
            *('transport_stream', 'program_stream', 'avi_b_frames', 'clock_jumps'),
            *('repeated_times', 'no_times', 'no_key_frame', 'inexact_key_frames'),
            *('interlaced_h264', 'packed_pictures'),
        ],
        WRONG_FRAMES,
    ),
    size_changes='scales what has another size',
    damaged_packets='does not say which frames are damaged',
    orientation_message='does not put it upright',
)
FAULTS: dict[str, dict[str, str]] = dict(
    decord=COMMON_FAULTS
    | dict(
        leading_packets=WRONG_FRAMES,
        discarded_packets='repeats the last frame for those that are cut away',
        asf=WRONG_FRAMES,
        no_duration='cannot open it',
        several_videos='may show another stream',
    ),
    torchcodec=COMMON_FAULTS | dict(asf_b_frames=WRONG_FRAMES),
)
CONTAINERS = dict(
    decord=('mov', 'matroska', 'avi', 'flv'),
    torchcodec=('mov', 'matroska', 'avi', 'flv', 'asf', 'ogg', 'gif'),
)
UNKNOWN_CODECS = dict(decord=('av1',), torchcodec=())


def fault_of(probe: MediaProbe, backend: str) -> str | None:
    """Reason why a library must not read a file, None when it reads it right."""
    video = probe.video
    if probe.container not in CONTAINERS[backend]:
        return f'{backend} does not read {probe.container} files frame by frame'
    if video.codec in UNKNOWN_CODECS[backend]:
        return f'{backend} does not know {video.codec}'
    turned_elsewhere = not video.orientation.is_upright and probe.container != 'mov'
    if (
        video.orientation.mirrored
        or video.orientation.odd
        or (backend == 'decord' and turned_elsewhere)
    ):
        return f'{backend} does not put it upright ({video.orientation})'
    if backend == 'decord' and video.orientation.swaps_sides:
        return 'decord cannot batch pictures that are turned by a quarter'
    hazard = next((word for word in video.hazards if word in FAULTS[backend]), None)
    return None if hazard is None else f'{backend} {FAULTS[backend][hazard]} ({hazard})'


class DecordReader:
    """Frames through decord, one thread."""

    def __init__(self, path: str, video: VideoFacts) -> None:
        decord = optional_library('decord', 'decord')
        self.path = path
        try:
            # At native size: resizing in decord raises at some sizes, differs by grey levels and
            # is no faster.  One thread, since loader workers are the parallelism.
            self._reader = decord.VideoReader(local_name(path), num_threads=1)
        except (RuntimeError, decord.DECORDError) as error:
            raise MediaError(path, decoder_reason(error, 'no readable video stream')) from None
        # decord raises one or another of these by the kind of fault.
        self._errors = (RuntimeError, IndexError, decord.DECORDError)

    def __len__(self) -> int:
        return len(self._reader)

    def get_batch(self, indices: Sequence[int]) -> np.ndarray:
        """uint8 (N, H, W, 3)."""
        try:
            return self._reader.get_batch(list(indices)).asnumpy()
        except self._errors as error:
            raise MediaError(self.path, decoder_reason(error, 'decoding failed')) from None


class TorchCodecReader:
    """Frames through torchcodec, frame-exact seeking, one thread."""

    def __init__(self, path: str, video: VideoFacts) -> None:
        decoders = optional_library('torchcodec.decoders', 'torchcodec')
        self.path = path
        try:
            # Not `approximate`, which gives other frames than asked where the rate varies and in
            # open-GOP mp4 files.
            self._decoder = decoders.VideoDecoder(
                local_name(path),
                stream_index=video.index,
                dimension_order='NHWC',
                num_ffmpeg_threads=1,
                seek_mode='exact',
            )
        except (RuntimeError, ValueError) as error:
            raise MediaError(path, decoder_reason(error, 'no readable video stream')) from None

    def __len__(self) -> int:
        return len(self._decoder)

    def get_batch(self, indices: Sequence[int]) -> np.ndarray:
        """uint8 (N, H, W, 3)."""
        try:
            return self._decoder.get_frames_at(list(indices)).data.numpy()
        except (RuntimeError, IndexError) as error:
            raise MediaError(self.path, decoder_reason(error, 'decoding failed')) from None


LIBRARY_READERS: dict[str, Any] = dict(decord=DecordReader, torchcodec=TorchCodecReader)
MODULES = dict(decord='decord', torchcodec='torchcodec.decoders')
