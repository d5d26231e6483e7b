"""Clips beside what a masked autoencoder makes of their hidden parts."""

from typing import NamedTuple

from torch import Tensor


class Reconstruction(NamedTuple):
    """B clips and their reconstructions, in pixels of 0 to 1.

    Attributes:
        pixels: (B, C, T, H, W), the input.
        reconstructed: (B, C, T, H, W), the prediction where the input was hidden, else the input.
        hidden: (B, T, H, W) bool.
        losses: (B,) mean squared error of each clip, as in training.
        has_own_statistics: the prediction was of normalised patches, and each is given the mean
            and contrast of the very patch.
    """

    pixels: Tensor
    reconstructed: Tensor
    hidden: Tensor
    losses: Tensor
    has_own_statistics: bool
