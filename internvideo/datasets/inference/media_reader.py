"""Reader of frames, audio or both from any file as a retrieval config tests them."""

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mmengine.config import Config
from torch import nn
from torch.utils.data import DataLoader, Dataset

from internvideo.datasets.bad_samples import MediaError
from internvideo.datasets.collate import collate_media
from internvideo.datasets.frame_records import add_record, described_sampling
from internvideo.datasets.media.audio import AudioFeatures
from internvideo.datasets.media.suffixes import AUDIO_SUFFIXES, VIDEO_SUFFIXES
from internvideo.datasets.media_loading import MediaLoading
from internvideo.registry import TRANSFORMS
from internvideo.structures import VideoDataSample

MEDIA_TYPES = dict(vision='video', audio='audio', audio_vision='audio_video')
"""What is encoded of a file -> the kind of medium that it is read as."""


class MediaReader:
    """Reads files as the test loader of a config does, without the cuts of single benchmarks.

    Frames are chosen by ``test_dataloader.dataset.sampling`` and go through its pipeline; a config
    without test loader gets the middle frames of as many equal stretches as the model takes
    frames, scaled to a square.  Of long sounds the beginning is heard.

    Args:
        config: of a retrieval model.
        model: the model, built.
        modality: ``'vision'``, ``'audio'`` or ``'audio_vision'``.
        backend: video reader in place of the config's.
        limits: sizes and times above which a file is refused, fields of :class:`MediaLimits`, in
            place of the config's.

    Attributes:
        settings: all that decides what the model sees, plain values.
        suffixes: of the files that it reads.
        record_frames: whether data samples carry ``frame_record``, see :func:`record_of`.
    """

    record_frames: bool = False

    def __init__(
        self,
        config: Config,
        model: nn.Module,
        modality: str,
        backend: str | None = None,
        limits: Mapping[str, Any] | None = None,
    ) -> None:
        dataset = _test_dataset(config)
        media = MEDIA_TYPES[modality]
        sampling = dict(dataset.get('sampling') or _default_sampling(model))
        pipeline = [dict(step) for step in dataset.get('pipeline') or _default_pipeline(model)]
        # Features of a file must not change from one reading to the next.
        audio = dict(dataset.get('audio') or {}, random_crop=False)
        own_backend = dataset.get('backend', 'auto')
        own_backend = 'auto' if own_backend == 'frames' else own_backend
        self.loading = MediaLoading(
            media,
            sampling,
            AudioFeatures(**audio),
            backend or own_backend,
            limits=limits or dataset.get('limits'),
        )
        # Sounds have no frames to transform: they are only packed.
        self.pipeline = [TRANSFORMS.build(s) for s in pipeline[-1 if media == 'audio' else 0 :]]
        self.media_type = media
        self.suffixes = VIDEO_SUFFIXES | (AUDIO_SUFFIXES if media == 'audio' else frozenset())
        self.settings = dict(
            sampling=sampling if self.loading.has_pictures else None,
            pipeline=pipeline[:-1] if self.loading.has_pictures else None,
            audio=vars(self.loading.audio) if self.loading.has_audio else None,
        )

    def __call__(self, path: str | os.PathLike, row: int = 0) -> dict[str, Any]:
        """The packed item of a file.

        Raises:
            MediaError: it cannot be read.
        """
        path = os.fspath(path)
        sample = dict(path=path, sample_index=row, media_type=self.media_type)
        sample['record_frames'] = self.record_frames
        try:
            sample = self.loading(sample)
        except MediaError:
            raise
        except (OSError, RuntimeError) as error:  # decoders may fail in their own ways
            raise MediaError(path, ' '.join(str(error).split())[:200]) from None
        packed = sample
        for step in self.pipeline:
            packed = step(packed)
        if self.record_frames:
            add_record(packed, sample, described_sampling(self.loading), self.pipeline)
        return packed


class MediaFiles(Dataset):
    """Items of files, with ``inputs=None`` and a reason for one that cannot be read."""

    def __init__(self, reader: MediaReader, paths: Sequence[str]) -> None:
        self.reader, self.paths = reader, paths

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, row: int) -> dict[str, Any]:
        try:
            return self.reader(self.paths[row], row)
        except MediaError as error:
            facts = dict(path=self.paths[row], sample_index=row, unreadable=error.reason)
            return dict(inputs=None, data_samples=VideoDataSample(metainfo=facts))


def media_batches(
    reader: MediaReader, paths: Sequence[str], batch_size: int, workers: int
) -> Iterator[dict[str, Any]]:
    """Batches of ``collate_media`` whose ``sample_index`` is the position in ``paths``.

    Args:
        reader: reads the files, each once.
        paths: the files.
        batch_size: files in a batch.
        workers: processes that decode; 0: this one.
    """
    workers = min(workers, -(-len(paths) // batch_size))
    yield from DataLoader(
        MediaFiles(reader, paths),
        batch_size,
        num_workers=workers,
        collate_fn=collate_media,
        worker_init_fn=_start_worker if workers else None,
    )


def _start_worker(_: int) -> None:
    import cv2

    # Worker processes are the parallelism: OpenCV's threads would compete with them.
    cv2.setNumThreads(0)


def _test_dataset(config: Config) -> Mapping[str, Any]:
    loaders = (config.get(f'{split}_dataloader') or {} for split in ('test', 'val'))
    return next((loader['dataset'] for loader in loaders if loader.get('dataset')), {})


def _default_sampling(model: nn.Module) -> dict[str, Any]:
    frames = model.video_encoder.num_frames * getattr(model, 'num_test_segments', 1)
    return dict(type='IntervalSample', num_frames=frames, mode='middle')


def _default_pipeline(model: nn.Module) -> list[dict[str, Any]]:
    size = max(model.video_encoder.img_size)
    return [dict(type='ResizeSquare', size=size), dict(type='PackMedia')]
