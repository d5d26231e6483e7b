"""ViCLIP: CLIP trained further on video and text (InternVid, arXiv 2307.06942, section 4)."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from internvideo.models.masks.token_masks import RandomMask
from internvideo.registry import MODELS

from .dual_encoder import DualEncoder
from .freezing import freeze_parts


@MODELS.register_module()
class ViCLIP(DualEncoder):
    """Video and text tower under a contrastive loss, which reads a share of the patches.

    Children have the published names: ``vision_encoder``, ``text_encoder``, ``temp``.

    Args:
        vision_encoder: config of the video tower (:class:`ViCLIPVision`).
        text_encoder: config of the text tower (:class:`CLIPText`); its feature must be as wide
            as the projected class token of the video.
        temp, temp_min: temperature at the start, and its lower bound.
        masking_prob: share of the patches of a clip that is left out in training mode, drawn
            uniformly for each sample.
        mask_in_eval: leave them out in evaluation mode as well, as the published code does
            unless its caller says that it tests.
        freeze_text: the text tower does not learn.
        contrastive: config of the contrastive loss.  By default gathered features get the
            gradients of all processes; ``dict(gather_gradient='local')`` is the published one.

    ``forward``: see :class:`DualEncoder`.

    Raises:
        ValueError: ``masking_prob`` outside [0, 1), a video tower without projection, or features
            of the two towers that differ in width.
    """

    # The released model is given texts as they are written, although it learned from normal ones.
    normalises_queries = False

    def __init__(
        self,
        vision_encoder: dict[str, Any],
        text_encoder: dict[str, Any],
        temp: float = 0.01,
        temp_min: float = 0.01,
        masking_prob: float = 0.0,
        mask_in_eval: bool = False,
        freeze_text: bool = True,
        contrastive: dict[str, Any] | None = None,
        data_preprocessor: dict[str, Any] | nn.Module | None = None,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        if not 0.0 <= masking_prob < 1.0:
            raise ValueError(
                f'masking_prob must be in [0, 1), got {masking_prob}: some patches must be left'
            )
        super().__init__(
            vision_encoder,
            text_encoder,
            temp,
            temp_min,
            dict(gather_gradient='sum') | (contrastive or {}),
            data_preprocessor,
            init_cfg,
        )
        if not self.vision_encoder.pooled_dim:
            raise ValueError('vision_encoder.output_dim must be the width of the text features')
        self.check_widths(self.vision_encoder.pooled_dim)
        self.mask_in_eval = mask_in_eval
        self.masker = RandomMask(masking_prob) if masking_prob else None
        if freeze_text:
            self._frozen += freeze_parts(self, ['text_encoder'])

    def encode_video(self, video: Tensor) -> Tensor:
        """Clips or images (B, C, T, H, W) -> (B, D), of some patches alone where it masks."""
        if self.masker is None or not (self.training or self.mask_in_eval):
            return self.vision_encoder(video).pooled
        encoder = self.vision_encoder
        grid = (video.shape[2] // encoder.tubelet_size, *encoder.grid[1:])
        visible = 1 + self.masker.num_visible(grid)
        mask = self._draw_mask(video, grid)
        return encoder(video, mask, num_visible=visible).pooled

    @torch.no_grad()
    def _draw_mask(self, video: Tensor, grid: tuple[int, int, int]) -> Tensor:
        """(B, 1+N) bool mask with the class token visible."""
        mask = self.masker(None, len(video), grid, video.device)
        return F.pad(mask, (1, 0), value=False)

    def no_weight_decay(self) -> set[str]:
        """Names of parameters that are never decayed, the embeddings of tokens among them."""
        text = {f'text_encoder.{name}' for name in self.text_encoder.no_weight_decay()}
        return super().no_weight_decay() | text
