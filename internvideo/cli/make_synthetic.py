"""Write the generated world: real mp4 files and annotations for every task."""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from internvideo.datasets.synthetic.vocabulary import EXTRA_MOTIONS, QUICK_MOTIONS
from internvideo.datasets.synthetic.world import TASKS, make_world


def parse_args(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('root', type=Path, help='folder to write, absent or a generated world')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument(
        '--tasks', nargs='+', choices=TASKS, default=['recognition'], metavar='TASK',
        help=f'what to write, out of {", ".join(TASKS)} (default: recognition)',
    )  # fmt: skip
    parser.add_argument('--num-train', type=int, default=600, help='training clips')
    parser.add_argument('--num-val', type=int, default=80, help='validation clips')
    parser.add_argument('--num-test', type=int, default=160, help='test clips')
    parser.add_argument('--size', type=int, default=64, help='side of the frames in pixels')
    parser.add_argument('--num-frames', type=int, default=24, help='frames of a clip')
    parser.add_argument('--fps', type=int, default=12, help='frames per second')
    parser.add_argument(
        '--motions', nargs='+', choices=QUICK_MOTIONS + EXTRA_MOTIONS, default=QUICK_MOTIONS,
        metavar='MOTION', help=f'classes; beyond the default also {", ".join(EXTRA_MOTIONS)}',
    )  # fmt: skip
    parser.add_argument('--workers', type=int, default=2, help='processes')
    return parser.parse_args(arguments)


def command(arguments: Sequence[str]) -> int:
    """Write the world and return the exit status."""
    args = vars(parse_args(arguments))
    start = time.perf_counter()
    try:
        report = make_world(**args)
    except (ValueError, OSError) as error:
        print(f'make_synthetic: {error}', file=sys.stderr)
        return 1
    for part in report.up_to_date:
        print(f'{report.root / part}: up to date')
    for part in report.written:
        print(f'{report.root / part}: written')
    if report.written:
        print(f'{time.perf_counter() - start:.1f} s')
    return 0
