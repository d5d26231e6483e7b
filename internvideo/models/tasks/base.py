"""Interface of models with a video encoder, whatever their task."""

from typing import Any, ClassVar

from mmengine.model import BaseModel
from torch import nn

from internvideo.models.backbones.base import VideoEncoder
from internvideo.registry import MODELS


class VideoModel(BaseModel):
    """Base of models with a video encoder, which they hand out as :attr:`video_encoder`.

    Optimisers, ``compile``, the model zoo and inference find the encoder here, whatever the field
    that the published files of a family call it by.

    Args:
        data_preprocessor: the batch preprocessor, or its config.
        init_cfg: how to initialise, for instance from a published checkpoint.
    """

    encoder_field: ClassVar[str] = 'backbone'
    """Attribute and config field that hold the video encoder."""

    def __init__(
        self,
        data_preprocessor: dict[str, Any] | nn.Module | None = None,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        if isinstance(data_preprocessor, dict):
            data_preprocessor = MODELS.build(data_preprocessor)
        super().__init__(data_preprocessor, init_cfg)
        # Set before any part is built: `train` may run while a subclass is half made.
        self._frozen: list[nn.Module] = []

    @property
    def video_encoder(self) -> VideoEncoder:
        """The encoder of clips."""
        return getattr(self, self.encoder_field)

    def train(self, mode: bool = True) -> 'VideoModel':
        """Switch mode, leaving frozen parts in evaluation mode."""
        super().train(mode)
        for module in self._frozen:
            module.eval()
        return self

    def no_weight_decay(self) -> set[str]:
        """Names of parameters that are never decayed."""
        names = self.video_encoder.no_weight_decay()
        return {f'{self.encoder_field}.{name}' for name in names}
