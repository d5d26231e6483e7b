"""Clips of video files or frames in memory, as a config's evaluation makes them."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from mmengine.config import Config
from torch import nn

from internvideo.datasets.frame_records import add_record, described
from internvideo.datasets.transforms.loading import DecodeFrames, OpenVideo
from internvideo.datasets.transforms.packing import PackInputs, PackMedia
from internvideo.registry import TRANSFORMS


class ArrayReader:
    """Frames in memory, T of (H, W, 3), with the interface of a video reader.

    Where a stream changes its size, a clip has that of its first frame.
    """

    def __init__(
        self, frames: Sequence[np.ndarray], fps: float = 0.0, sample_aspect: float = 1.0
    ) -> None:
        self.frames, self.fps, self.sample_aspect = frames, fps, sample_aspect

    def __len__(self) -> int:
        return len(self.frames)

    def get_batch(self, indices: Sequence[int]) -> np.ndarray:
        images = [self.frames[index] for index in indices]
        height, width = images[0].shape[:2]
        return np.stack([_scaled(image, width, height) for image in images])


def _scaled(image: np.ndarray, width: int, height: int) -> np.ndarray:
    if image.shape[:2] == (height, width):
        return image
    import cv2

    return cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)


class ClipLoader:
    """Runs the sampling and the transforms of a config's evaluation data set on any video.

    Args:
        config: config with ``test_dataloader`` or ``val_dataloader``; one with neither gets
            uniform sampling, the short side scaled to the encoder's size and a central crop.
        encoder: the built encoder, which says its frame count and size.
        split: ``'test'`` (the config's views) or ``'val'`` (one view).
        backend: video reader in place of the config's.
        limits: sizes and times above which a file is refused, fields of :class:`MediaLimits`, in
            place of the config's.
    """

    record_frames: bool = False
    """Whether data samples carry ``frame_record``, see :func:`record_of`."""

    def __init__(
        self,
        config: Config,
        encoder: nn.Module,
        split: str = 'test',
        backend: str | None = None,
        limits: Mapping[str, Any] | None = None,
    ) -> None:
        dataset = _evaluation_dataset(config, encoder, split)
        own_backend = dataset.get('backend', 'auto')
        # A config for folders of images serves video files just as well.
        own_backend = 'auto' if own_backend == 'frames' else own_backend
        limits = limits or dataset.get('limits')
        self.open = OpenVideo(backend or own_backend, limits=limits)
        self.sample = TRANSFORMS.build(dataset['sampling'])
        self.decode = DecodeFrames()
        self.pipeline = [TRANSFORMS.build(step) for step in dataset['pipeline']]

    def from_file(self, path: str | os.PathLike) -> dict:
        """Packed ``dict(inputs, data_samples)`` of a video file.

        Raises:
            MediaError: the file cannot be read; the text names it and the reason.
        """
        return self._run(self.open(dict(path=os.fspath(path))))

    def from_frames(
        self, frames: Sequence[np.ndarray], name: str = 'frames', sample_aspect: float = 1.0
    ) -> dict:
        """Packed ``dict(inputs, data_samples)`` of checked frames, T of (H, W, 3)."""
        video = ArrayReader(frames, sample_aspect=sample_aspect)
        return self._run(dict(path=name, video=video, total_frames=len(frames)))

    def _run(self, sample: dict) -> dict:
        sample['record_frames'] = self.record_frames
        packed = sample = self.decode(self.sample(sample))
        for step in self.pipeline:
            packed = step(packed)
        if self.record_frames:
            add_record(packed, sample, described(self.sample), self.pipeline)
        return packed


class FrameTransform:
    """The geometry of a config's validation pipeline on single frames, without packing."""

    def __init__(self, config: Config, encoder: nn.Module) -> None:
        *steps, packing = _evaluation_dataset(config, encoder, 'val')['pipeline']
        if not issubclass(TRANSFORMS.get(packing['type']), PackInputs | PackMedia):
            steps = [*steps, packing]
        self.description = [dict(step) for step in steps]
        self.steps = [TRANSFORMS.build(step) for step in self.description]

    def __call__(self, frame: np.ndarray, sample_aspect: float = 1.0) -> np.ndarray:
        """uint8 (H, W, 3) to (h, w, 3).  Raises ValueError if the pipeline makes several crops."""
        sample = dict(path='', imgs=frame[None], num_views=1, clip_len=1)
        sample['sample_aspect'] = sample_aspect
        for step in self.steps:
            sample = step(sample)
        if len(sample['imgs']) != 1:
            raise ValueError('the validation pipeline makes several crops; features take one')
        return sample['imgs'][0]


def _evaluation_dataset(config: Config, encoder: nn.Module, split: str) -> Mapping[str, Any]:
    for key in (f'{split}_dataloader', 'test_dataloader', 'val_dataloader'):
        dataset = (config.get(key) or {}).get('dataset', {})
        if 'sampling' in dataset and 'pipeline' in dataset:
            return dataset
    height, width = encoder.img_size
    sampling = dict(type='UniformSample', num_frames=encoder.num_frames, mode='val')
    geometry = [
        dict(type='Resize', short_side=max(height, width)),
        dict(type='CenterCrop', size=(height, width)),
    ]
    return dict(sampling=sampling, pipeline=[*geometry, dict(type='PackInputs')])


def check_frames(frames: Any, name: str = 'frames') -> np.ndarray:
    """Return ``frames`` when they are uint8 (T, H, W, 3) with T > 0.

    Raises:
        ValueError: naming ``name``, shape and type.
    """
    fits = (
        isinstance(frames, np.ndarray)
        and frames.dtype == np.uint8
        and frames.ndim == 4
        and frames.shape[3] == 3
        and frames.size > 0
    )
    if not fits:
        found = f'{getattr(frames, "dtype", type(frames).__name__)} {np.shape(frames)}'
        raise ValueError(f'{name}: expected uint8 RGB frames (T, H, W, 3) with T > 0, got {found}')
    return frames


def check_stream(frames: Iterable[Any], name: str = 'stream') -> Iterator[np.ndarray]:
    """Yield each uint8 (H, W, 3) frame.  Raises ValueError naming the first that is none."""
    for number, frame in enumerate(frames):
        yield check_frames(np.asarray(frame)[None], f'{name}, frame {number}')[0]
