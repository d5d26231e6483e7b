"""Fields of data samples that retrieval models read and write."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from internvideo.ops.features import normalise
from internvideo.structures import VideoDataSample


def pair_ids(data_samples: Sequence[VideoDataSample] | None, device: torch.device) -> Tensor | None:
    """Ids (B,) ``pair_id`` of the data samples, or None when none has one.

    Raises ValueError when only some have one.
    """
    found = [sample.get('pair_id') for sample in data_samples or ()]
    if all(pair is None for pair in found):
        return None
    if any(pair is None for pair in found):
        raise ValueError('some data samples of the batch have a pair_id and some have none')
    return torch.tensor([int(pair) for pair in found], device=device)


def set_features(
    features: Mapping[str, Tensor], data_samples: Sequence[VideoDataSample]
) -> list[VideoDataSample]:
    """Put normalised features, on the CPU, into the data samples as ``<modality>_feature``."""
    for name, rows in features.items():
        for sample, feature in zip(data_samples, normalise(rows, 'l2').cpu(), strict=True):
            sample.set_field(feature, f'{name}_feature')
    return list(data_samples)
