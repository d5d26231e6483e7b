"""What a pretraining step costs: student against visible tokens, teachers inline or from files.

    python benchmarks/pretrain.py                              # both tables, S/14
    python benchmarks/pretrain.py --model B --visible 20 100 --skip-teachers

CPU time of this process on one thread, 8 x 224 px, a forward and backward pass and an AdamW step;
cases take turns within a round and medians are compared.  Ratios are what to read.  The teachers of
the second table are stand-ins (``--teacher``): the published ones have 7 billion parameters, and
the last line says what they would cost.
"""

import os

# Before torch is imported: idle OpenMP threads that spin would be counted as work.
os.environ['OMP_WAIT_POLICY'] = 'PASSIVE'
os.environ['OMP_NUM_THREADS'] = '1'

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from typing import Any

import torch

from internvideo.models.tasks.pretraining.masked_alignment import MaskedAlignment
from internvideo.models.tasks.pretraining.precomputed import (
    TargetManifest,
    compute_entries,
    write_part,
)
from internvideo.models.tasks.pretraining.targets import TargetFacts, Targets
from internvideo.structures import VideoDataSample

ARCHS = dict(S='small', B='base', L='large')
WIDTHS = dict(small=384, base=768, large=1024)
GRID = (8, 16, 16)
NUM_TOKENS = 8 * 16 * 16
STUDENT_FRAMES, CLIP_FRAMES = 8, 16


class FixedTargets:
    """Random features that cost nothing."""

    brings_mask, has_attention, grids = False, False, {}

    def __init__(self, facts: TargetFacts, batch: int) -> None:
        self.facts = facts
        middle, mae = (batch, NUM_TOKENS + 1, facts.clip_dim), (batch, NUM_TOKENS, facts.mae_dim)
        self.targets = Targets(
            [torch.randn(middle)] * facts.clip_layers,
            torch.randn(batch, facts.clip_final_dim),
            [torch.randn(mae)] * facts.mae_layers,
        )

    def __call__(self, *_: Any, **__: Any) -> Targets:
        return self.targets


def build_student(arch: str, targets: Any, facts: TargetFacts, masker: dict) -> MaskedAlignment:
    """A student with decoders for ``facts``."""
    mae = dict(count=facts.mae_layers) if facts.mae_layers else None
    return MaskedAlignment(
        backbone=dict(type='InternVideo2', arch=arch),
        neck=dict(
            type='AlignmentNeck',
            clip_dim=facts.clip_dim,
            clip_final_dim=facts.clip_final_dim,
            mae_dim=facts.mae_dim,
        ),
        targets=targets,
        masker=masker,
        clip_layers=dict(count=facts.clip_layers),
        mae_layers=mae,
        frame_stride=CLIP_FRAMES // STUDENT_FRAMES,
    )


def step_case(
    model: MaskedAlignment, clips: torch.Tensor, samples: list, dtype: torch.dtype
) -> Callable[[], None]:
    """One optimiser step."""
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-5)

    def run() -> None:
        with torch.autocast('cpu', dtype, enabled=dtype != torch.float32):
            losses = model(clips, samples, mode='loss')
        sum(losses.values()).backward()
        optimizer.step()
        optimizer.zero_grad()

    return run


def measure(cases: dict[str, Callable[[], None]], rounds: int) -> dict[str, float]:
    """Median CPU seconds of each case."""
    times: dict[str, list[float]] = {name: [] for name in cases}
    for index in range(rounds + 1):
        for name, run in cases.items():
            start = time.process_time()
            run()
            if index:  # round 0 warms up
                times[name].append(time.process_time() - start)
    return {name: statistics.median(values) for name, values in times.items()}


def compare_visible(args: argparse.Namespace, clips: torch.Tensor, samples: list) -> None:
    """Print the step time of the student against the share of visible tokens."""
    facts = TargetFacts(1408, 6, 768)
    targets = FixedTargets(facts, len(clips))
    cases = {}
    for percent in sorted({*args.visible, 100}):
        masker = dict(type='RandomMask', ratio=1 - percent / 100)
        model = build_student(ARCHS[args.model], targets, facts, masker)
        cases[f'{percent} % visible'] = step_case(model, clips, samples, args.torch_dtype)
    medians = measure(cases, args.rounds)
    print(f'{args.model}/14 student step, {args.dtype}, batch {len(clips)}')
    for name, seconds in medians.items():
        share = seconds / medians['100 % visible']
        print(f'  {name:>14}: {seconds:7.2f} s, {share:5.1%} of the unmasked step')


def teachers(arch: str) -> dict[str, Any]:
    """An image tower and a video teacher of the same size, random weights."""
    image = dict(type='InternVLVision', arch=arch)
    video = dict(type='VideoMAE', arch=arch)
    return dict(
        type='InlineTeachers',
        clip=dict(encoder=image, layers=dict(count=6), init_cfg=None, frame_stride=2),
        mae=dict(encoder=video, layers=dict(count=4), init_cfg=None),
    )


def write_targets(model: MaskedAlignment, root: str, clips: torch.Tensor, samples: list) -> None:
    """Keep the features of ``clips`` in files."""
    TargetManifest(
        facts=model.targets.facts,
        grid=GRID,
        tokens='visible',
        num_crops=1,
        num_rows=len(clips),
        part_size=len(clips),
        seed=0,
        norms=('l2', 'l2'),
        digest=model.targets.digest,
        dtype='float16',
    ).write(root)
    write_part(root, 0, [compute_entries(model, clips[:, 0], samples)])


def compare_teachers(args: argparse.Namespace, clips: torch.Tensor, samples: list) -> None:
    """Print the step time with teachers inline and from files."""
    arch, teacher = ARCHS[args.model], ARCHS[args.teacher]
    facts = TargetFacts(WIDTHS[teacher], 6, 768, WIDTHS[teacher], 4)
    masker = dict(type='AttentionMask', ratio=0.8)
    inline = build_student(arch, teachers(teacher), facts, masker)
    inline.targets.load()
    with tempfile.TemporaryDirectory() as root:
        write_targets(inline, root, clips, samples)
        stored = dict(type='PrecomputedTargets', root=root)
        from_files = build_student(arch, stored, facts, masker)
        from_files.targets.load()
        cases = {
            'inline': step_case(inline, clips, samples, args.torch_dtype),
            'precomputed': step_case(from_files, clips, samples, args.torch_dtype),
            'teachers alone': lambda: inline.compute_targets(clips[:, 0]),
            'files alone': lambda: from_files.compute_targets(clips[:, 0], samples),
        }
        medians = measure(cases, args.rounds)
    print(f'{args.model}/14 step with {args.teacher}/14 teachers, 20 % visible, {args.dtype}')
    for name, seconds in medians.items():
        print(f'  {name:>14}: {seconds:7.2f} s, {seconds / medians["inline"]:5.1%} of inline')
    print(f'  {published_cost(args.model)}')


def published_cost(student: str) -> str:
    """Work of the published teachers beside the student's step, from parameters and tokens."""
    params = dict(S=22e6, B=86e6, L=304e6)[student]
    step = 3 * 2 * params * (0.2 * NUM_TOKENS)
    published = 2 * (5.9e9 + 1.0e9) * NUM_TOKENS
    share = published / (published + step)
    return f'by count of products, the published 6B and 1B teachers take {share:.1%} of such a step'


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--model', choices=ARCHS, default='S', help='student (default: S)')
    parser.add_argument('--teacher', choices=ARCHS, default='S', help='stand-ins (default: S)')
    parser.add_argument('--visible', type=int, nargs='+', default=list(range(10, 101, 10)))
    parser.add_argument('--dtype', choices=('float32', 'bfloat16'), default='float32')
    parser.add_argument('--batch-size', type=int, default=1)
    parser.add_argument('--rounds', type=int, default=2)
    parser.add_argument('--skip-visible', action='store_true')
    parser.add_argument('--skip-teachers', action='store_true')
    return parser


def main() -> None:
    args = build_parser().parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    args.torch_dtype = getattr(torch, args.dtype)
    clips = torch.randn(args.batch_size, 1, 3, CLIP_FRAMES, 224, 224)
    samples = [
        VideoDataSample(metainfo=dict(path=f'{index}.mp4')) for index in range(args.batch_size)
    ]
    if not args.skip_visible:
        compare_visible(args, clips, samples)
    if not args.skip_teachers:
        compare_teachers(args, clips, samples)


if __name__ == '__main__':
    main()
