"""Ground truth of clips, from that of the video which they were decoded from."""

import numpy as np

from internvideo.datasets.media.errors import MediaError
from internvideo.datasets.media.timeline import Timeline

from .boxes import BOX_KEYS


def annotate_clips(sample: dict, frame_inds: np.ndarray, timeline: Timeline | None) -> None:
    """Replace what a sample says about its video by what holds for its clips.

    ``gt_boxes`` (and ``boxes``) (N, 4), the same in all frames, become (V, N, 4); those of
    every frame of the video, (L, N, 4), become (V, T, N, 4).  They are in pixels, or with
    ``box_unit='share'`` in shares of width and height.

    ``gt_segments`` (N, 2), start and end in seconds, or with ``segment_unit='frames'`` in frames,
    become (V, N, 2) in frames of the clip: 0 is the start of its first frame, T the end of its
    last.  They are cut to the clip; one outside of it is NaN.

    Args:
        sample: with ``imgs`` (V*T, H, W, 3).
        frame_inds: (V, T), the frames of the video that the clips consist of.
        timeline: when frames of the video are shown; None if that is not known.

    Raises:
        MediaError: segments in seconds and no frame rate; boxes of another number of frames.
        ValueError: annotations of another shape or unit.
    """
    for key in BOX_KEYS:
        if key in sample:
            sample[key] = _boxes_of_clips(sample, key, frame_inds)
    if 'gt_segments' in sample:
        sample['gt_segments'] = _segments_of_clips(sample, frame_inds, timeline)
    # What follows is in pixels and frames, whatever the annotations were in.
    sample.pop('box_unit', None), sample.pop('segment_unit', None)


def _boxes_of_clips(sample: dict, key: str, frame_inds: np.ndarray) -> np.ndarray:
    boxes = _checked(sample, key, sides=4, dims=(2, 3))
    if boxes.ndim == 3 and frame_inds.max() >= len(boxes):
        raise MediaError(
            sample['path'], f'{key} of {len(boxes)} frames, but frame {frame_inds.max()} is there'
        )
    unit = sample.get('box_unit', 'pixels')
    if unit not in ('pixels', 'share'):
        raise ValueError(f"box_unit must be 'pixels' or 'share', got {unit!r}")
    if unit == 'share':
        height, width = sample['imgs'].shape[1:3]
        boxes = boxes * (width, height, width, height)
    return boxes[frame_inds] if boxes.ndim == 3 else np.stack([boxes] * len(frame_inds))


def _segments_of_clips(
    sample: dict, frame_inds: np.ndarray, timeline: Timeline | None
) -> np.ndarray:
    segments = _checked(sample, 'gt_segments', sides=2, dims=(2,))
    unit = sample.get('segment_unit', 'seconds')
    if unit not in ('seconds', 'frames'):
        raise ValueError(f"segment_unit must be 'seconds' or 'frames', got {unit!r}")
    if unit == 'seconds':
        if timeline is None:
            raise MediaError(sample['path'], 'frame rate unknown, which gt_segments need')
        segments = timeline.places(segments)
    if (np.diff(frame_inds) < 0).any():
        raise ValueError(f'{sample["path"]}: gt_segments need frames in the order of time')
    places = np.stack([places_in_clip(segments, clip) for clip in frame_inds])
    is_outside = places[..., 0] >= places[..., 1]
    return np.where(is_outside[..., None], np.nan, places)


def places_in_clip(times: np.ndarray, frame_inds: np.ndarray) -> np.ndarray:
    """Places, in frames of a clip, of ``times`` in frames of the video.

    The middle of a frame stays the middle of that frame, places between are interpolated, and the
    first and the last frame reach half a mean step beyond their middles; what lies outside is at
    the nearer end.  A frame of the clip is thus inside a segment after the mapping exactly if it
    was before.

    Args:
        times: any shape; frame ``i`` of the video covers ``i`` to ``i + 1``.
        frame_inds: (T,), frames of the clip, in order; repeated ones fall together in time.
    """
    count, middles = len(frame_inds), frame_inds + 0.5
    step = (middles[-1] - middles[0]) / (count - 1) if middles[-1] > middles[0] else 1.0
    known = np.concatenate([[middles[0] - step / 2], middles, [middles[-1] + step / 2]])
    places = np.concatenate([[0.0], np.arange(count) + 0.5, [float(count)]])
    # Mirrored, since of repeated frames `interp` takes the last, and here the first is meant: a
    # segment that starts in the middle of a repeated frame holds all its repetitions.
    return -np.interp(-times, -known[::-1], -places[::-1])


def _checked(sample: dict, key: str, sides: int, dims: tuple[int, ...]) -> np.ndarray:
    """The annotation as float64, an empty list as no objects."""
    values = np.asarray(sample[key], np.float64)
    values = values.reshape(0, sides) if values.size == 0 and values.ndim < 2 else values
    if values.ndim not in dims or values.shape[-1] != sides:
        shapes = ' or '.join('(L, N, {})' if dim == 3 else '(N, {})' for dim in dims)
        raise ValueError(
            f'{sample["path"]}: {key} must be {shapes.format(*[sides] * len(dims))}, '
            f'got {values.shape}'
        )
    return values
