"""Records of what was read of each sample: file, frames, pixels, and what became of them.

They are made in the process that reads, and only where they are asked for; their fields are those
of :data:`internvideo.fileio.manifests.FIELDS`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from internvideo.datasets.media.content_hashes import (
    array_hash,
    clip_hash,
    file_hash,
    files_hash,
)
from internvideo.datasets.media.frame_times import on_display
from internvideo.datasets.media.libraries import library_version
from internvideo.datasets.media.readers import Limits, probe_media
from internvideo.fileio.manifests import FrameRecord

IDENTITY = ('set_name', 'sample_index', 'path')
PARTS = ('sets', 'parts', 'datasets', 'dataset')
"""Attributes by which data sets hold those that they are made of."""


def record_frames_of(dataset: Any) -> None:
    """Let a data set, and those that it is made of, put a record into each data sample.

    Raises:
        ValueError: a data set that makes none.
    """
    for member in _members(dataset):
        if not hasattr(member, 'record_frames'):
            raise ValueError(
                f'{type(member).__name__} keeps no record of its frames: derive it from '
                'internvideo.datasets.base.BaseDataset'
            )
        member.record_frames = True


def _members(dataset: Any) -> Iterator[Any]:
    """The data sets that read, behind those that only choose among them."""
    held = next((getattr(dataset, name) for name in PARTS if hasattr(dataset, name)), None)
    if held is None or hasattr(dataset, 'record_frames'):
        yield dataset
        return
    for part in held if isinstance(held, list | tuple) else [held]:
        yield from _members(part)


def decoded_facts(path: str, video: Any, imgs: np.ndarray, frame_inds: np.ndarray) -> FrameRecord:
    """The part of a record that decoding decides.

    Args:
        path: the file, or a folder of frames.
        video: the reader, which has given the frames.
        imgs: uint8 (V*T, H, W, 3) as decoded, view after view.
        frame_inds: (V, T).
    """
    times, probe = getattr(video, 'times', None), getattr(video, 'probe', None)
    shown = getattr(video, 'repeated', None) or {}
    # Views may share frames: each is hashed once.
    _, firsts, places = np.unique(frame_inds, return_index=True, return_inverse=True)
    hashes = [array_hash(imgs[first]) for first in firsts]
    orientation = None if probe is None else str(probe.video.orientation)
    return dict(
        file_hash=_source_hash(path, video, frame_inds),
        backend=getattr(video, 'backend', 'memory'),
        frame_inds=frame_inds.astype(np.int64),
        frame_times=None if times is None else np.asarray(times, np.float64)[frame_inds],
        repeated=sorted([int(asked), int(given)] for asked, given in shown.items()),
        orientation=orientation,
        frame_size=[int(side) for side in imgs.shape[1:3]],
        clip_hash=clip_hash(hashes[place] for place in places.reshape(-1)),
    )


def _source_hash(path: str, video: Any, frame_inds: np.ndarray) -> str | None:
    if Path(path).is_file():
        return file_hash(path)
    file_of = getattr(video, 'file_of', None)
    if file_of is None:  # frames in memory
        return None
    return files_hash(file_of(i) for i in np.unique(frame_inds).tolist())


def add_record(
    packed: Mapping[str, Any], loaded: Mapping[str, Any], sampling: str, pipeline: Sequence[Any]
) -> None:
    """Put the record of a sample into the meta information of its data sample.

    Args:
        packed: ``dict(inputs, data_samples)``, of one or of several modalities.
        loaded: the sample as it was loaded, with ``frame_facts`` if it has frames.
        sampling: the rule by which frames were chosen.
        pipeline: transforms that it went through, the packing last.
    """
    record = dict(loaded.get('frame_facts') or dict(file_hash=file_hash(loaded['path'])))
    inputs = packed['inputs']
    inputs = inputs if isinstance(inputs, Mapping) else dict(video=inputs)
    if 'video' in inputs:
        record |= dict(sampling=sampling, pipeline=[described(step) for step in pipeline])
        record |= _array_facts('input', inputs['video'])
    if 'audio' in inputs:
        record |= _array_facts('audio', inputs['audio'])
        record['audio_seconds'] = loaded.get('audio_seconds')
        if (path := loaded.get('audio_path', loaded['path'])) != loaded['path']:
            record['audio_file_hash'] = file_hash(path)
    packed['data_samples'].set_metainfo(dict(frame_record=record))


def _array_facts(name: str, array: torch.Tensor) -> FrameRecord:
    return {f'{name}_shape': list(array.shape), f'{name}_hash': array_hash(array.numpy())}


def record_of(sample: Any) -> FrameRecord | None:
    """The record of a data sample, None where it has none.

    That of an unreadable sample says why; the file is hashed here.
    """
    record = dict(sample.get('frame_record') or {})
    if (reason := sample.get('unreadable')) is not None:
        record = unreadable_record(sample.path, reason)
    if not record:
        return None
    # The data sample knows best: several questions about a video share the record of one decode.
    return {key: sample.get(key) for key in IDENTITY} | record


def unreadable_record(path: str, reason: str) -> FrameRecord:
    """The record of a file that could not be read."""
    return dict(path=path, unreadable=reason, file_hash=file_hash(path))


def window_record(
    sample: Any, positions: Sequence[int], times: Sequence[float], limits: Limits = None
) -> FrameRecord:
    """The record of a data sample made of a window of a stream, with its place in the file.

    Args:
        sample: the data sample; its ``frame_inds`` count from the start of the window.
        positions, times: of each frame of the window: number and second in the stream.
        limits: those that the stream was read with.
    """
    record = record_of(sample)
    chosen = record['frame_inds']
    places = np.asarray(positions)[chosen], np.asarray(times)[chosen]
    return record | _stream_facts(record['path'], *places, limits)


class StreamRecorder:
    """Makes the record of a video that is read as a stream: its windows are the views.

    Args:
        path: the video.
        sampling: the rule by which windows and their frames are chosen.
        pipeline: transforms that each frame goes through.
        limits: those that the stream is read with.
    """

    def __init__(
        self, path: str, sampling: str, pipeline: Sequence[Any], limits: Limits = None
    ) -> None:
        self.path, self.sampling, self.pipeline = path, sampling, pipeline
        self._limits = limits
        self._hashes: list[str] = []
        self._times: list[float] = []
        self._size: list[int] = []
        self._inds: list[list[int]] = []
        self._inputs: list[str] = []
        self._shape: list[int] = []

    def watch(self, frames: Iterable[Any]) -> Iterator[Any]:
        """Pass on the frames of the stream, which have ``image`` and ``start``."""
        for frame in frames:
            self._hashes.append(array_hash(frame.image))
            self._times.append(frame.start)
            self._size = list(frame.image.shape[:2])
            yield frame

    def add(self, frame_inds: list[int], clip: np.ndarray) -> None:
        """Add a window of the frames with these numbers, as the encoder gets it."""
        self._inds.append(frame_inds)
        self._inputs.append(array_hash(clip))
        self._shape = list(clip.shape)

    def record(self, decoded: int) -> FrameRecord:
        """The record of the windows of a stream that is over and has decoded so many frames."""
        inds = np.array(self._inds, np.int64)
        video = probe_media(self.path, self._limits).video
        # Elsewhere packets do not tell how many frames there should be.
        lost = video.num_frames - decoded if video.is_counted else 0
        return dict(
            path=self.path,
            file_hash=file_hash(self.path),
            **_stream_facts(self.path, inds, np.array(self._times)[inds], self._limits),
            lost_frames=lost if lost > 0 else None,
            frame_size=self._size,
            sampling=self.sampling,
            pipeline=[described(step) for step in self.pipeline],
            clip_hash=clip_hash(self._hashes[index] for index in inds.reshape(-1)),
            input_shape=[len(inds), *self._shape],
            input_hash=clip_hash(self._inputs),
        )


def _stream_facts(
    path: str, positions: np.ndarray, times: np.ndarray, limits: Limits
) -> FrameRecord:
    """Facts of the reader of streams, and of frames from their positions and times in one.

    Numbers of frames are those in the file, of the frames on display at these times: a stream
    may take some twice, pass over others and lose damaged ones.
    """
    video = probe_media(path, limits).video
    if video.is_counted:
        numbers = [on_display(video.times, second) for second in times.reshape(-1)]
        positions = np.array(numbers, np.int64).reshape(times.shape)
    return dict(
        backend=library_version('pyav'),
        orientation=str(video.orientation),
        frame_inds=positions,
        frame_times=times,
    )


def described(transform: Any) -> str:
    """Name and settings of a transform as text, the same in every process."""
    text = repr(transform)
    if is_dataclass(transform) or ' at 0x' not in text:
        return text
    return getattr(transform, '__qualname__', type(transform).__qualname__)


def described_sampling(loading: Any) -> str:
    """The rule by which the loading of a data set chooses frames, as text."""
    limits = {key: getattr(loading, key, None) for key in ('trimmed_seconds', 'clip_from_video')}
    cuts = [f'{key}={value}' for key, value in limits.items() if value]
    return ', '.join([described(getattr(loading, 'sampling', loading)), *cuts])
