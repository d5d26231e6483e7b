"""Labels and soft targets of a batch of data samples."""

from collections.abc import Sequence

import torch
from torch import Tensor

from internvideo.structures import VideoDataSample


def stack_labels(
    data_samples: Sequence[VideoDataSample], num_classes: int, device: torch.device | str
) -> Tensor:
    """(B,) class indices.

    Raises:
        ValueError: a sample without a label, or a label outside ``[0, num_classes)``; the message
            names the sample's path, the label and ``num_classes``.
    """
    # Data samples stay on the CPU: checking labels here does not wait for the device.
    labels = []
    for sample in data_samples:
        label = int(sample.gt_label) if 'gt_label' in sample else None
        if label is None or not 0 <= label < num_classes:
            raise ValueError(
                f'{sample.get("path")}: label {label} is not in [0, num_classes={num_classes})'
            )
        labels.append(label)
    return torch.tensor(labels).to(device, non_blocking=True)


def stack_targets(
    data_samples: Sequence[VideoDataSample], num_classes: int, device: torch.device | str
) -> Tensor:
    """(B, K) soft targets when the batch was mixed, (B,) class indices otherwise."""
    if all('gt_score' in sample for sample in data_samples):
        scores = torch.stack([sample.gt_score for sample in data_samples]).to(device)
        if scores.shape[1] != num_classes:
            raise ValueError(f'gt_score has {scores.shape[1]} classes, num_classes={num_classes}')
        return scores
    return stack_labels(data_samples, num_classes, device)


def smooth_one_hot(labels: Tensor, num_classes: int, smoothing: float = 0.0) -> Tensor:
    """(B,) labels -> (B, K) float32: ``1 - e + e / K`` at the label, ``e / K`` elsewhere."""
    off = smoothing / num_classes
    target = torch.full((len(labels), num_classes), off, device=labels.device)
    return target.scatter_(1, labels[:, None], 1.0 - smoothing + off)
