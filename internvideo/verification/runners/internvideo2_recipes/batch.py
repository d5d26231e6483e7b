"""Runners of batch mixing and of the random mask generators."""

import numpy as np
import torch
from torch import Tensor

from internvideo.models.data_preprocessors.mixup_cutmix import (
    Mix,
    apply_mixes,
    make_mix,
    mix_groups,
)
from internvideo.models.losses.batch_targets import smooth_one_hot
from internvideo.models.losses.classification import soft_target_cross_entropy
from internvideo.models.masks.token_masks import RandomMask, ScoredMask, TubeMask
from internvideo.verification.cases import Case, RunEnv
from internvideo.verification.runner_registry import Result, parity_runner


def _listed(value: object, count: int) -> list:
    return list(value) if isinstance(value, list) else [value] * count


def _given_mixes(combo: dict) -> list[Mix]:
    """The mixes of a combination whose shares, kinds and box centres are given."""
    batch, size = combo['shape'][0], tuple(combo['shape'][-2:])
    groups = mix_groups(batch, combo.get('mode', 'batch'))
    centers = iter(combo.get('centers', ()))
    mixes = []
    lams = _listed(combo['lam'], len(groups))
    cuts = _listed(combo.get('cutmix', False), len(groups))
    for rows, lam, cut in zip(groups, lams, cuts, strict=True):
        center = tuple(next(centers)) if cut and lam != 1.0 else None
        mixes.append(make_mix(rows, lam, center, size, combo.get('correct_lam', True)))
    return mixes


@parity_runner('internvideo2_recipes/mixup')
def run_mixup(case: Case, env: RunEnv) -> Result:
    outputs = {}
    for index, combo in enumerate(case.facts['combos']):
        labels = env.tensor(case.role(f'y{index}'))
        target = smooth_one_hot(labels, combo['classes'], combo.get('smoothing', 0.0))
        clips = env.tensor(case.role(f'x{index}').copy())
        clips, target = apply_mixes(clips, target, _given_mixes(combo))
        loss = soft_target_cross_entropy(env.tensor(case.role(f'logits{index}')), target)
        outputs |= {f'x{index}': clips, f'target{index}': target, f'loss{index}': loss}
    return Result(outputs)


MASKERS: dict[str, type[ScoredMask]] = dict(random=RandomMask, tube=TubeMask)


def shuffled_mask(
    kind: str, window: list[int], ratio: float, rng: np.random.RandomState
) -> tuple[Tensor, Tensor]:
    """Return the mask of one clip whose places NumPy shuffles, as the published loaders do.

    Also the order: place i holds what was at ``order[i]`` of a row that ends with the hidden ones.
    """
    masker, grid = MASKERS[kind](ratio), tuple(window)
    order = np.arange(masker.num_scores(grid))
    rng.shuffle(order)
    order = torch.as_tensor(order)
    return masker.hide(-order[None], grid)[0], order


@parity_runner('internvideo2_recipes/masks')
def run_masks(case: Case, env: RunEnv) -> Result:
    outputs = {}
    for index, combo in enumerate(case.facts['combos']):
        rng = np.random.RandomState(combo['seed'])
        drawn = shuffled_mask(combo['type'], combo['window'], combo['ratio'], rng)
        outputs |= dict(zip((f'mask{index}', f'perm{index}'), drawn, strict=True))
    return Result(outputs)
