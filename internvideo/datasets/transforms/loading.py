"""Decoding of frames."""

from dataclasses import dataclass

import numpy as np

from internvideo.datasets.frame_records import decoded_facts
from internvideo.datasets.media.readers import READERS, FrameFolderReader, open_video
from internvideo.datasets.transforms.clip_annotations import annotate_clips
from internvideo.registry import TRANSFORMS


@TRANSFORMS.register_module()
@dataclass
class OpenVideo:
    """Open ``path``: adds ``video`` (a reader) and ``total_frames``.

    ``backend`` is ``decord``, ``torchcodec``, ``pyav`` or ``frames`` (a folder of images named
    by ``filename_tmpl``, numbered from 1; the list's ``total_frames`` is trusted when it has one).
    """

    backend: str = 'decord'
    filename_tmpl: str = 'img_{:05}.jpg'

    def __post_init__(self) -> None:
        if self.backend not in (*READERS, 'frames'):
            raise ValueError(
                f'OpenVideo: unknown backend {self.backend!r}; known: {", ".join(READERS)}, frames'
            )

    def __call__(self, sample: dict) -> dict:
        if self.backend == 'frames':
            count = sample.get('total_frames')
            sample['video'] = FrameFolderReader(sample['path'], self.filename_tmpl, count)
        else:
            sample['video'] = open_video(sample['path'], self.backend)
        sample['total_frames'] = len(sample['video'])
        return sample


@TRANSFORMS.register_module()
class DecodeFrames:
    """Decode ``frame_inds`` (V, T) to ``imgs`` uint8 (V*T, H, W, 3), view after view.

    Adds ``num_views`` (V) and ``clip_len`` (T).  Boxes and segments of the video become those of
    the clips, see :func:`annotate_clips`.
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
        annotate_clips(sample, indices, getattr(video, 'fps', 0.0))
        return sample
