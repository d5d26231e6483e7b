"""What loaders of media and texts give: shapes of a batch of each kind, without its numbers."""

import copy
import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from internvideo.registry import DATA_SAMPLERS, DATASETS
from internvideo.structures import VideoDataSample

DEFAULT_LENGTH = 32


@dataclass(frozen=True)
class MediaShape:
    """One item of media and its text.

    Attributes:
        media: ``image``, ``video``, ``audio`` or ``audio_video``.
        video: (C, T, H, W), None without pictures.
        audio: (frames, mels), None without sound.
        length: tokens of a text; 0 for none.
        kinds: of caption, empty for one without a name.
    """

    media: str
    video: tuple[int, ...] | None = None
    audio: tuple[int, ...] | None = None
    length: int = DEFAULT_LENGTH
    kinds: tuple[str, ...] = ()

    @property
    def frames(self) -> int:
        """Frames of a clip; 0 for sound."""
        return self.video[1] if self.video else 0

    def batch(self, clips: int, dtype: torch.dtype = torch.float32) -> tuple[dict[str, Any], list]:
        """Inputs and data samples of ``clips`` different items."""
        inputs: dict[str, Any] = {}
        for name in ('video', 'audio'):
            if getattr(self, name) is not None:
                inputs[name] = torch.empty((clips, *getattr(self, name)), dtype=dtype)
        if self.length:
            kinds = {kind: self._tokens(clips) for kind in self.kinds}
            inputs['text'] = kinds or self._tokens(clips)
        return inputs, [VideoDataSample(metainfo=dict(pair_id=i)) for i in range(clips)]

    def _tokens(self, clips: int) -> dict[str, Tensor]:
        names = ('input_ids', 'attention_mask')
        return {name: torch.zeros(clips, self.length, dtype=torch.long) for name in names}

    def without_text(self) -> 'MediaShape':
        """The media alone, as testing encodes them."""
        return MediaShape(self.media, self.video, self.audio, 0)


def shape_of(item: Mapping[str, Any], length: int, is_fixed: bool = False) -> MediaShape:
    """The shape of a data set's item, with ``length`` tokens unless it says another number.

    Args:
        item: what the data set gives.
        length: tokens of a text.
        is_fixed: ``length`` holds whatever the item says.

    Raises:
        ValueError: the item holds no media.
    """
    inputs, sample = item.get('inputs'), item['data_samples']
    if not inputs:
        raise ValueError(f'generated media cannot be read: {sample.get("unreadable")}')
    caption = sample.get('caption')
    kinds = tuple(caption) if isinstance(caption, Mapping) else ()
    shapes = {name: tuple(tensor.shape) for name, tensor in inputs.items()}
    return MediaShape(
        media=sample.get('media_type', 'video'),
        video=shapes.get('video'),
        audio=shapes.get('audio'),
        length=length if is_fixed else sample.get('max_text_length') or length,
        kinds=kinds,
    )


def training_shapes(
    loader: Mapping[str, Any], length: int, is_fixed: bool = False
) -> list[MediaShape]:
    """Shapes of the batches of a training loader, one a medium.

    Raises whatever building or reading the data raises.
    """
    dataset = DATASETS.build(copy.deepcopy(dict(loader['dataset'])))
    sampler = DATA_SAMPLERS.build(
        copy.deepcopy(dict(loader['batch_sampler'])), default_args=dict(dataset=dataset)
    )
    keys = (batch[0] for batch in sampler)
    return distinct(shape_of(_first(dataset[key]), length, is_fixed) for key in keys)


def testing_shapes(loader: Mapping[str, Any], length: int) -> list[MediaShape]:
    """Shapes of the media of a loader of evaluation sets.

    Raises whatever building or reading the data raises.
    """
    dataset = DATASETS.build(copy.deepcopy(dict(loader['dataset'])))
    items = (dataset[index] for index in range(len(dataset)))
    return distinct(shape_of(_first(item), length).without_text() for item in items)


def _first(item: Any) -> Mapping[str, Any]:
    return item[0] if isinstance(item, Sequence) else item


def distinct(shapes: Iterable[MediaShape]) -> list[MediaShape]:
    """Every shape once; of those that differ in text alone, the longest text."""
    found = sorted(set(shapes), key=lambda s: (s.media, str(s.video), str(s.audio), -s.length))
    groups = itertools.groupby(found, key=lambda s: (s.media, s.video, s.audio))
    return [next(group) for _, group in groups]
