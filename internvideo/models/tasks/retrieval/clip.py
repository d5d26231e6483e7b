"""CLIP post-training of InternVideo2: a video tower against a large or small text tower.

Source: arXiv 2403.15377, section 3.2 (InternVideo2-CLIP) and its model zoo for the small models.
"""

from typing import Any

from torch import Tensor, nn

from internvideo.registry import MODELS
from internvideo.structures.rehearsal import SmallSizes

from .dual_encoder import DualEncoder
from .freezing import freeze_parts


@MODELS.register_module(name=['InternVideo2CLIP', 'InternVideo2_CLIP', 'InternVideo2_CLIP_small'])
class InternVideo2CLIP(DualEncoder):
    """Video and text towers trained by a contrastive loss.

    Children have the published names: ``vision_encoder``, ``text_encoder``, ``temp`` and, where
    ``align_dim`` is given, ``vision_align``.

    Args:
        vision_encoder: config of the video encoder (:class:`InternVideo2`).
        text_encoder: config of the text tower (:class:`LlamaText` or :class:`MobileCLIPText`);
            its feature must be as wide as the video's.
        align_dim: project the pooled video vector (LayerNorm, linear) to this width; None: not.
        temp, temp_min: temperature at the start, and its lower bound.
        freeze_vision: the video encoder does not learn; its pooler does if
            ``open_vision_clip_projector``.
        freeze_text: the text tower does not learn; its projection does if
            ``open_text_projection``, its low-rank adapters do if ``open_text_lora``.
        frozen_eval: frozen modules stay in evaluation mode.  The published runs left dropout and
            stochastic depth on in them: False.
        contrastive: config of the contrastive loss.

    ``forward``: see :class:`DualEncoder`.

    Raises:
        ValueError: features of the two towers differ in width.
    """

    def __init__(
        self,
        vision_encoder: dict[str, Any],
        text_encoder: dict[str, Any],
        align_dim: int | None = None,
        temp: float = 0.01,
        temp_min: float = 0.01,
        freeze_vision: bool = True,
        open_vision_clip_projector: bool = True,
        freeze_text: bool = True,
        open_text_projection: bool = False,
        open_text_lora: bool = False,
        frozen_eval: bool = True,
        contrastive: dict[str, Any] | None = None,
        data_preprocessor: dict[str, Any] | nn.Module | None = None,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(
            vision_encoder,
            text_encoder,
            temp,
            temp_min,
            contrastive or {},
            data_preprocessor,
            init_cfg,
        )
        width = self.vision_encoder.pooled_dim
        self.vision_align = None
        if align_dim:
            self.vision_align = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, align_dim))
        self.check_widths(align_dim or width)
        if freeze_vision:
            children = self.vision_encoder.named_children()
            pooler = [name for name, part in children if part is self.vision_encoder.pooler]
            opened = pooler if open_vision_clip_projector else []
            self._frozen += freeze_parts(self, ['vision_encoder'], opened)
        if freeze_text:
            opened = ['projection'] if open_text_projection else []
            # peft calls its weights lora_A and lora_B.
            opened += ['lora_'] if open_text_lora else []
            self._frozen += freeze_parts(self, ['text_encoder'], opened)
        # Their parameters learn nothing either way: only the mode of the modules differs.
        self._frozen = self._frozen if frozen_eval else []

    @classmethod
    def shrink(cls, config: dict[str, Any], small: SmallSizes) -> dict[str, Any]:
        """Offer a small copy to a rehearsal."""
        given = [name for name in ('align_dim',) if name in config]
        return small.narrowed(config, *given)

    def encode_video(self, video: Tensor) -> Tensor:
        """Clips or images (B, C, T, H, W) -> (B, D)."""
        pooled = self.vision_encoder(video).pooled
        return pooled if self.vision_align is None else self.vision_align(pooled)

    def no_weight_decay(self) -> set[str]:
        """Names of parameters that are never decayed: the whole text tower is among them."""
        text = {f'text_encoder.{name}' for name, _ in self.text_encoder.named_parameters()}
        return super().no_weight_decay() | text
