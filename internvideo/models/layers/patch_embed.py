"""Clips to patch tokens."""

import torch.nn.functional as F
from torch import Tensor, nn

from internvideo.ops.tubes import take_tubes


def embed_boxes(video: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Map non-overlapping boxes of a clip as a 3-D convolution whose stride is its kernel.

    Taken as one matrix product over unfolded boxes, which is the same sum and faster.

    Args:
        video: (B, C, T, H, W), sides divisible by those of the kernel.
        weight: (D, C, t, p, q).
        bias: (D,) or None.

    Returns:
        (B, T/t, H/p * W/q, D), rows before columns.
    """
    # The order inside a box is that of the flattened kernel: channel, frame, row, column.
    boxes = take_tubes(video, weight.shape[2:]).flatten(2)
    return F.linear(boxes, weight.flatten(1), bias).unflatten(
        1, (video.shape[2] // weight.shape[2], -1)
    )


class PatchEmbed3D(nn.Module):
    """Linear map of non-overlapping (tubelet, patch, patch) boxes.

    The parameters are those of a 3-D convolution (``proj.weight`` (D, C, tubelet, patch, patch),
    ``proj.bias``).
    """

    def __init__(
        self, patch_size: int, tubelet_size: int, in_channels: int, embed_dim: int
    ) -> None:
        super().__init__()
        self.kernel = (tubelet_size, patch_size, patch_size)
        # Never run as a convolution: it gives the published names and the published start.
        self.proj = nn.Conv3d(in_channels, embed_dim, self.kernel, stride=self.kernel)

    def forward(self, video: Tensor) -> Tensor:
        """(B, C, T, H, W) -> (B, T', H'*W', D), rows before columns."""
        return embed_boxes(video, self.proj.weight, self.proj.bias)

    def embed(self, tubes: Tensor) -> Tensor:
        """(B, M, C, tubelet, patch, patch) -> (B, M, D), the order inside that of the kernel."""
        return F.linear(tubes.flatten(2), self.proj.weight.flatten(1), self.proj.bias)
