"""Runners of the BEATs audio encoder and its filter bank."""

import inspect
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from internvideo.models.audio.beats import BEATs, relative_buckets
from internvideo.ops.filter_bank import (
    FBANK_MEAN,
    FBANK_STD,
    SAMPLE_RATE,
    log_mel_filter_bank,
)
from internvideo.verification.cases import Case, RunEnv
from internvideo.verification.runner_registry import Result, parity_runner

from .common import check_returned, check_ties, load_filled, loss_outputs, role_or_none

BEATS_FIELDS = frozenset(inspect.signature(BEATs).parameters) - {'init_cfg', 'num_mel_bins'}


KALDI_FACTS = dict(
    frame_length_ms=25,
    frame_shift_ms=10,
    dither=0,
    window='povey',
    preemphasis=0.97,
    snip_edges=True,
    low_freq=20,
    high_freq='nyquist',
    remove_dc=True,
    fft=512,
    power=True,
    log=True,
)


def build_beats(facts: dict[str, Any]) -> nn.Module:
    return BEATs(**{name: facts[name] for name in BEATS_FIELDS if name in facts})


def same_name(published: str) -> str:
    return published


@parity_runner('internvideo2_multi/beats_buckets')
def run_buckets(case: Case, env: RunEnv) -> Result:
    facts = case.facts
    distance = torch.arange(-facts['max_offset'], facts['max_offset'] + 1)
    return Result(
        dict(bucket=relative_buckets(distance, facts['num_buckets'], facts['max_distance']))
    )


def case_wave(case: Case, env: RunEnv) -> Tensor:
    """Waveform of a case in float32: scaled noise, or a sum of tones."""
    facts = case.facts
    facts.ignore('signal')  # says in words what tones says in numbers
    amplitude = facts.get('amplitude')
    if not facts.get('tones'):
        wave = torch.as_tensor(case.role('wave'), device=env.device)
        facts.require(samples=wave.shape[-1])
        return wave * (1.0 if amplitude is None else amplitude)
    time = np.arange(facts['samples'], dtype=np.float64) / facts['sample_rate']
    tones = [
        tone['amplitude']
        * np.sin(2 * np.pi * (tone['frequency'] * time + tone.get('sweep', 0) * time**2))
        for tone in facts['tones']
    ]
    return torch.as_tensor(sum(tones).astype(np.float32), device=env.device)


@parity_runner('internvideo2_multi/beats_fbank')
def run_filter_bank(case: Case, env: RunEnv) -> Result:
    case.facts.require(sample_rate=SAMPLE_RATE, mean=FBANK_MEAN, std=FBANK_STD, **KALDI_FACTS)
    wave, mels = case_wave(case, env), case.facts['n_mel']
    outputs = dict(
        fbank=log_mel_filter_bank(wave, mels),
        fbank_raw=log_mel_filter_bank(wave, mels, normalise=False),
    )
    check_returned(case, outputs)
    return Result(outputs)


@parity_runner('internvideo2_multi/beats_encoder')
def run_encoder(case: Case, env: RunEnv) -> Result:
    model = load_filled(build_beats(case.facts), case, env, same_name)
    tokens = model(env.tensor(case.role('fbank')))
    outputs = dict(tokens=tokens)
    check_ties(model, case, same_name)
    return Result(outputs | loss_outputs(model, case, env, same_name, outputs))


@parity_runner('internvideo2_multi/beats_wave')
def run_wave(case: Case, env: RunEnv) -> Result:
    facts, wave = case.facts, case_wave(case, env)
    model = load_filled(build_beats(facts), case, env, same_name)
    starts, padding = role_or_none(case, env, 'pad_from'), None
    if starts is not None:
        padding = torch.arange(wave.shape[1], device=wave.device) >= starts[:, None]
    bank = log_mel_filter_bank(wave, facts['n_mel'])
    hidden = model.token_padding(bank, padding)
    tokens = model.encode(bank.to(env.torch_dtype), hidden)
    out = model.classify(tokens, hidden) if model.predictor is not None else tokens
    outputs = dict(out=out) if hidden is None else dict(out=out, token_padding=hidden)
    check_ties(model, case, same_name)
    return Result(outputs | loss_outputs(model, case, env, same_name, outputs))
