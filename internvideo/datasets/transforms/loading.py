"""Decoding of frames."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from internvideo.datasets.frame_records import decoded_facts
from internvideo.datasets.media.limits import MediaLimits, media_limits
from internvideo.datasets.media.readers import (
    BACKENDS,
    FrameFolderReader,
    VideoReader,
    open_video,
)
from internvideo.datasets.media.timeline import timeline_of
from internvideo.datasets.transforms.clip_annotations import annotate_clips
from internvideo.registry import TRANSFORMS


@TRANSFORMS.register_module()
@dataclass
class OpenVideo:
    """Open ``path``: adds ``video`` (a reader) and ``total_frames``.

    ``backend`` is ``auto``, ``pyav``, ``decord``, ``torchcodec`` or ``frames`` (a folder of images
    named by ``filename_tmpl``, numbered from the list's ``start_index`` or else 1; the list's
    ``total_frames`` is trusted when it has one).  ``limits`` are fields of :class:`MediaLimits`:
    sizes and times above which a file is refused.
    """

    backend: str = 'auto'
    filename_tmpl: str = 'img_{:05}.jpg'
    limits: MediaLimits | Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        if self.backend not in BACKENDS:
            raise ValueError(
                f'OpenVideo: unknown backend {self.backend!r}; known: {", ".join(BACKENDS)}'
            )
        self.limits = media_limits(self.limits)

    def __call__(self, sample: dict) -> dict:
        if self.backend == 'frames':
            count, first = sample.get('total_frames'), sample.get('start_index', 1)
            sample['video'] = FrameFolderReader(sample['path'], self.filename_tmpl, count, first)
        else:
            sample['video'] = open_video(sample['path'], self.backend, self.limits)
        sample['total_frames'] = len(sample['video'])
        return sample


@TRANSFORMS.register_module()
class DecodeFrames:
    """Decode ``frame_inds`` (V, T) to ``imgs`` uint8 (V*T, H, W, 3), view after view.

    Adds ``num_views`` (V), ``clip_len`` (T) and ``sample_aspect`` (width of a pixel by its height,
    which nothing but :class:`SquarePixels` applies).  Boxes and segments of the video become those
    of the clips, see :func:`annotate_clips`.
    Each distinct frame is decoded once, in order, whatever the number of views; the reader is
    closed.  Frames keep their native size.  ``record_frames`` in the sample adds ``frame_facts``:
    which frames of which file they are.
    """

    def __call__(self, sample: dict) -> dict:
        indices = np.asarray(sample['frame_inds'])
        video = sample.pop('video')
        if isinstance(video, VideoReader):
            # It decodes each frame once, and puts it straight where it belongs.
            sample['imgs'] = video.get_batch(indices.reshape(-1).tolist())
        else:
            # Sorted and distinct: views of a video overlap, and decoders are fast forwards.
            distinct, position = np.unique(indices, return_inverse=True)
            frames = video.get_batch(distinct.tolist())
            sample['imgs'] = frames[position.reshape(-1)]
        if sample.get('record_frames'):
            facts = decoded_facts(sample['path'], video, sample['imgs'], indices)
            sample['frame_facts'] = facts
        sample['num_views'], sample['clip_len'] = indices.shape
        sample['sample_aspect'] = getattr(video, 'sample_aspect', 1.0)
        annotate_clips(sample, indices, timeline_of(video))
        return sample
