"""Mixup (arXiv 1710.09412) and CutMix (arXiv 1905.04899) of a batch of clips on the device."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from internvideo.models.data_preprocessors import config_checks
from internvideo.models.losses.batch_targets import smooth_one_hot, stack_labels
from internvideo.registry import MODELS
from internvideo.structures import VideoDataSample

MODES = ('batch', 'pair', 'elem')

Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Mix:
    """Mixing of some rows of a batch with their partners (row i with row B-1-i).

    Attributes:
        rows: indices of the rows.
        lam: share of the row itself; 1 leaves it alone.
        box: (top, bottom, left, right) taken from the partner (CutMix), or None (mixup).
        target_lam: share of the row in the target.
    """

    rows: list[int]
    lam: float
    box: Box | None
    target_lam: float


def cut_box(lam: float, height: int, width: int, center: tuple[int, int]) -> Box:
    """(top, bottom, left, right) of a box of share ``1 - lam`` around (row, column), clipped."""
    side = np.sqrt(1.0 - lam)
    half_h, half_w = int(height * side) // 2, int(width * side) // 2
    # Cut at the borders, the box may be smaller than drawn: hence correct_lam.
    top, bottom = np.clip([center[0] - half_h, center[0] + half_h], 0, height).tolist()
    left, right = np.clip([center[1] - half_w, center[1] + half_w], 0, width).tolist()
    return top, bottom, left, right


def mix_groups(batch_size: int, mode: str) -> list[list[int]]:
    """The groups of rows that share one draw: all rows, pairs of partners, or single rows."""
    if mode == 'batch':
        return [list(range(batch_size))]
    if mode == 'pair':
        return [[i, batch_size - 1 - i] for i in range(batch_size // 2)]
    return [[i] for i in range(batch_size)]


def make_mix(
    rows: list[int],
    lam: float,
    center: tuple[int, int] | None,
    size: tuple[int, int],
    correct_lam: bool = True,
) -> Mix:
    """One group's mix: CutMix around ``center`` (row, column) of a picture of ``size``, or mixup.

    With ``correct_lam`` the target's share is recomputed from the clipped box.
    """
    if center is None or lam == 1.0:
        return Mix(rows, lam, None, lam)
    box = cut_box(lam, *size, center)
    share = 1.0 - (box[1] - box[0]) * (box[3] - box[2]) / (size[0] * size[1])
    return Mix(rows, lam, box, share if correct_lam else lam)


def apply_mixes(clips: Tensor, target: Tensor, mixes: Sequence[Mix]) -> tuple[Tensor, Tensor]:
    """Mix (B, ..., H, W) clips in place and return them with the mixed (B, K) targets."""
    # flip copies: rows that were mixed before must not be mixed into their partners.
    partner, share = clips.flip(0), target.new_ones(len(target), 1)
    for mix in mixes:
        # A slice of all rows makes no copies, which a list of indices does.
        rows = slice(None) if len(mix.rows) == len(clips) else mix.rows
        share[rows] = mix.target_lam
        if mix.box is not None:
            top, bottom, left, right = mix.box
            clips[rows, ..., top:bottom, left:right] = partner[rows, ..., top:bottom, left:right]
        elif mix.lam < 1.0:
            clips[rows] = torch.lerp(partner[rows], clips[rows], mix.lam)
    return clips, target * share + target.flip(0) * (1.0 - share)


@MODELS.register_module()
class MixupCutmix:
    """Mixes each clip with the clip at the mirrored place in the batch and softens the targets.

    Args:
        num_classes: number of classes K; None takes it from the model's head.
        mixup_alpha, cutmix_alpha: Beta parameters of the share; 0 switches that kind off.
        prob: probability that a group is mixed.
        switch_prob: probability of CutMix where both kinds are on.
        mode: ``'batch'`` draws once a batch, ``'pair'`` once a pair, ``'elem'`` once a clip.
        smoothing: label smoothing of the targets, mixed or not.
        correct_lam: recompute the share from the clipped box.

    Raises:
        ValueError: unknown ``mode``, or both alphas 0.
    """

    # What the class tells a rehearsal, see docs/rehearsal.md.
    check_config = staticmethod(config_checks.mixing)

    def __init__(
        self,
        num_classes: int | None = None,
        mixup_alpha: float = 0.8,
        cutmix_alpha: float = 1.0,
        prob: float = 1.0,
        switch_prob: float = 0.5,
        mode: str = 'batch',
        smoothing: float = 0.1,
        correct_lam: bool = True,
    ) -> None:
        if mode not in MODES:
            raise ValueError(f'mode must be one of {", ".join(MODES)}, got {mode!r}')
        if mixup_alpha <= 0 and cutmix_alpha <= 0:
            raise ValueError('mixup_alpha and cutmix_alpha are both 0: nothing would be mixed')
        self.num_classes = num_classes
        self.mixup_alpha = mixup_alpha
        self.cutmix_alpha = cutmix_alpha
        self.prob = prob
        self.switch_prob = switch_prob
        self.mode = mode
        self.smoothing = smoothing
        self.correct_lam = correct_lam

    def draw(self, batch_size: int, size: tuple[int, int], rng: Any = np.random) -> list[Mix]:
        """Draw one mix per group for a batch of pictures (height, width) ``size``.

        ``rng`` is NumPy's global generator or anything with ``random``, ``beta`` and ``randint``.
        """
        return [self._draw_group(rows, size, rng) for rows in mix_groups(batch_size, self.mode)]

    def _draw_group(self, rows: list[int], size: tuple[int, int], rng: Any) -> Mix:
        if rng.random() >= self.prob:
            return Mix(rows, 1.0, None, 1.0)
        cuts = self.cutmix_alpha > 0
        if cuts and self.mixup_alpha > 0:
            cuts = rng.random() < self.switch_prob
        alpha = self.cutmix_alpha if cuts else self.mixup_alpha
        lam = float(rng.beta(alpha, alpha))
        center = (int(rng.randint(size[0])), int(rng.randint(size[1]))) if cuts else None
        return make_mix(rows, lam, center, size, self.correct_lam)

    def __call__(self, inputs: Tensor, data_samples: Sequence[VideoDataSample]) -> Tensor:
        """Mix (B, V, C, T, H, W) clips in place and set ``gt_score`` of every data sample.

        Raises ValueError for an odd batch or a label out of range.
        """
        if len(inputs) % 2:
            raise ValueError(f'MixupCutmix needs an even batch, got {len(inputs)} clips')
        labels = stack_labels(data_samples, self.num_classes, inputs.device)
        target = smooth_one_hot(labels, self.num_classes, self.smoothing)
        mixes = self.draw(len(inputs), tuple(inputs.shape[-2:]))
        inputs, target = apply_mixes(inputs, target, mixes)
        for sample, score in zip(data_samples, target, strict=True):
            sample.set_gt_score(score)
        return inputs
