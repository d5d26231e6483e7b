"""Action recognition on anything that holds frames."""

import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.logging import print_log

from internvideo.datasets.bad_samples import MediaError
from internvideo.datasets.collate import collate_clips
from internvideo.datasets.frame_records import record_of, window_record
from internvideo.datasets.inference.clip_loader import (
    ClipLoader,
    check_frames,
    check_stream,
)
from internvideo.datasets.inference.timed_windows import (
    Seconds,
    TimedWindow,
    in_batches,
    timed_frames,
    timed_windows,
    window_settings,
)
from internvideo.datasets.inference.video_lists import find_videos
from internvideo.datasets.inference.video_stream import FrameStream, Window, sliding_windows
from internvideo.engine.inference.devices import autocast, pick_device
from internvideo.fileio.json_files import write_json
from internvideo.fileio.manifests import plain_record
from internvideo.hub.frame_choice import follow_checkpoint
from internvideo.hub.model_zoo import find_weights, get_config, get_model
from internvideo.registry import INFERENCERS
from internvideo.structures import Recognition
from internvideo.visualization.annotated_video import LabelledFrames, write_labelled_video

Source = str | os.PathLike | np.ndarray
"""A video file, a folder of them, or frames uint8 (T, H, W, 3)."""


def save_json(results: Iterable[Recognition], path: str | os.PathLike) -> None:
    """Write results as a JSON list."""
    write_json(path, [result.to_dict() for result in results], ensure_ascii=False)


@INFERENCERS.register_module()
class ActionRecognizer:
    """Recognises actions in files, folders, arrays and streams.

    Whole videos are seen in the test views of the config, whose results are averaged; windows of
    a stream in its one validation view, which can keep up with a camera.

    Args:
        model: model name (:func:`~internvideo.apis.list_models`), config file or config.
        checkpoint: weights, ours or published; None takes the published weights of that name.
        device: torch device; None takes the GPU when there is one.
        classes: class names, or a text file with one a line; None takes the config's.
        batch_size: videos (or windows) in one forward pass.
        num_threads: videos decoded at a time.
        dtype: ``'float32'``, or ``'bfloat16'`` / ``'float16'`` for autocast.
        random_weights: run without a checkpoint, for trying things out.
        frame_sampling: whose choice of frames counts where the checkpoint says how it was trained:
            its own (``'checkpoint'``), or the ``'config'``'s.
        record_frames: results carry ``frame_record``, see :mod:`internvideo.fileio.manifests`.
        backend: reader of whole videos in place of the config's; windows are decoded in order.
        limits: sizes and times above which a file is refused, fields of :class:`MediaLimits`.

    Raises:
        KeyError, FileNotFoundError: unknown name; config, checkpoint or class file not found.
        ValueError: no checkpoint is given and none is known; class names do not fit the head.
    """

    def __init__(
        self,
        model: str | os.PathLike | Config,
        checkpoint: str | os.PathLike | None = None,
        device: str | None = None,
        classes: str | os.PathLike | Sequence[str] | None = None,
        batch_size: int = 4,
        num_threads: int = 2,
        dtype: str = 'float32',
        random_weights: bool = False,
        frame_sampling: str = 'checkpoint',
        record_frames: bool = False,
        backend: str | None = None,
        limits: Mapping[str, Any] | None = None,
    ) -> None:
        if batch_size < 1 or num_threads < 1:
            raise ValueError(
                f'batch_size and num_threads must be positive, got {batch_size} and {num_threads}'
            )
        self.config = get_config(model)
        self.device = pick_device(device)
        self.autocast = autocast(self.device, dtype)
        self.batch_size, self.num_threads = batch_size, num_threads
        pretrained = False if random_weights else find_weights(model, checkpoint)
        self.model = get_model(model, pretrained, self.device)
        encoder = self.model.video_encoder
        follow_checkpoint(self.config, pretrained or None, frame_sampling, encoder)
        self.checkpoint = pretrained or None
        self.limits = limits
        self.videos = ClipLoader(self.config, encoder, 'test', backend, limits)
        self.windows = ClipLoader(self.config, encoder, 'val')
        self.videos.record_frames = self.windows.record_frames = record_frames
        self.classes = _class_names(self.config, classes)

    def __call__(
        self, inputs: 'Source | Sequence[Source] | Iterator[np.ndarray]', topk: int = 5
    ) -> 'list[Recognition] | Iterator[Recognition]':
        """:meth:`stream` for an iterator of frames, :meth:`recognize` for anything else."""
        if isinstance(inputs, Iterator):
            return self.stream(inputs, topk=topk)
        return self.recognize(inputs, topk)

    def recognize(self, inputs: Source | Sequence[Source], topk: int = 5) -> list[Recognition]:
        """Recognise whole videos.

        Args:
            inputs: a video file, a folder (searched below), frames uint8 (T, H, W, 3), or a list
                of these.
            topk: number of classes in each result.

        Returns:
            One result per video, in order.  A video of a list or folder that cannot be read is
            logged and gives a result with ``error``.

        Raises:
            FileNotFoundError: a file or folder does not exist, or a folder holds no video.
            MediaError: ``inputs`` is one file and cannot be read.
            ValueError: frames of another shape or type, naming which.
        """
        sources = list(_expand(inputs))
        strict = not isinstance(inputs, list | tuple) and not _is_folder(inputs)
        results: list[Recognition] = []
        with ThreadPoolExecutor(self.num_threads) as pool:
            for first in range(0, len(sources), self.batch_size):
                chunk = sources[first : first + self.batch_size]
                results += self._recognize_chunk(chunk, pool, topk, strict)
        return results

    def stream(
        self,
        frames: Iterable[np.ndarray],
        window: int = 32,
        stride: int = 16,
        topk: int = 5,
        name: str = 'stream',
    ) -> Iterator[Recognition]:
        """Recognise as frames come in: one result each time a window is full.

        Args:
            frames: uint8 RGB frames (H, W, 3), endless if need be; at most ``window`` are held.
            window: frames that one result looks at.
            stride: frames from one result to the next.
            topk: number of classes in each result.
            name: ``source`` of the results.

        Raises:
            ValueError: a frame of another shape or type, naming which.
        """
        for part in sliding_windows(check_stream(frames, name), window, stride):
            clip = self.windows.from_frames(part.items, name)
            yield self._describe(part, name, self._scores([clip])[0], topk)

    def recognize_windows(
        self,
        video: str | os.PathLike,
        window: int | str | Seconds = 32,
        stride: int | str | Seconds | None = None,
        fps: float | None = None,
        topk: int = 5,
    ) -> Iterator[Recognition]:
        """Recognise a video of any length window by window, with the seconds of each.

        Frames are decoded in order; at most one window of them is held, and ``batch_size`` windows
        as the model takes them go through it at a time.

        Args:
            video: video file.
            window: frames (``32``) or seconds (``'2s'``) that one result looks at.
            stride: the same from one result to the next; None means half a window.
            fps: frames per second to look at; None means every frame.
            topk: number of classes in each result.

        Raises:
            MediaError: when iterating, if the video cannot be read to its end.
            ValueError: a length that is none, or frames beside seconds without ``fps``.
        """
        lengths = window_settings(window, stride, fps)
        return self._recognize_windows(video, lengths, fps, topk)

    def _recognize_windows(
        self, video: str | os.PathLike, lengths: tuple, fps: float | None, topk: int
    ) -> Iterator[Recognition]:
        name = os.fspath(video)
        stream = FrameStream(video, fps, self.limits)
        parts = timed_windows(timed_frames(stream), *lengths)
        # Only the clip of a window is kept: its frames at native size would fill the memory.
        clips = (
            (
                part._replace(images=[]),
                self.windows.from_frames(part.images, name, stream.sample_aspect),
            )
            for part in parts
        )
        for batch in in_batches(clips, self.batch_size):
            scores = self._scores([clip for _, clip in batch])
            for (part, clip), score in zip(batch, scores, strict=True):
                result = self._place(part, self._top(name, score, topk))
                yield self._with_record(result, clip, part)

    def annotate(
        self,
        video: str | os.PathLike,
        out: str | os.PathLike,
        topk: int = 1,
        window: int | str | Seconds | None = None,
        stride: int | str | Seconds | None = None,
        fps: float | None = None,
        results: Sequence[Recognition] | None = None,
    ) -> list[Recognition]:
        """Write a copy of a video with the recognised classes burned in.

        Args:
            video: video file; decoded twice, frame by frame.
            out: file to write; the suffix decides the container.
            topk: classes shown.
            window, stride, fps: label windows, see :meth:`recognize_windows`; without ``window``
                the whole video has one label, without ``stride`` windows follow each other.
            results: show these in place of new ones.

        Returns:
            The results shown.

        Raises:
            MediaError: the video cannot be read.
            ValueError: ``out`` is the video itself.
        """
        if Path(out).exists() and Path(out).samefile(video):
            raise ValueError(f'{out} is the video itself: the copy needs another name')
        if results is None and window is None:
            results = self.recognize(video, topk)
        elif results is None:
            results = list(self.recognize_windows(video, window, stride or window, fps, topk))
        frames = timed_frames(FrameStream(video, limits=self.limits))
        write_labelled_video(LabelledFrames(frames, results), out)
        return results

    def _recognize_chunk(
        self, chunk: Sequence[Source], pool: ThreadPoolExecutor, topk: int, strict: bool
    ) -> list[Recognition]:
        loaded = list(pool.map(self._load, chunk))
        errors = [item for item in loaded if isinstance(item, MediaError)]
        if errors and strict:
            raise errors[0]
        for error in errors:
            print_log(f'skipped {error}', logger='current', level=logging.WARNING)
        # Scores are those of the readable videos in order: results of the others go in between.
        scores = iter(self._scores([item for item in loaded if isinstance(item, dict)]))
        return [
            Recognition(item.path, error=item.reason)
            if isinstance(item, MediaError)
            else self._with_record(self._top(item['data_samples'].path, next(scores), topk), item)
            for item in loaded
        ]

    def _load(self, source: Source) -> dict | MediaError:
        try:
            if isinstance(source, np.ndarray):
                return self.videos.from_frames(source)
            return self.videos.from_file(source)
        # As a value: raised, it would end map() and lose the other videos of the chunk.
        except MediaError as error:
            return error

    @torch.inference_mode()
    def _scores(self, clips: list[dict]) -> list[torch.Tensor]:
        """Class probabilities of packed clips, in order."""
        if not clips:
            return []
        with self.autocast:
            samples = self.model.test_step(collate_clips(clips))
        return [sample.pred_score.float().cpu() for sample in samples]

    def _top(self, source: str, scores: torch.Tensor, topk: int) -> Recognition:
        if self.classes is not None and len(self.classes) != len(scores):
            raise ValueError(
                f'{len(self.classes)} class names are given but the model has {len(scores)} classes'
            )
        values, labels = scores.topk(min(topk, len(scores)))
        names = [str(i) if self.classes is None else self.classes[i] for i in labels.tolist()]
        return Recognition(source, tuple(labels.tolist()), tuple(values.tolist()), tuple(names))

    def _with_record(
        self, result: Recognition, clip: dict, part: TimedWindow | None = None
    ) -> Recognition:
        sample = clip['data_samples']
        if 'frame_record' not in sample:
            return result
        record = record_of(sample)
        if part is not None:
            record = window_record(sample, part.positions, part.times, self.limits)
        return replace(result, frame_record=plain_record(record))

    def _place(self, part: TimedWindow, result: Recognition) -> Recognition:
        return replace(
            result,
            first_frame=part.first,
            last_frame=part.last,
            # Six digits: microseconds, below which containers do not go.
            start=round(part.start, 6),
            end=round(part.end, 6),
        )

    def _describe(self, part: Window, name: str, scores: torch.Tensor, topk: int) -> Recognition:
        top = self._top(name, scores, topk)
        # The last window is filled with repeated frames, which the stream does not have.
        last = part.first + len(part.items) - part.padded - 1
        return Recognition(name, top.labels, top.scores, top.names, part.first, last)


def _expand(inputs: Source | Sequence[Source]) -> Iterator[Source]:
    items = inputs if isinstance(inputs, list | tuple) else [inputs]
    for number, item in enumerate(items):
        if not isinstance(item, str | os.PathLike):
            yield check_frames(item, 'frames' if item is inputs else f'item {number}')
        elif Path(item).is_dir():
            yield from find_videos(item)
        elif Path(item).exists():
            yield item
        else:
            raise FileNotFoundError(f'video not found: {item}')


def _is_folder(inputs: Any) -> bool:
    return isinstance(inputs, str | os.PathLike) and Path(inputs).is_dir()


def _class_names(
    config: Config, classes: str | os.PathLike | Sequence[str] | None
) -> tuple[str, ...] | None:
    if classes is None:
        dataset = (config.get('test_dataloader') or {}).get('dataset', {})
        classes = dataset.get('classes')
        # A model is used without its data set, too: then classes are numbers.
        if isinstance(classes, str) and not Path(classes).is_file():
            return None
    if classes is None or not isinstance(classes, str | os.PathLike):
        return None if classes is None else tuple(classes)
    if not Path(classes).is_file():
        raise FileNotFoundError(f'class-name file not found: {classes}')
    lines = Path(classes).read_text('utf-8').splitlines()
    return tuple(line.strip() for line in lines if line.strip())
