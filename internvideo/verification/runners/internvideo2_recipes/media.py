"""Runners of the mixture of corpora and of the filter bank of audio."""

import random

import numpy as np
import torch

from internvideo.datasets.media.audio import mono_excerpt
from internvideo.datasets.mixture_policies import WeightedRows
from internvideo.datasets.samplers.media_batch_sampler import (
    chunk_order,
    group_order,
    numbered_batches,
)
from internvideo.ops.filter_bank import log_mel_filter_bank
from internvideo.verification.cases import Case, RunEnv
from internvideo.verification.runner_registry import Result, parity_runner
from internvideo.verification.runners.internvideo2_recipes.data import Replay


def _resampled(combo: dict) -> np.ndarray:
    rows = WeightedRows(combo['lengths'], combo.get('weights'))
    places = [rows.locate(place)[:2] for place in range(len(rows))]
    return np.array(places, np.int64).reshape(-1, 2)


def _sampled(combo: dict) -> torch.Tensor:
    seed = combo.get('seed', 0) + combo.get('epoch', 0)
    rows = chunk_order(combo['length'], combo.get('rank', 0), combo.get('ranks', 1), seed)
    return rows[combo.get('start_iter', 0) * combo.get('batch', 1) :]


def _order(combo: dict) -> list[int]:
    return group_order(list(combo['batches'].values()), random.Random(combo.get('seed')))


@parity_runner('internvideo2_recipes/data_mixing')
def run_data_mixing(case: Case, env: RunEnv) -> Result:
    outputs = {}
    for number, combo in enumerate(case.facts.get('resample', ())):
        outputs[f'resample{number}'] = _resampled(combo)
    for number, combo in enumerate(case.facts.get('sampler', ())):
        outputs[f'sampler{number}'] = _sampled(combo)
    for number, combo in enumerate(case.facts.get('meta', ())):
        # An order that comes without a seed can only be taken as it is.
        order = _order(combo) if 'seed' in combo or 'order' not in combo else combo['order']
        outputs[f'order{number}'] = np.array(order, np.int64)
        batches = list(numbered_batches(combo.get('order', order), combo.get('skip', 0)))
        outputs[f'meta{number}'] = np.array(batches, np.int64).reshape(-1, 2)
    return Result(outputs)


@parity_runner('internvideo2_recipes/audio_fbank')
def run_filter_bank(case: Case, env: RunEnv) -> Result:
    outputs = {}
    for number, combo in enumerate(case.facts['combos']):
        wave = (2 * env.tensor(case.role(f'wave{number}')) - 1) * combo.get('gain', 1.0)
        combo.require(shape=list(wave.shape))
        combo.ignore('seed')  # the draws are listed
        # Where the published reader draws nothing (one channel), it takes the first part.
        draws = combo.get('draws', [])
        wave = mono_excerpt(
            *(wave, combo.get('max_length', 0), Replay(draws)), crop_mono=bool(draws)
        )
        outputs[f'fbank{number}'] = log_mel_filter_bank(wave, combo.get('num_mel_bins', 64))
    return Result(outputs)
