"""Collation of packed samples to a batch."""

import torch
from torch import Tensor
from torch.utils.data import get_worker_info

from internvideo.registry import FUNCTIONS


@FUNCTIONS.register_module()
def collate_clips(batch: list[dict | list[dict]]) -> dict:
    """Batch packed clips and flatten lists of repeated augmentations.

    Returns ``dict(inputs=uint8 (B, V, C, T, H, W) or None, data_samples=[...])``.  Readable
    samples come first, in order, so that ``inputs[i]`` belongs to ``data_samples[i]``; samples
    without a clip (unreadable media) follow and count in neither ``B`` nor ``inputs``.

    Raises:
        ValueError: clips of different shapes, naming two files.
    """
    readable, unreadable = _by_readability(batch)
    return dict(
        inputs=_stack(readable) if readable else None,
        data_samples=[item['data_samples'] for item in readable + unreadable],
    )


@FUNCTIONS.register_module()
def collate_media(batch: list[dict | list[dict]]) -> dict:
    """Batch items of :class:`PackMedia`, all of one modality.

    Returns ``dict(inputs={'video': uint8 (B, 3, T, H, W), 'audio': (B, frames, mels)} or None,
    data_samples=[...])`` with the keys that the items have; order as in :func:`collate_clips`.

    Raises:
        ValueError: media of different kinds or shapes, naming two files.
    """
    readable, unreadable = _by_readability(batch)
    inputs = None
    if readable:
        names = list(readable[0]['inputs'])
        for item in readable:
            if list(item['inputs']) != names:
                raise ValueError(
                    f'media of one batch differ: {names} of {_path(readable[0])}, '
                    f'{list(item["inputs"])} of {_path(item)}'
                )
        inputs = {name: _stack(readable, name) for name in names}
    return dict(
        inputs=inputs, data_samples=[item['data_samples'] for item in readable + unreadable]
    )


@FUNCTIONS.register_module()
def collate_questions(batch: list[dict | list[dict]]) -> dict:
    """Batch items like :func:`collate_media`, with a clip of several questions only once.

    Samples with the same ``clip_id`` share a clip, that of the first of them; each readable
    sample gets ``clip``, the row of ``inputs['video']`` that it is about.

    Raises:
        ValueError: clips of different shapes, naming two files.
    """
    readable, unreadable = _by_readability(batch)
    firsts: dict[int, dict] = {}
    for item in readable:
        firsts.setdefault(item['data_samples'].clip_id, item)
    # Clips keep the order in which they first come, which is that of `inputs` below.
    rows = {clip_id: row for row, clip_id in enumerate(firsts)}
    for item in readable:
        item['data_samples'].set_metainfo(dict(clip=rows[item['data_samples'].clip_id]))
    clips = collate_media(list(firsts.values()))
    return dict(
        inputs=clips['inputs'],
        data_samples=[item['data_samples'] for item in readable + unreadable],
    )


def _by_readability(batch: list[dict | list[dict]]) -> tuple[list[dict], list[dict]]:
    items = [part for item in batch for part in (item if isinstance(item, list) else [item])]
    readable = [item for item in items if item['inputs'] is not None]
    return readable, [item for item in items if item['inputs'] is None]


def _path(item: dict) -> str:
    return item['data_samples'].path


def _stack(items: list[dict], name: str | None = None) -> Tensor:
    clips = [item['inputs'] if name is None else item['inputs'][name] for item in items]
    for item, clip in zip(items, clips, strict=True):
        if clip.shape != clips[0].shape:
            raise ValueError(
                f'clips of one batch differ in shape: {tuple(clips[0].shape)} of '
                f'{_path(items[0])}, {tuple(clip.shape)} of {_path(item)}'
            )
    if get_worker_info() is None:
        return torch.stack(clips)
    # Written straight into the memory that the training process maps: one copy less.
    # torch's default_collate does it in the same way.
    size = sum(clip.numel() for clip in clips)
    storage = clips[0]._typed_storage()._new_shared(size, device=clips[0].device)
    return torch.stack(clips, out=clips[0].new(storage).resize_(len(clips), *clips[0].shape))
