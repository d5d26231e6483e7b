"""The filter bank that audio encoders read, made by data sets and by models alike."""

import torch
from torch import Tensor

SAMPLE_RATE = 16_000
WINDOW, HOP = 400, 160
"""Samples: 25 and 10 ms."""
FBANK_MEAN, FBANK_STD = 15.41663, 6.55582


def log_mel_filter_bank(wave: Tensor, num_mel_bins: int = 128, normalise: bool = True) -> Tensor:
    """Kaldi's log-mel filter bank, without dither: (samples,) or (B, samples) -> (..., T, mels).

    Args:
        wave: mono samples in [-1, 1] at 16 kHz; at least 400 (25 ms).
        num_mel_bins: 128 for BEATs as published, 64 for the audio-visual stage-2 model.
        normalise: subtract and divide by the published statistics.

    Raises:
        ValueError: fewer samples than one window.
        ImportError: torchaudio is not installed.
    """
    # Imported here: only models with audio need it.
    from torchaudio.compliance import kaldi

    if kaldi.EPSILON.is_meta:  # its first import was amid a model built on the meta device
        kaldi.EPSILON = torch.tensor(torch.finfo(torch.float32).eps, device='cpu')
    if wave.shape[-1] < WINDOW:
        raise ValueError(f'{wave.shape[-1]} samples are less than a window of {WINDOW} (25 ms)')
    # torchaudio computes one recording per call.
    rows = [
        kaldi.fbank(
            row[None].float() * 2**15,  # Kaldi reads 16-bit integers; the statistics are of those
            num_mel_bins=num_mel_bins,
            sample_frequency=SAMPLE_RATE,
            frame_length=25,
            frame_shift=10,
            dither=0.0,  # noise, drawn from the global generator
        )
        for row in wave.reshape(-1, wave.shape[-1])
    ]
    bank = torch.stack(rows).view(*wave.shape[:-1], *rows[0].shape)
    # Twice the deviation, as BEATs was trained.
    return (bank - FBANK_MEAN) / (2 * FBANK_STD) if normalise else bank


def num_filter_frames(samples: int) -> int:
    """Number of frames of the filter bank of so many samples, 998 for ten seconds."""
    # Windows that reach beyond the end are left out (snip_edges in Kaldi).
    return max(0, 1 + (samples - WINDOW) // HOP)
