"""Convert a checkpoint between a published layout and this project's.

Without ``--config`` entries are only renamed.  With it they also go through that model: everything
is checked, position tables and patch kernels are resized, and the head is mapped as asked for.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn


def parse_args(arguments: Sequence[str]) -> argparse.Namespace:
    from mmengine.config import DictAction

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('source', help='path, hf://ORG/REPO/FILE[@REVISION] or http(s) address')
    parser.add_argument('target', help='file to write: .safetensors, .pth, .pt or .bin')
    parser.add_argument('--to', required=True, choices=['published', 'internvideo'])
    parser.add_argument('--adapter', help="published layout (default: the recognizers')")
    parser.add_argument('--config', help='config (or model name) whose model it must fit')
    parser.add_argument(
        '--options',
        nargs='+',
        action=DictAction,
        default={},
        metavar='KEY=VALUE',
        help='adapter options, such as head=remap (with --config and --to internvideo)',
    )
    parser.add_argument('--overwrite', action='store_true', help='replace TARGET if it exists')
    parser.add_argument(
        '--trusted-pickle',
        action='store_true',
        help='read files with arbitrary Python objects, which can run any code',
    )
    args = parser.parse_args(arguments)
    if args.options and not (args.config and args.to == 'internvideo'):
        parser.error('--options needs --config and --to internvideo')
    return args


def build_model(name: str) -> 'nn.Module':
    from mmengine.registry import init_default_scope

    from internvideo.hub.model_zoo import get_config
    from internvideo.registry import MODELS

    init_default_scope('internvideo')
    return MODELS.build(get_config(name).model)


def command(arguments: Sequence[str]) -> int:
    """Convert and return the exit status."""
    # Before torch is imported: idle threads of OpenMP spin otherwise.
    os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')
    args = parse_args(arguments)
    from internvideo.checkpoint import CheckpointMismatchError
    from internvideo.checkpoint.conversion import convert

    try:
        done = convert(
            args.source,
            args.target,
            args.to,
            args.adapter,
            # A function: the model is built once target and adapter are found to be good.
            build_model=(lambda: build_model(args.config)) if args.config else None,
            options=args.options,
            overwrite=args.overwrite,
            trusted_pickle=args.trusted_pickle,
        )
    except (CheckpointMismatchError, OSError, ValueError, KeyError, TypeError) as error:
        # str() of a KeyError would quote its text.
        text = error.args[0] if isinstance(error, KeyError) and error.args else error
        print(f'error: {text}', file=sys.stderr)
        return 1
    print(done)
    return 0
