"""Print what limits a config's training on many GPUs, as the tables of docs/scaling.md.

Example: internvideo scaling-limits configs/internvideo2/6B_k710.py --gpus 256 1024
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from internvideo.rehearsal.scaling import ScalingLimits

TABLE = ('strategy', 'GPUs', 'held', 'sent', 'arithmetic', 'links', 'busy', 'break-even')
LOADING = ('GPUs', 'clips/s a node', 'cores', 'checkpoint', 'one writer', 'all nodes')


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('config', metavar='CONFIG')
    parser.add_argument('--gpus', type=int, nargs='+', default=[256, 1024], metavar='N')
    parser.add_argument('--gpu', default='A100-80', metavar='NAME')
    parser.add_argument('--mfu', type=float, default=0.4)
    return parser


def markdown(head: tuple[str, ...], rows: list[list[str]]) -> str:
    """A table."""
    lines = [head, ['---'] * len(head), *rows]
    return '\n'.join('| ' + ' | '.join(line) + ' |' for line in lines)


def step_row(limits: 'ScalingLimits', sent: float, even: float) -> list[str]:
    """Cost of a step."""
    return [
        limits.layout,
        str(limits.world_size),
        f'{limits.static / 1e9:.1f} GB',
        f'{sent / 1e9:.1f} GB',
        f'{limits.compute:.2f} s',
        f'{limits.communicate:.2f} s',
        f'{limits.efficiency:.0%}',
        f'{even:.1f} clips',
    ]


def loading_row(limits: 'ScalingLimits') -> list[str]:
    """Load on loaders and disks."""
    return [
        str(limits.world_size),
        f'{limits.clips_per_node:.0f}',
        f'{limits.cores_per_node:.0f}',
        f'{limits.checkpoint / 1e9:.0f} GB',
        f'{limits.one_writer:.0f} s',
        f'{limits.all_nodes:.1f} s',
    ]


def command(arguments: Sequence[str]) -> int:
    """Trace the config's model and print the tables."""
    parser = build_parser()
    args = parser.parse_args(arguments)
    if not Path(args.config).is_file():
        parser.exit(2, f'scaling_limits.py: config file {args.config} does not exist\n')
    from mmengine.config import Config
    from mmengine.registry import init_default_scope

    from internvideo.rehearsal.hardware import gpu_by_name
    from internvideo.rehearsal.memory import LAYOUTS
    from internvideo.rehearsal.rehearsal import model_facts
    from internvideo.rehearsal.scaling import (
        bytes_per_step,
        scaling_limits,
        smallest_batch,
    )

    init_default_scope('internvideo')
    config = Config.fromfile(args.config)
    try:
        gpu = gpu_by_name(args.gpu)
        sizes, flops = model_facts(config)
    except ValueError as error:
        parser.exit(2, f'scaling_limits.py: {error}\n')
    loader = config.train_dataloader
    repeats = loader.dataset.get('num_repeats', 1)
    clips = loader.batch_size * repeats
    names = [name for name, layout in LAYOUTS.items() if layout.needs_group]
    steps, loading = [], []
    for world in args.gpus:
        for name in names:
            limits = scaling_limits(name, sizes, world, flops, clips, repeats, gpu, args.mfu)
            even = smallest_batch(name, sizes, world, flops, gpu, args.mfu)
            steps.append(step_row(limits, bytes_per_step(name, sizes, world), even))
        loading.append(loading_row(limits))
    print(f'{args.config} on {gpu.name}, {clips} clips a GPU, MFU {args.mfu:.0%}\n')
    print(markdown(TABLE, steps) + '\n\n' + markdown(LOADING, loading))
    return 0
