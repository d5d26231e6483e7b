"""Multi-block masks of a space-time grid: what lies in a few large boxes is to be predicted.

Source: V-JEPA (arXiv 2404.08471, section 3.1) as InternVideo-Next (arXiv 2512.01342) uses it in its
second stage.  Positions are drawn on the CPU, one number at a time, in the published order, so
that a seed gives the published masks.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from internvideo.registry import MODELS

from .token_masks import Grid, Masker

Range = tuple[float, float]
CUTS = ('first', 'random')
MAX_REDRAWS = 10_000


def block_size(
    grid: Grid,
    shares: Sequence[float],
    temporal_scale: Range,
    spatial_scale: Range,
    aspect_ratio: Range,
) -> Grid:
    """Time steps, rows and columns of a block.

    Args:
        grid: time steps, rows and columns of the clip.
        shares: where in their ranges, 0 to 1, the temporal scale, the spatial scale and the aspect
            ratio (rows over columns) lie.
        temporal_scale: share of the time steps.
        spatial_scale: share of the rows x columns.
        aspect_ratio: range of the aspect ratio.
    """
    steps, rows, columns = grid
    length, area, aspect = (
        low + share * (high - low)
        for share, (low, high) in zip(
            shares, (temporal_scale, spatial_scale, aspect_ratio), strict=True
        )
    )
    # Cut here and rounded below, as published: otherwise a seed gives other masks.
    patches = int(rows * columns * area)
    height, width = round(math.sqrt(patches * aspect)), round(math.sqrt(patches / aspect))
    return max(1, int(steps * length)), min(rows, height), min(columns, width)


def cut_context(hidden: Tensor, count: int, cut: str = 'first') -> Tensor:
    """Hide visible tokens until each row of (B, N) ``hidden`` shows ``count``.

    ``'first'`` keeps the first in raster order (time, row, column), as published, which costs late
    frames more than early ones; ``'random'`` draws from torch's global generator which to keep.
    """
    if cut == 'first':
        return hidden | ((~hidden).cumsum(dim=1) > count)
    scores = torch.rand(hidden.shape, device=hidden.device).masked_fill(hidden, -1.0)
    return torch.ones_like(hidden).scatter_(1, scores.topk(count, dim=1).indices, False)


@MODELS.register_module()
class BlockMask(Masker):
    """Hides a union of blocks of one size at random places.

    The size is the same for the whole batch and in every process: it comes from a private
    generator seeded with :attr:`calls`, the number of masks drawn before.  The published loader
    starts to count again with every epoch (:meth:`restart`); a resumed run has to set ``calls``.
    The places come from torch's global generator.  A clip of which nothing is left visible is
    drawn again; then all clips of the batch are cut to the shortest context.

    Args:
        num_blocks: blocks of a clip.
        spatial_scale: least and largest share of a frame that a block covers.
        aspect_ratio: least and largest ratio of its rows to its columns.
        temporal_scale: least and largest share of the time steps that it lasts.
        max_temporal_keep: time steps from this share of the clip on are always hidden.
        max_keep: at most so many tokens stay visible; None means no limit.
        cut: how contexts are shortened, see :func:`cut_context`.

    Raises:
        ValueError: a count below 1, a share outside [0, 1], an aspect ratio that is not positive,
            an unknown ``cut``; while drawing, blocks that leave nothing visible.
    """

    def __init__(
        self,
        num_blocks: int,
        spatial_scale: Range,
        aspect_ratio: Range = (0.75, 1.5),
        temporal_scale: Range = (1.0, 1.0),
        max_temporal_keep: float = 1.0,
        max_keep: int | None = None,
        cut: str = 'first',
    ) -> None:
        if num_blocks < 1 or (max_keep is not None and max_keep < 1):
            raise ValueError(
                f'num_blocks={num_blocks} and max_keep={max_keep} must be positive (max_keep=None: '
                'no limit)'
            )
        shares = (*spatial_scale, *temporal_scale, max_temporal_keep)
        if not all(0 <= share <= 1 for share in shares) or min(aspect_ratio) <= 0:
            raise ValueError(
                'spatial_scale, temporal_scale and max_temporal_keep must lie in [0, 1] and '
                f'aspect_ratio above 0, got {spatial_scale}, {temporal_scale}, {max_temporal_keep} '
                f'and {aspect_ratio}'
            )
        if cut not in CUTS:
            raise ValueError(f'cut must be one of {", ".join(CUTS)}, got {cut!r}')
        self.num_blocks, self.cut = num_blocks, cut
        self.spatial_scale, self.aspect_ratio = spatial_scale, aspect_ratio
        self.temporal_scale = temporal_scale
        self.max_temporal_keep, self.max_keep = max_temporal_keep, max_keep
        self.calls = 0
        self._visible: int | None = None

    def restart(self) -> None:
        """Begin the sequence of block sizes again."""
        self.calls = 0

    def __call__(
        self, attn: Tensor | None, batch_size: int, grid: Grid, device: torch.device | str
    ) -> Tensor:
        size = self.next_size(grid)
        hidden = torch.stack([self._draw_clip(grid, size) for _ in range(batch_size)])
        shortest = int((~hidden).sum(dim=1).min())
        # Kept as a number, so that the encoder need not count on the device.
        self._visible = min(shortest, self.max_keep or shortest)
        return cut_context(hidden, self._visible, self.cut).to(device, non_blocking=True)

    def num_visible(self, grid: Grid) -> int:
        if self._visible is None:
            raise RuntimeError('BlockMask knows its visible tokens once a mask was drawn')
        return self._visible

    def next_size(self, grid: Grid) -> Grid:
        """Draw the size of the blocks of the next mask and count the call."""
        shares = self.draw_shares(self.calls)
        self.calls += 1
        return block_size(grid, shares, self.temporal_scale, self.spatial_scale, self.aspect_ratio)

    def draw_shares(self, seed: int) -> list[float]:
        """Three numbers in [0, 1): for the temporal scale, the spatial scale, the aspect ratio."""
        # All processes hide as many tokens, so that none waits for another in the backward pass.
        private = torch.Generator(device='cpu').manual_seed(seed)
        return [torch.rand(1, generator=private, device='cpu').item() for _ in range(3)]

    def draw_offset(self, choices: int) -> int:
        """A place in ``[0, choices)``, from torch's global generator."""
        return int(torch.randint(choices, (1,), device='cpu'))

    def _draw_clip(self, grid: Grid, size: Grid) -> Tensor:
        """(N,) mask that leaves something visible."""
        for _ in range(MAX_REDRAWS):
            hidden = self._draw_blocks(grid, size)
            if not hidden.all():
                return hidden.flatten()
        raise ValueError(
            f'{self.num_blocks} blocks of {size} (time steps, rows, columns) left nothing visible '
            f'of the grid {grid} in {MAX_REDRAWS} draws: lower num_blocks, spatial_scale or '
            'temporal_scale'
        )

    def _draw_blocks(self, grid: Grid, size: Grid) -> Tensor:
        (steps, rows, columns), (length, height, width) = grid, size
        hidden = torch.zeros(grid, dtype=torch.bool, device='cpu')
        # On the CPU: so many small draws would each launch a kernel on a GPU.
        hidden[max(1, int(steps * self.max_temporal_keep)) :] = True
        for _ in range(self.num_blocks):
            top = self.draw_offset(rows - height + 1)
            left = self.draw_offset(columns - width + 1)
            start = self.draw_offset(steps - length + 1)
            hidden[start : start + length, top : top + height, left : left + width] = True
        return hidden


def next_block_masks(num_frames: int, cut: str = 'first') -> tuple[BlockMask, BlockMask]:
    """The two masks of a step of InternVideo-Next's second stage, for tubelets of one frame.

    Eight blocks of 15 % of a frame, and two of 70 %; both last the whole clip, and of 32 frames at
    most 1600 tokens stay visible.
    """
    limit = int(400 * num_frames / 8)
    small = BlockMask(8, (0.15, 0.15), max_keep=limit, cut=cut)
    return small, BlockMask(2, (0.7, 0.7), max_keep=limit, cut=cut)
