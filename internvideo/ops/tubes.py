"""Tubes of a clip: the boxes of pixels that are one token each."""

import torch
from torch import Tensor

Tube = tuple[int, int, int]
"""Frames, rows and columns of a tube, in pixels."""


def split_tubes(video: Tensor, tube: Tube) -> Tensor:
    """View (B, C, T, H, W) as (B, T', H', W', C, t, p, q), the tubes counted by T', H', W'."""
    batch, channels, frames, height, width = video.shape
    t, p, q = tube
    split = video.reshape(batch, channels, frames // t, t, height // p, p, width // q, q)
    return split.permute(0, 2, 4, 6, 1, 3, 5, 7)


def take_tubes(video: Tensor, tube: Tube, positions: Tensor | None = None) -> Tensor:
    """Copy the tubes of a clip that are asked for.

    Args:
        video: (B, C, T, H, W), sides divisible by those of the tube.
        tube: its sides.
        positions: (B, M) tokens, counted by time, row and column; None: all, in that order.

    Returns:
        (B, M, C, t, p, q).
    """
    split = split_tubes(video, tube)
    if positions is None:
        return split.flatten(1, 3)
    _, _, rows, columns = split.shape[:4]
    clips = torch.arange(len(video), device=video.device)[:, None]
    # Indexed as a view: of a clip that is mostly hidden, little is copied.
    return split[
        clips, positions // (rows * columns), positions // columns % rows, positions % columns
    ]


def join_tubes(tubes: Tensor, grid: tuple[int, int, int]) -> Tensor:
    """(B, N, C, t, p, q) tubes of a whole ``grid`` -> (B, C, T, H, W), undoing the cut."""
    split = tubes.unflatten(1, grid).permute(0, 4, 1, 5, 2, 6, 3, 7)
    return split.flatten(6, 7).flatten(4, 5).flatten(2, 3)
