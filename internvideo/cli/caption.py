"""Captions of videos, written by a model with a caption decoder.

Example: internvideo caption internvideo1/multimodal/l14 videos/ --json
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from contextlib import nullcontext, redirect_stdout

from internvideo.engine.command_line import (
    IntermixedParser,
    add_reading_arguments,
    apply_options,
    guarded,
    make_projects_importable,
    reading_limits,
    split_option,
)


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = IntermixedParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add('config', help='model name (see list_models) or config file')
    add('videos', nargs='+', help='video files, folders, or lists (.txt, .csv: path first)')
    add('--checkpoint', help='weights; by default those that the config or its name stands for')
    add('--random-weights', action='store_true', help='run without weights, to try things out')
    add('--max-length', type=int, metavar='N', help='most tokens of a caption')
    add('--root', help='folder that list entries are relative to')
    add('--workers', type=int, default=2, help='processes that decode (default: 2)')
    add('--batch-size', type=int, default=8, help='videos in one forward pass (default: 8)')
    add_reading_arguments(parser)
    add('--device', help='torch device (default: GPU when there is one)')
    add('--dtype', choices=('float32', 'bfloat16', 'float16'), default='float32')
    add('--json', action='store_true', help='print one JSON object a line, all else to stderr')
    add('--cfg-options', nargs='+', default=[], metavar='KEY=VALUE',
        help='change config values, e.g. test_dataloader.dataset.backend=pyav')  # fmt: skip
    add('--debug', action='store_true', help='show the traceback of every error')
    return parser


def main(args: argparse.Namespace) -> None:
    """Print a caption for each video, and exit with 1 when one could not be read."""
    make_projects_importable()
    output, all_read = sys.stdout, True
    # Standard output then holds the JSON alone, for the program that reads it.
    with redirect_stdout(sys.stderr) if args.json else nullcontext():
        from internvideo.apis import VideoCaptioner, get_config

        config = get_config(args.config)
        apply_options(config, dict(split_option(text) for text in args.cfg_options))
        captioner = VideoCaptioner(
            config, args.checkpoint, args.device, args.dtype, args.batch_size, args.workers,
            args.max_length, args.random_weights, args.backend, reading_limits(args),
        )  # fmt: skip
        for each in captioner(args.videos, args.root):
            all_read &= each.error is None
            line = each.caption if each.error is None else f'cannot be read: {each.error}'
            text = json.dumps(each.to_dict(), ensure_ascii=False) if args.json else None
            print(text or f'{each.path}: {line}', file=output, flush=True)
    if not all_read:
        sys.exit(1)


def command(arguments: Sequence[str]) -> int:
    """Run with these arguments and return the exit status."""
    # Before torch is imported: idle threads of OpenMP spin otherwise.
    os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')
    return guarded(main, build_parser(), arguments)
