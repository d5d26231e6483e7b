"""Data, schedules and block masks of both stages."""

import numpy as np
import torch
from torch import Tensor

from internvideo.datasets.transforms import frame_sampling, geometry
from internvideo.engine.schedulers.step_schedules import (
    Horizon,
    warmup_cosine_value,
    warmup_length,
)
from internvideo.models.masks.block_masks import BlockMask, block_size
from internvideo.verification.cases import Case, CaseError, RunEnv
from internvideo.verification.facts import Facts
from internvideo.verification.runner_registry import Result, parity_runner

Grid = tuple[int, int, int]


@parity_runner('internvideo_next/cosine_schedule')
def run_schedule(case: Case, env: RunEnv) -> Result:
    """Values of each step."""
    outputs = {}
    for facts in case.facts['cases']:
        facts.ignore('name')  # a part of that of the output
        horizon, epochs = Horizon(facts['steps_per_epoch'], facts['epochs']), facts['warmup_epochs']
        # Published: a number of steps counts where there are epochs of warm-up alone.
        warmup = warmup_length(horizon, epochs, facts['warmup_steps'] * bool(epochs))
        ends = facts['base'], facts['final'], facts['start']
        values = [
            warmup_cosine_value(i, *ends, warmup, horizon.steps) for i in range(horizon.steps)
        ]
        outputs[facts['output']] = np.array(values)
    return Result(outputs)


@parity_runner('internvideo_next/frame_sampling')
def run_sampling(case: Case, env: RunEnv) -> Result:
    """Frames of the segments of a clip, and the published ones, which are one earlier."""
    outputs = {}
    for facts in case.facts['cases']:
        facts.ignore('name')  # a part of those of the outputs
        times = facts['total_time'], facts['start'], facts['end']
        first, length = 0, facts['frames']
        if None not in times:
            facts.require(span=list(times))
            first, length = frame_sampling.interval_window(length, *times)
        elif times != (None, None, None):
            raise CaseError(f'a span with open ends: {times}')
        draws, count = np.array(facts['draws']), facts['segments']
        for kind, offset in (('offset', 1), ('original', 0)):
            if kind not in facts['outputs']:
                continue
            start = first + offset
            outputs[facts['outputs'][kind]] = frame_sampling.pretrain(
                length, count, count, 1, lambda high, size, draws=draws: draws, first=start
            )
    return Result(outputs)


@parity_runner('internvideo_next/multiscale_crop')
def run_crops(case: Case, env: RunEnv) -> Result:
    """Sizes of the crop and its thirteen places."""
    outputs = {}
    for facts in case.facts['cases']:
        facts.ignore('name')  # a part of those of the outputs
        size, names = (facts['w'], facts['h']), facts['outputs']
        pairs = geometry.multi_scale_sizes(
            *size, facts['target'], facts['scales'], facts['max_index_difference']
        )
        outputs[names['pairs']] = np.array(pairs)
        for index in facts['pair_index']:
            places = geometry.fixed_offsets(*size, *pairs[index])
            outputs[names['offsets'][str(index)]] = np.array(places)
    return Result(outputs)


class GivenBlocks(BlockMask):
    """Answers each draw with what a case lists: shares, then top, left and start of each block."""

    def __init__(self, shares: list[float], positions: list, **fields) -> None:
        super().__init__(**fields)
        self.shares = shares
        self.positions = [value for clip in positions for block in clip for value in block]

    def draw_shares(self, seed: int) -> list[float]:
        return self.shares

    def draw_offset(self, choices: int) -> int:
        if not self.positions:
            raise CaseError('a position more is drawn than the case lists')
        value = self.positions.pop(0)
        if not 0 <= value < choices:
            raise CaseError(f'position {value} lies outside [0, {choices})')
        return value


def block_fields(facts: Facts) -> dict:
    """Fields of the masker that a case states."""
    names = ('num_blocks', 'spatial_scale', 'aspect_ratio', 'temporal_scale')
    names = (*names, 'max_temporal_keep', 'max_keep')
    return {name: facts[name] for name in names if name in facts}


def block_grid(facts: Facts, frames: int) -> Grid:
    side = facts['crop'] // facts['patch']
    return frames // facts['tubelet'], side, side


@parity_runner('internvideo_next/jepa_mask_explicit')
def run_given_blocks(case: Case, env: RunEnv) -> Result:
    """Masks of listed draws."""
    outputs = {}
    for facts in case.facts['cases']:
        facts.ignore('name')  # a part of those of the outputs
        grid, names = block_grid(facts, facts['frames']), facts['outputs']
        redraws, positions = facts['redraws'], facts['positions']
        drawn = [len(blocks) for blocks in positions]
        if drawn != [facts['num_blocks'] * (1 + again) for again in redraws]:
            raise CaseError(f'{drawn} positions do not go with {redraws} redraws')
        masker = GivenBlocks(list(facts['u']), positions, **block_fields(facts))
        mask = masker(None, facts['batch'], grid, env.device)
        if masker.positions:
            raise CaseError(f'{len(masker.positions)} listed positions are not drawn')
        scales = facts['temporal_scale'], facts['spatial_scale'], facts['aspect_ratio']
        outputs[names['mask']] = mask.to(torch.uint8)
        outputs[names['size']] = np.array(block_size(grid, facts['u'], *scales))
        outputs[names['keep']] = np.array([masker.num_visible(grid)])
    return Result(outputs)


@parity_runner('internvideo_next/jepa_mask_torch')
def run_drawn_blocks(case: Case, env: RunEnv) -> Result:
    """Masks that a seed gives, as counts per frame and a sum over the visible places."""
    outputs, common = {}, case.facts['common']
    for facts in case.facts['cases']:
        fields = [
            block_fields(common) | block_fields(one) | dict(max_keep=facts['max_keep'])
            for one in case.facts['generators']
        ]
        maskers = [BlockMask(**one) for one in fields]
        grid = block_grid(common, facts['frames'])
        torch.manual_seed(facts['seed'])
        for call, (index, batch) in enumerate(facts['calls']):
            visible = ~maskers[index](None, batch, grid, 'cpu')
            counts, check = visible.unflatten(1, (grid[0], -1)).sum(-1), _check_sum(visible)
            outputs[f'{facts["name"]}_call{call}'] = counts
            outputs[f'{facts["name"]}_check{call}'] = check
    return Result(outputs)


def _check_sum(visible: Tensor) -> Tensor:
    return (torch.arange(visible.shape[1]).square() * visible).sum(dim=1)
