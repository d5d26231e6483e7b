"""Clips to patch tokens."""

import torch.nn.functional as F
from torch import Tensor, nn


class PatchEmbed3D(nn.Module):
    """Linear map of non-overlapping (tubelet, patch, patch) boxes.

    The parameters are those of a 3-D convolution (``proj.weight`` (D, C, tubelet, patch, patch),
    ``proj.bias``); the product is taken as one matrix product over unfolded boxes, which is the
    same sum and faster than a convolution whose kernel equals its stride.
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
        batch, channels, frames, height, width = video.shape
        t, p, q = self.kernel
        boxes = video.reshape(batch, channels, frames // t, t, height // p, p, width // q, q)
        # The order inside a box is that of the flattened kernel: channel, frame, row, column.
        boxes = boxes.permute(0, 2, 4, 6, 1, 3, 5, 7).flatten(4).flatten(2, 3)
        return F.linear(boxes, self.proj.weight.flatten(1), self.proj.bias)
