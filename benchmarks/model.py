"""How fast the InternVideo2 encoder is beside plain timm blocks and the machine's matrix product.

    python benchmarks/model.py                     # S/14, forward and step, both dtypes
    python benchmarks/model.py --models S B --rounds 5 --kinds forward step memory

CPU time of this process on one thread; cases take turns within a round and medians are compared,
so other work on the machine moves all of them alike.  Ratios are what to read.
"""

import os

# Before torch is imported: idle OpenMP threads that spin would be counted as work.
os.environ['OMP_WAIT_POLICY'] = 'PASSIVE'
os.environ['OMP_NUM_THREADS'] = '1'

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from timm.models.vision_transformer import Block
from torch import nn

from internvideo.registry import MODELS

ARCHS = dict(S='small', B='base')
DTYPES = dict(fp32=torch.float32, bf16=torch.bfloat16)
BACKENDS = ('auto', 'sdpa', 'eager')
FRAMES, SIDE, PATCH, NUM_CLASSES = 8, 224, 14, 400
TOKENS = FRAMES * (SIDE // PATCH) ** 2 + 1


def build_recognizer(model: str, backend: str) -> nn.Module:
    """The classifier with 400 classes."""
    encoder = dict(type='InternVideo2', arch=ARCHS[model], attn_backend=backend)
    head = dict(type='ClassificationHead', num_classes=NUM_CLASSES)
    return MODELS.build(dict(type='VideoRecognizer', backbone=encoder, head=head))


def build_timm(model: str) -> nn.Module:
    """Twelve plain pre-norm blocks of the same width."""
    dim, heads = dict(S=(384, 6), B=(768, 12))[model]
    return nn.Sequential(*(Block(dim, heads, mlp_ratio=4, qkv_bias=True) for _ in range(12)))


def make_input(model: str, timm: bool) -> torch.Tensor:
    """A clip, or its tokens for the timm blocks."""
    if timm:
        return torch.randn(1, TOKENS, dict(S=384, B=768)[model])
    return torch.randn(1, 3, FRAMES, SIDE, SIDE)


def forward_case(net: nn.Module, clip: torch.Tensor, dtype: torch.dtype) -> Callable[[], None]:
    """Inference."""
    net.eval()

    def run() -> None:
        with torch.inference_mode(), torch.autocast('cpu', dtype, enabled=dtype != torch.float32):
            net(clip)

    return run


def step_case(net: nn.Module, clip: torch.Tensor, dtype: torch.dtype) -> Callable[[], None]:
    """Forward, backward and an AdamW step."""
    net.train()
    optimizer = torch.optim.AdamW(net.parameters(), 1e-5)

    def run() -> None:
        with torch.autocast('cpu', dtype, enabled=dtype != torch.float32):
            output = net(clip)
        output.float().square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()

    return run


def gemm_case() -> Callable[[], None]:
    """A product of the shape of an MLP's first map."""
    a, b = torch.randn(2048, 768), torch.randn(768, 3072)
    return lambda: a @ b


def block_gflop(model: str) -> float:
    """GFLOP of the twelve blocks' forward pass."""
    dim = dict(S=384, B=768)[model]
    return 12 * (24 * TOKENS * dim**2 + 4 * TOKENS**2 * dim) / 1e9


def measure(cases: dict[str, Callable[[], None]], rounds: int) -> dict[str, float]:
    """Median CPU milliseconds of each case."""
    times: dict[str, list[float]] = {name: [] for name in cases}
    for index in range(rounds + 1):
        for name, run in cases.items():
            start = time.process_time()
            run()
            if index:  # round 0 warms up
                times[name].append(1000 * (time.process_time() - start))
    return {name: statistics.median(values) for name, values in times.items()}


def compare(model: str, kind: str, dtype: str, backends: list[str], rounds: int) -> None:
    """Print one table: the timm blocks, each backend, the matrix product."""
    make_case = dict(forward=forward_case, step=step_case)[kind]
    cases = {'gemm': gemm_case()}
    cases['timm'] = make_case(build_timm(model), make_input(model, True), DTYPES[dtype])
    for backend in backends:
        net = build_recognizer(model, backend)
        cases[backend] = make_case(net, make_input(model, False), DTYPES[dtype])
    medians = measure(cases, rounds)
    rate = 2 * 2048 * 768 * 3072 / 1e6 / medians.pop('gemm')
    gflop = block_gflop(model) * dict(forward=1, step=3)[kind]
    print(f'{model}/14 {kind} {dtype} ({TOKENS} tokens; fp32 GEMM {rate:.0f} GFLOP/s)')
    for name, value in medians.items():
        share = gflop / value * 1000 / rate
        ratio = value / medians['timm']
        print(f'  {name:6s} {value:8.0f} CPU ms  {ratio:5.2f} x timm  {share:4.2f} of fp32 GEMM')


def peak_so_far() -> float:
    """Largest resident size of this process in MB (Linux).

    Not ``getrusage``: its maximum outlives exec, so a child would report its parent's.
    """
    lines = Path('/proc/self/status').read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith('VmHWM')) / 1024


def peak_memory(backend: str) -> tuple[float, float]:
    """Peak memory in MB of this process before and after one S/14 step."""
    run = step_case(build_recognizer('S', backend), make_input('S', False), torch.float32)
    before = peak_so_far()
    run()
    return before, peak_so_far()


def compare_memory() -> None:
    """Print the peak memory of a step with each backend, each in a process of its own."""
    peaks = {}
    for backend in ('auto', 'eager'):
        command = [sys.executable, __file__, '--peak-of', backend]
        answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
        before, peak = float(answer[0]), float(answer[1])
        peaks[backend] = (peak, peak - before)
        print(f'  {backend:6s} peak {peak:6.0f} MB, {peak - before:6.0f} MB of it in the step')
    total, step = (a / b for a, b in zip(peaks['auto'], peaks['eager'], strict=True))
    print(f'S/14 step, peak memory auto / eager: {total:.2f} in all, {step:.2f} of the step')


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--models', nargs='+', choices=ARCHS, default=['S'])
    parser.add_argument('--dtypes', nargs='+', choices=DTYPES, default=list(DTYPES))
    parser.add_argument('--backends', nargs='+', choices=BACKENDS, default=list(BACKENDS))
    kinds = ('forward', 'step', 'memory')
    parser.add_argument('--kinds', nargs='+', choices=kinds, default=list(kinds))
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--peak-of', choices=BACKENDS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.peak_of:
        print(*peak_memory(args.peak_of))
        return
    for kind in args.kinds:
        if kind == 'memory':
            compare_memory()
            continue
        for model in args.models:
            for dtype in args.dtypes:
                compare(model, kind, dtype, args.backends, args.rounds)


if __name__ == '__main__':
    main()
