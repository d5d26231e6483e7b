"""Packing of frames into the tensor and the data sample that leave a worker."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch

from internvideo.registry import TRANSFORMS
from internvideo.structures import VideoDataSample


@TRANSFORMS.register_module()
@dataclass
class PackInputs:
    """Pack ``imgs`` (V*T, H, W, 3) into ``dict(inputs, data_samples)``.

    ``inputs`` is uint8 (V, 3, T, H, W); ``data_samples`` a :class:`VideoDataSample` with the
    label, boxes and segments, as far as there are any, and ``meta_keys`` as meta information.
    """

    meta_keys: Sequence[str] = ('path', 'sample_index')

    def __call__(self, sample: dict) -> dict:
        facts = {key: sample[key] for key in self.meta_keys if key in sample}
        data_sample = VideoDataSample(metainfo=facts)
        if 'label' in sample:
            data_sample.set_gt_label(sample['label'])
        _pack_places(sample, data_sample)
        # It leaves the worker process as uint8, a quarter of float32; the device normalises it.
        clip = channels_first(sample['imgs'], sample['num_views'])
        return dict(inputs=torch.from_numpy(clip), data_samples=data_sample)


MEDIA_META_KEYS = (
    *('path', 'sample_index', 'media_type', 'pair_id', 'caption', 'max_text_length', 'set_name'),
    *('question', 'question_id', 'answer', 'option'),
)


@TRANSFORMS.register_module()
@dataclass
class PackMedia:
    """Pack frames, audio or both into ``dict(inputs, data_samples)``.

    ``imgs`` (T, H, W, 3) becomes ``inputs['video']``, uint8 (3, T, H, W); a filter bank ``audio``
    (frames, mels) becomes ``inputs['audio']``, float32.  ``meta_keys`` that the sample has become
    meta information of the :class:`VideoDataSample`; boxes and segments become fields.
    """

    meta_keys: Sequence[str] = MEDIA_META_KEYS

    def __call__(self, sample: dict) -> dict:
        facts = {key: sample[key] for key in self.meta_keys if key in sample}
        inputs = {}
        if 'imgs' in sample:
            inputs['video'] = torch.from_numpy(channels_first(sample['imgs'], 1)[0])
        if 'audio' in sample:
            inputs['audio'] = torch.as_tensor(sample['audio'], dtype=torch.float32)
        data_sample = VideoDataSample(metainfo=facts)
        _pack_places(sample, data_sample)
        return dict(inputs=inputs, data_samples=data_sample)


def _pack_places(sample: dict, data_sample: VideoDataSample) -> None:
    """Pack where things are, as far as the sample says it."""
    if 'gt_boxes' in sample:
        labels, ids = sample.get('gt_box_labels'), sample.get('gt_box_ids')
        data_sample.set_gt_boxes(sample['gt_boxes'], labels, ids)
    if 'boxes' in sample:
        data_sample.set_boxes(sample['boxes'])
    if 'gt_segments' in sample:
        data_sample.set_gt_segments(sample['gt_segments'], sample.get('gt_segment_labels'))


def channels_first(imgs: np.ndarray, num_views: int) -> np.ndarray:
    """(V*T, H, W, 3) to contiguous (V, 3, T, H, W)."""
    clip_len, height, width = len(imgs) // num_views, *imgs.shape[1:3]
    clip = np.empty((num_views, 3, clip_len, height, width), np.uint8)
    for number, frame in enumerate(imgs):
        view, time = divmod(number, clip_len)
        cv2.split(frame, [clip[view, channel, time] for channel in range(3)])
    return clip
