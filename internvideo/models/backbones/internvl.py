"""The InternVL-6B image tower run over the frames of a clip (arXiv 2312.14238, section 3.2)."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from internvideo.models.layers.kernels import Fused
from internvideo.ops.tokens import merge_frames
from internvideo.registry import MODELS

from .base import EncoderOutput
from .internvideo2 import InternVideo2


@MODELS.register_module()
class InternVLVision(InternVideo2):
    """Image encoder that sees each frame on its own, as the CLIP teacher of masked pretraining.

    The blocks and the pooler are those of :class:`InternVideo2` on single frames.  The position
    table (class token and patches) is not trained and is zero until it is loaded.  Over the
    frames of a clip, class tokens and pooled vectors are averaged; patch tokens follow each
    other, time-major.

    Args: see :class:`InternVideo2`; a patch covers one frame, and any number of frames is taken.
    """

    SMALL: ClassVar[dict[str, Any]] = dict(InternVideo2.SMALL)
    # Frames are seen one by one: there is no number of them to set.
    SMALL.pop('num_frames')
    takes_mask = False

    def __init__(
        self,
        arch: str | Mapping[str, Any] | None = '6B',
        embed_dim: int | None = None,
        depth: int | None = None,
        num_heads: int | None = None,
        mlp_ratio: float | None = None,
        img_size: int | tuple[int, int] = 224,
        patch_size: int = 14,
        qkv_bias: bool = False,
        qk_normalization: bool = True,
        init_values: float | None = 0.1,
        layerscale_force_fp32: bool = True,
        drop_path_rate: float = 0.0,
        attn_pool_num_heads: int = 16,
        clip_embed_dim: int | None = 768,
        act: str = 'gelu_tanh',
        attn_backend: str = 'auto',
        fused: Fused = 'auto',
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(
            arch,
            embed_dim=embed_dim,
            depth=depth,
            num_heads=num_heads,
            mlp_ratio=mlp_ratio,
            img_size=img_size,
            patch_size=patch_size,
            num_frames=1,
            qkv_bias=qkv_bias,
            qk_normalization=qk_normalization,
            init_values=init_values,
            layerscale_force_fp32=layerscale_force_fp32,
            drop_path_rate=drop_path_rate,
            attn_pool_num_heads=attn_pool_num_heads,
            clip_embed_dim=clip_embed_dim,
            act=act,
            attn_backend=attn_backend,
            fused=fused,
            init_cfg=init_cfg,
        )
        self.pos_embed.requires_grad_(False)

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Set the class token and the position table, which is zero until it is loaded."""
        nn.init.normal_(self.cls_token, std=0.02)
        self.pos_embed.zero_()

    def forward(
        self,
        video: Tensor,
        mask: Tensor | None = None,
        return_layers: Sequence[int] = (),
        return_attn: bool = False,
        num_visible: int | None = None,
        layers_only: bool = False,
    ) -> EncoderOutput:
        """Encode clips (B, C, T, H, W) frame by frame.

        Tokens and layers are (B, 1 + T*g*g, D), the pooled vector (B, P), attention (B, T*g*g),
        whose rows of one frame are what the pooler gave that frame.

        Args:
            video: normalised clips.
            mask, num_visible: not taken: each frame is seen whole.
            return_layers: block indices (0-based) whose output stream is returned.
            return_attn: also return the pooling attention.
            layers_only: stop after the last of ``return_layers``; no pooled vector then.

        Raises:
            ValueError: frames of another size, a mask, or a layer that does not exist.
        """
        if mask is not None:
            raise ValueError(f'{type(self).__name__} takes no mask: each frame is seen whole')
        if video.ndim != 5:
            raise ValueError(f'expected clips (B, C, T, H, W), got shape {tuple(video.shape)}')
        steps = video.shape[2]
        # As clips of one frame each, so that the forward pass of the parent serves.
        frames = video.transpose(1, 2).flatten(0, 1)[:, :, None]
        out = super().forward(
            frames, return_layers=return_layers, return_attn=return_attn, layers_only=layers_only
        )
        return EncoderOutput(
            tokens=merge_frames(out.tokens, steps),
            # A mean of raw vectors: targets are normalised after it, as published.
            pooled=None if out.pooled is None else out.pooled.unflatten(0, (-1, steps)).mean(1),
            layers=[merge_frames(layer, steps) for layer in out.layers],
            attn=None if out.attn is None else out.attn.unflatten(0, (-1, steps)).flatten(1),
            grid=(steps, *self.grid[1:]),
        )
