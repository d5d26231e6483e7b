"""Models and checkpoints of a few kilobytes."""

from typing import Any

import torch
from torch import Tensor, nn

from internvideo.registry import MODELS


def tiny_recognizer(
    num_classes: int = 5, head: dict[str, Any] | None = None, init_cfg=None, **backbone: Any
) -> nn.Module:
    fields = dict(
        arch=None,
        embed_dim=16,
        depth=2,
        num_heads=2,
        mlp_ratio=2.0,
        img_size=28,
        num_frames=8,
        attn_pool_num_heads=2,
        clip_embed_dim=8,
    )
    head = dict(type='ClassificationHead', num_classes=num_classes, in_dim=8) | (head or {})
    return MODELS.build(
        dict(
            type='VideoRecognizer',
            backbone=dict(type='InternVideo2', **(fields | backbone)),
            head=head,
            init_cfg=init_cfg,
        )
    )


def published_state(model: nn.Module, seed: int = 0) -> dict[str, Tensor]:
    """A published classifier file with the sizes of ``model`` and random values."""
    generator = torch.Generator().manual_seed(seed)
    names = {k.removeprefix('backbone.'): v for k, v in model.state_dict().items()}
    names = {k.replace('head.', '', 1) if k.startswith('head.') else k: v for k, v in names.items()}
    return {name: torch.randn(v.shape, generator=generator) for name, v in names.items()}
