"""Targets from an image teacher that sees the frames of a clip one by one."""

from dataclasses import dataclass

from torch import Tensor

from internvideo.ops.features import normalise
from internvideo.ops.tokens import take_tokens
from internvideo.structures.aligned_features import AlignedFeatures


@dataclass
class FrameTargets:
    """Raw features of the T frames of B clips in order, without class token.

    Attributes:
        batch_size: number of clips B.
        middle: one (B*T, L, D) per aligned layer.
        final: (B*T, D') pooled vectors, or None.
        attn: (B*T, L) attention of the teacher's pooler, or None.
    """

    batch_size: int
    middle: list[Tensor]
    final: Tensor | None = None
    attn: Tensor | None = None

    def clip_attn(self) -> Tensor | None:
        """(B, T*L) attention, as maskers take it."""
        return None if self.attn is None else self._by_clip(self.attn).flatten(1)

    def pick(self, visible: Tensor, norm: str = 'l2') -> AlignedFeatures:
        """Features at the ``visible`` (B, M) places of the clips, normalised.

        The pooled vector of a clip is the mean over its frames of the normalised vectors; it is
        not normalised again (arXiv 2512.01342, first stage).
        """
        clips = [self._by_clip(layer).flatten(1, 2) for layer in self.middle]
        middle = [normalise(take_tokens(layer, visible), norm) for layer in clips]
        final = None
        if self.final is not None:
            # A copy: what comes out of inference mode may not be kept for the backward pass.
            final = self._by_clip(normalise(self.final.clone(), norm)).mean(dim=1)
        return AlignedFeatures(middle, final, [])

    def _by_clip(self, frames: Tensor) -> Tensor:
        return frames.unflatten(0, (self.batch_size, -1))
