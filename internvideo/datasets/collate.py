"""From packed samples to a batch."""

import torch
from torch import Tensor
from torch.utils.data import get_worker_info

from internvideo.registry import FUNCTIONS


@FUNCTIONS.register_module()
def collate_clips(batch: list[dict | list[dict]]) -> dict:
    """Batch packed clips; lists of repeated augmentations are flattened.

    Returns ``dict(inputs=uint8 (B, V, C, T, H, W) or None, data_samples=[...])``.  Readable
    samples come first, in order, so that ``inputs[i]`` belongs to ``data_samples[i]``; samples
    without a clip (unreadable media) follow and count in neither ``B`` nor ``inputs``.

    Raises:
        ValueError: clips of different shapes, naming two files.
    """
    items = [part for item in batch for part in (item if isinstance(item, list) else [item])]
    readable = [item for item in items if item['inputs'] is not None]
    unreadable = [item for item in items if item['inputs'] is None]
    return dict(
        inputs=_stack(readable) if readable else None,
        data_samples=[item['data_samples'] for item in readable + unreadable],
    )


def _stack(items: list[dict]) -> Tensor:
    clips = [item['inputs'] for item in items]
    for item in items:
        if item['inputs'].shape != clips[0].shape:
            raise ValueError(
                f'clips of one batch differ in shape: {tuple(clips[0].shape)} of '
                f'{items[0]["data_samples"].path}, {tuple(item["inputs"].shape)} of '
                f'{item["data_samples"].path}'
            )
    if get_worker_info() is None:
        return torch.stack(clips)
    # Written straight into the memory that the training process maps: one copy less.
    size = sum(clip.numel() for clip in clips)
    storage = clips[0]._typed_storage()._new_shared(size, device=clips[0].device)
    return torch.stack(clips, out=clips[0].new(storage).resize_(len(clips), *clips[0].shape))
