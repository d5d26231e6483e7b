"""A pretraining step of VideoMAE at 90 % masking beside transformers' model of the same weights.

    python benchmarks/videomae.py                       # ViT-S, 16 x 224 px, a batch of 2
    python benchmarks/videomae.py --model B --rounds 3 --skip-memory

CPU time of one thread, forward and backward of the normalised pixel loss; the two take turns
within a round and medians are compared.  Memory is the peak of a fresh process over what it holds
before its first step: activations, temporary values and gradients, whose share is told.  Losses
must agree to 1e-5.  UniFormerV2's rows follow where their script is beside this one.
"""

import os

# Before torch is imported: idle OpenMP threads that spin would be counted as work.
os.environ['OMP_WAIT_POLICY'] = 'PASSIVE'
os.environ['OMP_NUM_THREADS'] = '1'

import argparse
import ctypes
import gc
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from internvideo.registry import MODELS

SIZES = dict(  # encoder and decoder: width, depth, heads
    S=((384, 12, 6), (192, 4, 3)),
    B=((768, 12, 12), (384, 4, 6)),
)
FRAMES, SIDE, PATCH, RATIO = 16, 224, 16, 0.9
OURS, OTHER = 'internvideo', 'transformers'
PARTS = {  # beginnings of names, ours and theirs
    'backbone.patch_embed.proj': 'videomae.embeddings.patch_embeddings.projection',
    'backbone.norm': 'videomae.layernorm',
    'backbone.blocks': 'videomae.encoder.layer',
    'decoder.blocks': 'decoder.decoder_layers',
}
BLOCK_PARTS = {
    'norm1': 'layernorm_before',
    'norm2': 'layernorm_after',
    'attn.proj': 'attention.output.dense',
    'attn.q_bias': 'attention.attention.query.bias',
    'attn.v_bias': 'attention.attention.value.bias',
    'mlp.fc1': 'intermediate.dense',
    'mlp.fc2': 'output.dense',
}


def build_ours(model: str) -> nn.Module:
    """The autoencoder of this package."""
    (width, depth, heads), (decoder_width, decoder_depth, decoder_heads) = SIZES[model]
    arch = dict(embed_dim=width, depth=depth, num_heads=heads, mlp_ratio=4.0)
    return MODELS.build(
        dict(
            type='MaskedAutoencoder',
            data_preprocessor=dict(type='ClipDataPreprocessor'),
            backbone=dict(type='VideoMAE', arch=arch, patch_size=PATCH, pos_embed='own'),
            decoder=dict(
                type='VideoMAEDecoder',
                embed_dim=decoder_width,
                depth=decoder_depth,
                num_heads=decoder_heads,
            ),
            masker=dict(type='TubeMask', ratio=RATIO),
        )
    )


def build_other(model: str, state: dict[str, torch.Tensor]) -> nn.Module:
    """The model of transformers with our weights."""
    from transformers import VideoMAEConfig, VideoMAEForPreTraining

    (width, depth, heads), (decoder_width, decoder_depth, decoder_heads) = SIZES[model]
    config = VideoMAEConfig(
        image_size=SIDE,
        patch_size=PATCH,
        num_frames=FRAMES,
        hidden_size=width,
        num_hidden_layers=depth,
        num_attention_heads=heads,
        intermediate_size=4 * width,
        decoder_hidden_size=decoder_width,
        decoder_num_hidden_layers=decoder_depth,
        decoder_num_attention_heads=decoder_heads,
        decoder_intermediate_size=4 * decoder_width,
        layer_norm_eps=1e-6,
        norm_pix_loss=True,
        use_mean_pooling=False,  # a final norm, as in published pretraining
    )
    other = VideoMAEForPreTraining(config)
    other.load_state_dict(other_names(state), strict=True)
    return other


def other_names(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Our weights under the names of transformers."""
    found = {}
    for name, value in state.items():
        start = next((part for part in PARTS if name.startswith(part)), '')
        theirs = PARTS.get(start, '') + name.removeprefix(start)
        for ours, other in BLOCK_PARTS.items():
            theirs = theirs.replace(f'.{ours}', f'.{other}')
        if theirs.endswith('attn.qkv.weight'):
            stem = theirs.removesuffix('attn.qkv.weight') + 'attention.attention.'
            for part, piece in zip(('query', 'key', 'value'), value.chunk(3), strict=True):
                found[f'{stem}{part}.weight'] = piece
        else:
            found[theirs] = value
    return found


def step_case(kind: str, model: str, batch: int) -> Callable[[], float]:
    """A step (forward and backward), which gives the loss; weights, clips, masks by one seed."""
    torch.manual_seed(0)
    ours = build_ours(model).train()
    clips = torch.randn(batch, 3, FRAMES, SIDE, SIDE)
    mask = ours.draw_mask(clips)
    if kind == OURS:
        ours.draw_mask = lambda _: mask
        net, forward = ours, lambda: ours(clips, mode='loss')['loss']
    else:
        net = other = build_other(model, ours.state_dict()).train()
        del ours
        frames = clips.transpose(1, 2).contiguous()  # as its processor gives them
        forward = lambda: other(frames, bool_masked_pos=mask).loss  # noqa: E731

    def run() -> float:
        loss = forward()
        loss.backward()
        net.zero_grad(set_to_none=True)
        return loss.item()

    return run


def measure_time(model: str, batch: int, rounds: int) -> tuple[dict[str, float], dict[str, float]]:
    """Median CPU seconds of a step, and its loss, of both."""
    cases = {kind: step_case(kind, model, batch) for kind in (OURS, OTHER)}
    times: dict[str, list[float]] = {kind: [] for kind in cases}
    losses = {}
    for index in range(rounds + 1):
        for kind, run in cases.items():
            start = time.process_time()
            losses[kind] = run()
            if index:  # round 0 warms up
                times[kind].append(time.process_time() - start)
    return {kind: statistics.median(values) for kind, values in times.items()}, losses


def report_memory(kind: str, model: str, batch: int) -> None:
    """Print, in a process of its own, the peak of a step over what was there before, in MB."""
    run = step_case(kind, model, batch)
    gc.collect()
    ctypes.CDLL('libc.so.6').malloc_trim(0)  # freed weights would hide a part of the peak
    before = current_memory()
    run()
    print(json.dumps(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - before))


def current_memory() -> float:
    """Resident memory of this process in MB."""
    pages = int(Path('/proc/self/statm').read_text().split()[1])
    return pages * os.sysconf('SC_PAGE_SIZE') / 2**20


def measure_memory(model: str, batch: int) -> dict[str, float]:
    """Peak over the baseline in MB of both, each in a fresh process."""
    found = {}
    for kind in (OURS, OTHER):
        command = [sys.executable, __file__, '--model', model, '--batch-size', str(batch)]
        done = subprocess.run(
            [*command, '--memory-of', kind], capture_output=True, text=True, check=True
        )
        found[kind] = json.loads(done.stdout.splitlines()[-1])
    return found


def compare(args: argparse.Namespace) -> None:
    """Print both models' step."""
    print(
        f'ViT-{args.model}/{PATCH}, {FRAMES} x {SIDE} px, batch {args.batch_size}, '
        f'{RATIO:.0%} masked, float32, one thread'
    )
    times, losses = measure_time(args.model, args.batch_size, args.rounds)
    for kind, seconds in times.items():
        share = seconds / times[OTHER]
        print(f'  {kind:>12}: {seconds:6.2f} s CPU a step, {share:.2f} x; loss {losses[kind]:.7f}')
    gap = abs(losses[OURS] - losses[OTHER])
    print(f'  losses differ by {gap:.1e} ({"within" if gap <= 1e-5 else "MORE THAN"} 1e-5)')
    if args.skip_memory:
        return
    weights = sum(p.numel() for p in build_ours(args.model).parameters()) * 4 / 2**20
    peaks = measure_memory(args.model, args.batch_size)
    for kind, peak in peaks.items():
        share = peak / peaks[OTHER]
        print(f'  {kind:>12}: {peak:6.0f} MB at the peak of a step, {share:.2f} x')
    print(f'  ({weights:.0f} MB of each are gradients)')


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--model', choices=SIZES, default='S', help='size (default: S)')
    parser.add_argument('--batch-size', type=int, default=2, help='clips of a step (default: 2)')
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--skip-memory', action='store_true')
    parser.add_argument('--skip-uniformerv2', action='store_true')
    parser.add_argument('--memory-of', choices=(OURS, OTHER), help=argparse.SUPPRESS)
    return parser


def main() -> None:
    args = build_parser().parse_args()
    torch.set_num_threads(1)
    if args.memory_of:
        report_memory(args.memory_of, args.model, args.batch_size)
        return
    compare(args)
    further = Path(__file__).with_name('uniformerv2.py')
    if further.exists() and not args.skip_uniformerv2:
        sys.stdout.flush()  # what the other prints shall come behind
        subprocess.run([sys.executable, further], check=True)


if __name__ == '__main__':
    main()
