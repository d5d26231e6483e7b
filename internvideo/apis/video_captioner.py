"""Writing captions of videos."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from mmengine.config import Config

from internvideo.datasets.inference.media_reader import MediaReader, media_batches
from internvideo.datasets.inference.video_lists import list_videos
from internvideo.engine.inference.devices import autocast, pick_device
from internvideo.hub.model_zoo import get_config
from internvideo.hub.retrieval_model import load_retriever
from internvideo.registry import INFERENCERS

PathLike = str | os.PathLike


@dataclass(frozen=True)
class VideoCaption:
    """Caption of a video.

    Attributes:
        path: the file.
        caption: what the model wrote, None of a file that cannot be read.
        error: why it cannot be read.
    """

    path: str
    caption: str | None = None
    error: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


@INFERENCERS.register_module()
class VideoCaptioner:
    """Writes a caption for each video, word by word (greedily).

    Args:
        model: config, config file or model name of a model with a caption decoder.  Its test
            loader says which frames are seen and how.
        checkpoint: weights, ours or published; None takes the released files that the config
            names, else the published weights of that name.
        device: torch device; None takes the GPU when there is one.
        dtype: ``'float32'``, or ``'bfloat16'`` / ``'float16'`` for autocast.
        batch_size: videos in one forward pass.
        workers: processes that decode; 0: this one.
        max_length: most tokens of a caption, its ends included; None: as many as the text tower
            reads.
        random_weights: run without a checkpoint, for trying things out.
        backend: video reader in place of the config's.
        limits: sizes and times above which a file is refused, fields of :class:`MediaLimits`.

    Raises:
        KeyError, FileNotFoundError: unknown name; config or checkpoint not found.
        CheckpointMismatchError: the weights do not fit the model.
        ValueError: no weights are known, or the model writes no captions.
    """

    def __init__(
        self,
        model: PathLike | Config,
        checkpoint: PathLike | None = None,
        device: str | None = None,
        dtype: str = 'float32',
        batch_size: int = 8,
        workers: int = 2,
        max_length: int | None = None,
        random_weights: bool = False,
        backend: str | None = None,
        limits: Mapping[str, Any] | None = None,
    ) -> None:
        if batch_size < 1 or workers < 0:
            raise ValueError(f'batch_size={batch_size} or workers={workers} is too small')
        device = pick_device(device)
        config = get_config(model)
        self.batch_size, self.workers, self.max_length = batch_size, workers, max_length
        self.model, _, _ = load_retriever(model, config, checkpoint, random_weights)
        if getattr(self.model, 'caption_decoder', None) is None:
            raise ValueError(f'{type(self.model).__name__} of this config has no caption_decoder')
        self.reader = MediaReader(config, self.model, 'vision', backend, limits)
        self.model.to(device)
        self.autocast = autocast(device, dtype)

    def __call__(
        self, videos: PathLike | Sequence[PathLike], root: PathLike | None = None
    ) -> Iterator[VideoCaption]:
        """Captions of a folder, a video, a list of videos (``.txt``, ``.csv``), or several.

        Raises FileNotFoundError for a source that does not exist, or a folder without video.
        """
        sources = [videos] if isinstance(videos, str | os.PathLike) else list(videos)
        paths = [
            os.fspath(video.path) for video in list_videos(sources, root, self.reader.suffixes)
        ]
        for batch in media_batches(self.reader, paths, self.batch_size, self.workers):
            samples = batch['data_samples']
            readable = [sample for sample in samples if not sample.is_unreadable]
            texts = self._write(batch) if readable else []
            for sample, text in zip(readable, texts, strict=True):
                yield VideoCaption(sample.path, text)
            for sample in samples:
                if sample.is_unreadable:
                    yield VideoCaption(sample.path, error=sample.unreadable)

    @torch.no_grad()
    def _write(self, batch: dict[str, Any]) -> list[str]:
        preprocessor = self.model.data_preprocessor
        video = preprocessor(batch, False)['inputs']['video']
        with self.autocast:
            ids = self.model.generate(video, self.max_length)
        return preprocessor.tokenizer.decode(ids)
