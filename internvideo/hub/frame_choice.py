"""Choice of frames of a checkpoint, in place of that of a config."""

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from mmengine.config import Config
from mmengine.logging import print_log

from internvideo.structures.frame_sampling import SPLITS, FrameSampling, evaluation_dataset

if TYPE_CHECKING:
    from internvideo.models.backbones.base import VideoEncoder

CHOICES = ('checkpoint', 'config')
"""Values of ``frame_sampling`` and ``--frame-sampling``."""
INSTEAD = "--frame-sampling config, in Python frame_sampling='config',"
Differences = Mapping[str, tuple[Any, Any]]


def follow_checkpoint(
    config: Config,
    source: str | os.PathLike | None,
    choice: str = 'checkpoint',
    encoder: 'VideoEncoder | None' = None,
    splits: Sequence[str] = SPLITS,
    geometry_only: bool = False,
    warn: Callable[[str], None] = partial(print_log, logger='current', level=logging.WARNING),
) -> None:
    """Let the evaluation data of ``config`` choose frames as the checkpoint was trained with.

    Where the two differ, a warning names the fields.  Views, crops and data stay the config's.
    Nothing happens where the checkpoint does not say (published files, other code).

    Args:
        config: changed in place.
        source: the checkpoint; None: none.
        choice: ``'checkpoint'``, or ``'config'`` to be warned only.
        encoder: what sees the frames; one that the config made for another number or size of frames
            than the checkpoint's takes the config's.
        splits: whose data are looked at.
        geometry_only: frames are chosen elsewhere: only how they are brought to size counts.
        warn: takes each warning, a line, once.

    Raises:
        ValueError: unknown ``choice``; the checkpoint says what is no choice of frames, and is to
            be followed.
        FileNotFoundError, CheckpointSourceError: as
            :func:`~internvideo.checkpoint.files.read_frame_sampling`.
    """
    from internvideo.checkpoint.files import read_frame_sampling

    if choice not in CHOICES:
        raise ValueError(f'frame_sampling must be one of {", ".join(CHOICES)}, got {choice!r}')
    try:
        trained = None if source is None else read_frame_sampling(source)
    except ValueError as error:
        if choice == 'checkpoint':
            raise ValueError(f"{error}; {INSTEAD} takes the config's") from error
        warn(str(error))
        return
    if trained is None:
        return
    found = {s: data for s in splits if (data := evaluation_dataset(config, s)) is not None}
    if not found and choice == 'checkpoint':
        fields = dict(sampling=trained.sampling, pipeline=list(trained.pipeline))
        config.val_dataloader = dict(dataset=fields)
    told = set()
    for split, dataset in found.items():
        message = _follow(dataset, trained.of_split(split), choice, encoder, geometry_only)
        if message and message not in told:
            warn(f'checkpoint {source} was trained with another choice of frames: {message}')
        told.add(message)


def _follow(
    dataset: Any,
    trained: FrameSampling,
    choice: str,
    encoder: 'VideoEncoder | None',
    geometry_only: bool,
) -> str:
    """Change the config of a data set as asked for, and say what differed, if anything did."""
    own = FrameSampling.of_dataset(dataset)
    differing = trained.differences(own)
    if geometry_only:
        differing = {k: v for k, v in differing.items() if not k.startswith('sampling.')}
    if not differing:
        return ''
    reason = _misfit(encoder, trained, own) if encoder is not None else ''
    if choice == 'checkpoint' and not reason:
        for field, value in trained.over(dataset).items():
            dataset[field] = value  # update() would merge fields of another rule
    return _message(differing, choice, reason)


def _misfit(encoder: 'VideoEncoder', trained: FrameSampling, own: FrameSampling) -> str:
    """Reason why ``encoder`` takes frames of ``own`` but not of ``trained``, or empty."""
    count, size = encoder.num_frames, list(encoder.img_size)
    if _fits(own.num_frames, count) and not _fits(trained.num_frames, count):
        return f'the model takes {count} frames'
    if own.size == size and trained.size not in (size, None):
        return f'the model takes frames of {size[0]}x{size[1]}'
    return ''


def _fits(frames: int | None, count: int) -> bool:
    # Some models see several clips of a video.
    return frames is None or frames % count == 0


def _message(differing: Differences, choice: str, reason: str) -> str:
    fields = ', '.join(
        f'{name} {_text(trained)} (config: {_text(own)})'
        for name, (trained, own) in sorted(differing.items())
    )
    if choice == 'config':
        return f"{fields}; the config's is used"
    if reason:
        return f"{fields}; the config's is used, since {reason}"
    return f"{fields}; the checkpoint's is used ({INSTEAD} takes the config's)"


def _text(value: Any) -> str:
    return str(value).replace(' ', '') if isinstance(value, list | tuple) else str(value)
