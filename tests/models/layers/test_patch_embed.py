"""Patch embedding is a strided 3-D convolution."""

import pytest
import torch

from internvideo.models.layers.patch_embed import PatchEmbed3D


@pytest.mark.parametrize('tubelet', [1, 2])
def test_equals_the_convolution(tubelet):
    embed, video = PatchEmbed3D(7, tubelet, 3, 10), torch.randn(2, 3, 4, 14, 21)
    expected = embed.proj(video).flatten(3).permute(0, 2, 3, 1)
    torch.testing.assert_close(embed(video), expected)
