"""Masks of a student's tokens, drawn on the device with a fixed number of visible ones.

A masker is called once per step and returns a (B, N) bool tensor over the patch tokens of the
clips, time-major, True = hidden.  The class token is not part of it.
"""

import torch
from torch import Tensor

from internvideo.registry import MODELS

Grid = tuple[int, int, int]


def visible_count(num_tokens: int, ratio: float) -> int:
    """Tokens left visible out of ``num_tokens``: ``N - int(N * ratio)``."""
    return num_tokens - int(num_tokens * ratio)


def check_ratio(ratio: float) -> float:
    """``ratio``, which must be a number in [0, 1), else ValueError."""
    if not isinstance(ratio, int | float) or not 0.0 <= ratio < 1.0:
        raise ValueError(f'mask ratio must be in [0, 1), got {ratio!r}')
    return ratio


def hide_all_but(visible: Tensor, num_tokens: int) -> Tensor:
    """(R, M) indices of visible tokens -> (R, ``num_tokens``) bool mask, True = hidden."""
    mask = torch.ones(len(visible), num_tokens, dtype=torch.bool, device=visible.device)
    return mask.scatter_(1, visible, False)


def visible_indices(mask: Tensor, num_visible: int) -> Tensor:
    """Positions of the ``num_visible`` False entries of each row of (B, N), ascending: (B, M)."""
    # A sort and not nonzero(), whose shape the host has to wait for.
    return torch.argsort(mask.to(torch.uint8), dim=1, stable=True)[:, :num_visible]


def draw_by_weight(weights: Tensor, count: int) -> Tensor:
    """Draw ``count`` entries of each row of (R, N) without replacement, weighted: (R, count).

    The top ``count`` of log-weight plus Gumbel noise follow the law of successive draws in
    proportion to the weights, and rows whose weights underflow to zero are no problem.
    """
    weights = weights.float()
    scores = weights.clamp_min(torch.finfo(weights.dtype).tiny).log()
    # Minus the logarithm of an exponential draw is Gumbel noise.
    scores = scores - torch.empty_like(scores).exponential_().log()
    return scores.topk(count, dim=1).indices


class Masker:
    """Base of the maskers."""

    needs_attention = False

    def __call__(
        self, attn: Tensor | None, batch_size: int, grid: Grid, device: torch.device | str
    ) -> Tensor:
        """Draw a mask.

        Args:
            attn: (B, N) attention of a teacher to the patch tokens, for maskers that need it.
            batch_size: number of clips B.
            grid: temporal positions, rows and columns; N is their product.
            device: where the mask is wanted.

        Returns:
            (B, N) bool, True = hidden; every row hides the same number.
        """
        raise NotImplementedError

    def num_visible(self, grid: Grid) -> int:
        """Visible patch tokens of a clip, under the last mask where masks differ in it."""
        raise NotImplementedError


class RatioMasker(Masker):
    """Base of the maskers that hide a fixed share of the tokens.

    Args:
        ratio: share of the tokens that are hidden.

    Raises:
        ValueError: ``ratio`` outside [0, 1).
    """

    def __init__(self, ratio: float = 0.8) -> None:
        self.ratio = check_ratio(ratio)


@MODELS.register_module()
class AttentionMask(RatioMasker):
    """Keeps what a teacher looks at (arXiv 2303.16058, section 3.2): weighted by its attention.

    Args:
        ratio: share of the tokens that are hidden.
        per: ``'frame'`` draws in each temporal position on its own (masked pretraining),
            ``'clip'`` over all tokens of a clip (distillation).
    """

    needs_attention = True

    def __init__(self, ratio: float = 0.8, per: str = 'frame') -> None:
        super().__init__(ratio)
        if per not in ('frame', 'clip'):
            raise ValueError(f"per must be 'frame' or 'clip', got {per!r}")
        self.per = per

    def __call__(
        self, attn: Tensor | None, batch_size: int, grid: Grid, device: torch.device | str
    ) -> Tensor:
        groups, size = self._groups(grid)
        if attn is None or tuple(attn.shape) != (batch_size, groups * size):
            got = None if attn is None else tuple(attn.shape)
            raise ValueError(
                f'AttentionMask needs teacher attention of shape {(batch_size, groups * size)} '
                f'for the patch grid {grid}, got {got}'
            )
        rows = attn.to(device).reshape(batch_size * groups, size)
        visible = draw_by_weight(rows, visible_count(size, self.ratio))
        return hide_all_but(visible, size).view(batch_size, groups * size)

    def num_visible(self, grid: Grid) -> int:
        groups, size = self._groups(grid)
        return groups * visible_count(size, self.ratio)

    def _groups(self, grid: Grid) -> tuple[int, int]:
        steps, patches = grid[0], grid[1] * grid[2]
        return (steps, patches) if self.per == 'frame' else (1, steps * patches)


class ScoredMask(RatioMasker):
    """Base of the maskers that draw a score for each place and leave the largest visible."""

    def __call__(
        self, attn: Tensor | None, batch_size: int, grid: Grid, device: torch.device | str
    ) -> Tensor:
        return self.hide(torch.rand(batch_size, self.num_scores(grid), device=device), grid)

    def num_scores(self, grid: Grid) -> int:
        """Places of a clip that are hidden or left visible on their own."""
        raise NotImplementedError

    def hide(self, scores: Tensor, grid: Grid) -> Tensor:
        """Mask (B, N) in which the largest of (B, ``num_scores``) different scores stay visible."""
        places = self.num_scores(grid)
        visible = scores.topk(visible_count(places, self.ratio)).indices
        # Where places are those of one frame, all time steps repeat them.
        return hide_all_but(visible, places).repeat(1, grid[0] * grid[1] * grid[2] // places)

    def num_visible(self, grid: Grid) -> int:
        places = self.num_scores(grid)
        return grid[0] * grid[1] * grid[2] // places * visible_count(places, self.ratio)


@MODELS.register_module()
class RandomMask(ScoredMask):
    """Hides tokens of the whole clip uniformly."""

    def num_scores(self, grid: Grid) -> int:
        return grid[0] * grid[1] * grid[2]


@MODELS.register_module()
class TubeMask(ScoredMask):
    """Hides the same patches in every temporal position (arXiv 2203.12602, section 3.3)."""

    def num_scores(self, grid: Grid) -> int:
        return grid[1] * grid[2]


@MODELS.register_module()
class ProgressiveMask(RatioMasker):
    """Hides more patches from one temporal position to the next, all within those hidden before.

    The patches that stay visible follow one order in all positions, drawn for each clip.  Their
    number goes along a line from ``1 - ratio`` of a frame to 5 %.

    Args:
        ratio: share hidden where the least is.
        centred: begin with 5 % and reach ``1 - ratio`` in the middle of the clip, then go back.
        counts: ``'corrected'``, or ``'published'`` for one visible patch fewer in every position,
            which the published code hides by mistake.

    Source: the ``t_progressive`` and ``t_center_prog`` masks of the published VideoMAE code.
    """

    def __init__(
        self, ratio: float = 0.9, centred: bool = False, counts: str = 'corrected'
    ) -> None:
        super().__init__(ratio)
        if counts not in ('corrected', 'published'):
            raise ValueError(f"counts must be 'corrected' or 'published', got {counts!r}")
        self.centred, self.counts = centred, counts

    def __call__(
        self, attn: Tensor | None, batch_size: int, grid: Grid, device: torch.device | str
    ) -> Tensor:
        order = torch.rand(batch_size, grid[1] * grid[2], device=device).argsort(dim=1)
        ranks = order.argsort(dim=1)
        kept = torch.tensor(self.visible_per_step(grid), device=device)
        return (ranks[:, None] >= kept[:, None]).flatten(1)

    def num_visible(self, grid: Grid) -> int:
        return sum(self.visible_per_step(grid))

    def visible_per_step(self, grid: Grid) -> list[int]:
        """Visible patches of each temporal position."""
        steps, patches = grid[0], grid[1] * grid[2]
        most, least = int((1 - self.ratio) * patches), int((1 - 0.95) * patches)
        if self.centred:
            falling = _line(most, least, (steps + 1) // 2)
            kept = falling[::-1] + falling[steps % 2 :]
        else:
            kept = _line(most, least, steps)
        fewer = 1 if self.counts == 'published' else 0
        return [max(0, count - fewer) for count in kept]


def _line(first: int, last: int, steps: int) -> list[int]:
    """Evenly spaced numbers from ``first`` to ``last``, rounded down."""
    # In integers: floating point would round some that are whole down by one.
    return [first + (last - first) * step // max(1, steps - 1) for step in range(steps)]
