"""The features that alignment losses compare."""

from typing import NamedTuple

from torch import Tensor


class AlignedFeatures(NamedTuple):
    """Features to be compared between student and teachers, with lists over the aligned layers.

    Attributes:
        clip_middle: each (B, M, D), class token first.
        clip_final: (B, D'), or None when it is not compared.
        mae: each (B, M - 1, D''), patch tokens only; empty without this branch.
    """

    clip_middle: list[Tensor]
    clip_final: Tensor | None
    mae: list[Tensor]

    def branches(self) -> dict[str, list[Tensor]]:
        """Map from branch name to its layers, empty for a branch that is absent."""
        final = [] if self.clip_final is None else [self.clip_final]
        return dict(clip_middle=self.clip_middle, clip_final=final, mae=self.mae)
