"""Action recognition: an encoder and a head."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from internvideo.models.backbones.base import EncoderOutput
from internvideo.models.tasks.base import VideoModel
from internvideo.ops.views import merge_views
from internvideo.registry import MODELS
from internvideo.structures import VideoDataSample
from internvideo.structures.rehearsal import SmallSizes


@MODELS.register_module()
class VideoRecognizer(VideoModel):
    """Classifies videos from one or more views (clips) each.

    Heads read the pooled vector; where an encoder has none, the mean of its patch tokens.

    Args:
        backbone: config of a :class:`VideoEncoder`.
        head: config of a head ``EncoderOutput -> (B, K)`` with a ``loss`` method.
        data_preprocessor: config of the batch preprocessor.
        max_views_per_forward: at most this many clips go through the encoder at once when
            predicting; None means all views of the batch.
        freeze: keyword arguments of the encoder's ``freeze`` (``open_blocks``, ``open_pooler``)
            for probing; ``backbone=False`` in it, or None, freezes nothing.
        init_cfg: how to initialise, for instance from a published checkpoint.

    ``forward`` modes: ``'tensor'`` gives logits, (B, K) for clips (B, C, T, H, W) and (B, V, K)
    for views (B, V, C, T, H, W); ``'loss'`` a dict of scalars; ``'predict'`` the data samples with
    ``pred_score``, the softmax of each view in float32 averaged over views.
    """

    def __init__(
        self,
        backbone: dict[str, Any],
        head: dict[str, Any],
        data_preprocessor: dict[str, Any] | nn.Module | None = None,
        max_views_per_forward: int | None = None,
        freeze: dict[str, Any] | None = None,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(data_preprocessor, init_cfg)
        if max_views_per_forward is not None and max_views_per_forward < 1:
            raise ValueError(f'max_views_per_forward={max_views_per_forward} must be positive')
        self.max_views_per_forward = max_views_per_forward
        self.backbone = MODELS.build(backbone)
        self.head = MODELS.build(head)
        # Mixing makes soft targets, of as many classes as the head has.
        if hasattr(self.data_preprocessor, 'set_num_classes') and 'num_classes' in head:
            self.data_preprocessor.set_num_classes(head['num_classes'])
        options = dict(freeze or {})
        if options.pop('backbone', bool(freeze)):
            self.backbone.freeze(**options)

    scales_learning_rate = True
    """Published rates are those of a batch of 256 clips; a rehearsal looks for ``lr_scaling``."""
    traced_mode = 'tensor'
    """Mode in which a rehearsal follows a test batch."""

    @classmethod
    def shrink(cls, config: dict[str, Any], small: SmallSizes) -> dict[str, Any]:
        """Offer a small copy to a rehearsal."""
        return config

    @classmethod
    def needed_depth(cls, config: Mapping[str, Any]) -> int:
        """Blocks that an encoder needs, for a rehearsal."""
        return (config.get('freeze') or {}).get('open_blocks', 0)

    @classmethod
    def traced_samples(
        cls, config: Mapping[str, Any], data_samples: Sequence[VideoDataSample]
    ) -> None:
        """Give soft targets to samples whose labels a trace, without numbers, cannot read."""
        classes = config['head'].get('num_classes')
        for sample in data_samples if classes else ():
            if 'gt_score' not in sample:
                sample.gt_score = torch.zeros(classes)

    def forward(
        self,
        inputs: Tensor | None,
        data_samples: Sequence[VideoDataSample] | None = None,
        mode: str = 'tensor',
    ) -> Tensor | dict[str, Tensor] | list[VideoDataSample]:
        """Run one mode (see the class).

        Raises ValueError for an unknown mode or, but for ``'predict'``, no readable clip.
        """
        if mode == 'predict':
            return self.predict(inputs, data_samples)
        if mode not in ('loss', 'tensor'):
            raise ValueError(f"mode must be 'tensor', 'loss' or 'predict', got {mode!r}")
        if inputs is None:
            raise ValueError(f'the batch has no readable clip, so mode={mode!r} cannot run')
        if mode == 'loss':
            return self.loss(inputs, data_samples)
        logits = self.classify(inputs)
        return logits if inputs.ndim == 5 else logits.unflatten(0, inputs.shape[:2])

    def classify(self, inputs: Tensor) -> Tensor:
        """Logits (N, K) of clips, or of views as clips."""
        return self.head(self.extract_features(inputs))

    def extract_features(self, inputs: Tensor) -> EncoderOutput:
        """Encode clips (B, C, T, H, W), or views (B, V, C, T, H, W) as B*V clips."""
        features = self.backbone(inputs if inputs.ndim == 5 else inputs.flatten(0, 1))
        if features.pooled is not None:
            return features
        patches = features.tokens[:, self.backbone.num_prefix_tokens :]
        return features._replace(pooled=patches.mean(dim=1))

    def loss(self, inputs: Tensor, data_samples: Sequence[VideoDataSample]) -> dict[str, Tensor]:
        """Compute the losses of the head, with each view of a video as a clip of its own.

        Raises ValueError for views that a head which averages segments cannot divide.
        """
        views = 1 if inputs.ndim == 5 else inputs.shape[1]
        segments = getattr(self.head, 'num_segments', 1)
        if views % segments:
            # The head, which sees clips alone, would average those of different videos.
            raise ValueError(f'head.num_segments={segments} does not divide {views} views a video')
        # In the order of flatten(0, 1): the views of a video follow each other.
        per_clip = [sample for sample in data_samples for _ in range(views)]
        return self.head.loss(self.extract_features(inputs), per_clip)

    def predict(
        self, inputs: Tensor | None, data_samples: Sequence[VideoDataSample]
    ) -> list[VideoDataSample]:
        """Set ``pred_score`` of every readable data sample and return all of them in order."""
        readable = [sample for sample in data_samples if not sample.is_unreadable]
        # A video that could not be read has a data sample, but no clip.
        found = 0 if inputs is None else len(inputs)
        if found != len(readable):
            raise ValueError(f'{found} videos came with {len(readable)} readable data samples')
        if readable:
            for sample, score in zip(readable, self._scores(inputs), strict=True):
                sample.set_pred_score(score)
        return list(data_samples)

    def _scores(self, inputs: Tensor) -> Tensor:
        views = inputs[:, None] if inputs.ndim == 5 else inputs
        clips = views.flatten(0, 1)
        # In parts for the memory of the encoder: only logits are kept of each.
        chunks = clips.split(self.max_views_per_forward or len(clips))
        logits = torch.cat([self.classify(chunk) for chunk in chunks])
        return merge_views(logits.unflatten(0, views.shape[:2]))
