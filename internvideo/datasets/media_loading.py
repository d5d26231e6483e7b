"""Loading of images, videos and audio as frames and filter banks."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from internvideo.datasets.media.audio import AudioFeatures
from internvideo.datasets.media.errors import MediaError
from internvideo.datasets.media.limits import MediaLimits
from internvideo.datasets.media.readers import ImageReader
from internvideo.datasets.media.timeline import Timeline, timeline_of
from internvideo.datasets.transforms.boxes import move_boxes
from internvideo.datasets.transforms.interval_sampling import clip_offsets
from internvideo.datasets.transforms.loading import DecodeFrames, OpenVideo
from internvideo.registry import TRANSFORMS

MEDIA_TYPES = ('image', 'video', 'audio', 'audio_video')
AUDIBLE = ('audio', 'audio_video')


class MediaLoading:
    """Adds ``imgs`` uint8 (T, H, W, 3), ``audio`` float32 (frames, mels) or both to a sample.

    With audio come ``audio_path`` and ``audio_seconds``, its start and end (None: of the file).

    A sample has ``path``; of the fields of its annotation these count: ``audio`` (path of the
    sound beside a video), ``video_start_frame`` and ``video_end_frame`` (the last one included),
    ``crop_bbox`` (left, top, right, bottom in pixels).

    Args:
        media_type: one of ``image``, ``video``, ``audio``, ``audio_video``.
        sampling: transform that chooses the frames of a video.
        audio: fields of :class:`AudioFeatures`, or one.
        backend, filename_tmpl, limits: as of :class:`OpenVideo`.
        opener: adds ``video`` and ``total_frames`` to a sample in place of :class:`OpenVideo`.
        trimmed_seconds: look only at the first seconds of a video or sound.
        clip_from_video: look only at the frames that the annotation names, evenly spaced, and
            listen to these only.
        audio_from_video: the sound of ``audio_video`` is the video's own track.
        pad_missing_audio: zeros stand for a missing track; else such media are unreadable.

    Raises:
        ValueError: unknown ``media_type``; ``trimmed_seconds`` that are not positive.
    """

    def __init__(
        self,
        media_type: str,
        sampling: Mapping[str, Any] | Callable,
        audio: Mapping[str, Any] | AudioFeatures | None = None,
        backend: str = 'auto',
        filename_tmpl: str = 'img_{:05}.jpg',
        trimmed_seconds: float | None = None,
        clip_from_video: bool = False,
        audio_from_video: bool = True,
        pad_missing_audio: bool = False,
        opener: Callable[[dict], dict] | None = None,
        limits: MediaLimits | Mapping[str, Any] | None = None,
    ) -> None:
        if media_type not in MEDIA_TYPES:
            raise ValueError(f'media_type must be one of {MEDIA_TYPES}, got {media_type!r}')
        if trimmed_seconds is not None and trimmed_seconds <= 0:
            raise ValueError(f'trimmed_seconds must be positive, got {trimmed_seconds}')
        self.media_type = media_type
        self.has_pictures, self.has_audio = media_type != 'audio', media_type in AUDIBLE
        self.sampling = sampling if callable(sampling) else TRANSFORMS.build(dict(sampling))
        self.audio = (
            audio
            if isinstance(audio, AudioFeatures)
            else AudioFeatures(**dict(limits=limits) | dict(audio or {}))
        )
        if clip_from_video and not hasattr(self.sampling, 'num_frames'):
            raise ValueError('clip_from_video=True needs a sampling with `num_frames`')
        self.trimmed_seconds, self.clip_from_video = trimmed_seconds, clip_from_video
        self.audio_from_video, self.pad_missing_audio = audio_from_video, pad_missing_audio
        self._open = opener or OpenVideo(backend, filename_tmpl, limits)
        self._decode = DecodeFrames()

    def __call__(self, sample: dict) -> dict:
        """Load the media.

        Raises:
            MediaError: something of it cannot be read.
        """
        seconds = (0.0, self.trimmed_seconds)
        if self.media_type == 'image':
            sample |= dict(video=ImageReader(sample['path']), frame_inds=[[0]])
        elif self.has_pictures:
            sample, seconds = self._choose_frames(self._open(sample))
        if self.has_pictures:
            sample = self._decode(sample)
            _crop(sample)
        if self.has_audio:
            sample['audio'] = self._load_audio(sample, *seconds)
        return sample

    def _choose_frames(self, sample: dict) -> tuple[dict, tuple[float, float | None]]:
        """The sample with ``frame_inds``, and the seconds that they were chosen from."""
        timeline, total = timeline_of(sample['video']), sample['total_frames']
        first, length = self._window(sample, timeline, total)
        if self.clip_from_video:
            sample['frame_inds'] = np.array([clip_offsets(length, self.sampling.num_frames)])
        else:
            # Sampling sees the window as the whole video; `first` is added afterwards.
            sample['total_frames'] = length
            sample = self.sampling(sample)
        sample['frame_inds'] = sample['frame_inds'] + first
        # Without a frame rate the frames have no place in seconds: all of the sound is heard.
        if timeline is None or (first, length) == (0, total):
            return sample, (0.0, None)
        start = timeline.start_of(first) if first else 0.0
        return sample, (start, timeline.end_of(first + length - 1))

    def _window(self, sample: dict, timeline: Timeline | None, total: int) -> tuple[int, int]:
        """First frame and number of frames that are looked at."""
        if self.clip_from_video:
            first = int(sample.get('video_start_frame', 0))
            end = min(int(sample.get('video_end_frame', total - 1)) + 1, total)
            if not 0 <= first < end:
                raise MediaError(
                    sample['path'], f'no frames {first} to {end - 1} in a video of {total}'
                )
            return first, end - first
        if self.trimmed_seconds is None:
            return 0, total
        if timeline is None:
            raise MediaError(sample['path'], 'frame rate unknown, which trimmed_seconds needs')
        return 0, min(max(timeline.frames_within(self.trimmed_seconds), 1), total)

    def _load_audio(self, sample: dict, start: float, end: float | None) -> Any:
        is_track = self.media_type == 'audio_video' and self.audio_from_video
        path = sample['path']
        if self.media_type == 'audio_video' and not is_track:
            path = sample.get('sound_path')
            if path is None:
                raise MediaError(
                    sample['path'], 'the annotation names no `audio` (audio_from_video=False)'
                )
        sample |= dict(audio_path=path, audio_seconds=(start, end))
        return self.audio(path, start, end, self.pad_missing_audio, pad_bank=is_track)


def _crop(sample: dict) -> None:
    """Cut ``imgs`` to ``crop_bbox``, if the sample has one."""
    box = sample.get('crop_bbox')
    if box is None:
        return
    height, width = sample['imgs'].shape[1:3]
    try:
        left, top, right, bottom = (int(side) for side in box)
    except (TypeError, ValueError):
        raise MediaError(sample['path'], f'crop_bbox is no box of four numbers: {box}') from None
    left, top, right, bottom = max(left, 0), max(top, 0), min(right, width), min(bottom, height)
    if left >= right or top >= bottom:
        raise MediaError(sample['path'], f'crop_bbox {box} holds nothing of {width}x{height}')
    sample['imgs'] = sample['imgs'][:, top:bottom, left:right]
    move_boxes(sample, shift=(-left, -top))
