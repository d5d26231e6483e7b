"""Decoding of frames."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from internvideo.datasets.frame_records import decoded_facts
from internvideo.datasets.media.limits import MediaLimits, media_limits
from internvideo.datasets.media.readers import BACKENDS, FrameFolderReader, open_video
from internvideo.datasets.media.timeline import timeline_of
from internvideo.datasets.transforms.clip_annotations import annotate_clips
from internvideo.registry import TRANSFORMS


@TRANSFORMS.register_module()
@dataclass
class OpenVideo:
    """Open ``path``: adds ``video`` (a reader) and ``total_frames``.

    ``backend`` is ``auto``, ``pyav``, ``decord``, ``torchcodec`` or ``frames`` (a folder of images
    named by ``filename_tmpl``, numbered from 1; the list's ``total_frames`` is trusted when it has
    one).  ``limits`` are fields of :class:`MediaLimits`: sizes and times above which a file is
    refused.
    """

    backend: str = 'auto'
    filename_tmpl: str = 'img_{:05}.jpg'
    limits: MediaLimits | Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        if self.backend not in (*BACKENDS, 'frames'):
            raise ValueError(
                f'OpenVideo: unknown backend {self.backend!r}; known: {", ".join(BACKENDS)}, frames'
            )
        self.limits = media_limits(self.limits)

    def __call__(self, sample: dict) -> dict:
        if self.backend == 'frames':
            count = sample.get('total_frames')
            sample['video'] = FrameFolderReader(sample['path'], self.filename_tmpl, count)
        else:
            sample['video'] = open_video(sample['path'], self.backend, self.limits)
        sample['total_frames'] = len(sample['video'])
        return sample


@TRANSFORMS.register_module()
class DecodeFrames:
    """Decode ``frame_inds`` (V, T) to ``imgs`` uint8 (V*T, H, W, 3), view after view.

    Adds ``num_views`` (V), ``clip_len`` (T), ``frame_times`` float64 (V, T) in seconds from the
    file's start (None where frames have no times).  Boxes and segments of the video become those
    of the clips, see :func:`annotate_clips`.
    Each distinct frame is decoded once, in order, whatever the number of views; the reader is
    closed.  Frames keep their native size.  ``record_frames`` in the sample adds ``frame_facts``:
    which frames of which file they are.
    """

    def __call__(self, sample: dict) -> dict:
        indices = np.asarray(sample['frame_inds'])
        # Sorted and distinct: views of a video overlap, and decoders are fast forwards.
        distinct, position = np.unique(indices, return_inverse=True)
        video = sample.pop('video')
        frames = video.get_batch(distinct.tolist())
        position = position.reshape(-1)
        # Where no frame comes twice, indexing would only copy the clip.
        in_order = len(distinct) == indices.size and (np.diff(position) == 1).all()
        sample['imgs'] = frames if in_order else frames[position]
        sample['num_views'], sample['clip_len'] = indices.shape
        if sample.get('record_frames'):
            sample['frame_facts'] = decoded_facts(sample['path'], video, frames, indices)
        times = getattr(video, 'times', None)
        sample['frame_times'] = None if times is None else times[indices]
        annotate_clips(sample, indices, timeline_of(video))
        return sample
