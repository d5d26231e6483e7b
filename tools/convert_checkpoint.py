"""Convert a checkpoint between a published layout and this project's.

Without ``--config`` entries are only renamed.  With it they also go through that model: everything
is checked, position tables and patch kernels are resized, and the head is mapped as asked for.
"""

import argparse
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')


def parse_args() -> argparse.Namespace:
    from mmengine.config import DictAction

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('source', help='path, hf://ORG/REPO/FILE[@REVISION] or http(s) address')
    parser.add_argument('target', help='file to write: .safetensors, .pth, .pt or .bin')
    parser.add_argument('--to', required=True, choices=['published', 'internvideo'])
    parser.add_argument(
        '--adapter', default='internvideo2_single', help='published layout (default: %(default)s)'
    )
    parser.add_argument('--config', help='config whose model the checkpoint must fit')
    parser.add_argument(
        '--options',
        nargs='+',
        action=DictAction,
        default={},
        metavar='KEY=VALUE',
        help='adapter options, such as head=remap (with --config and --to internvideo)',
    )
    parser.add_argument(
        '--trusted-pickle',
        action='store_true',
        help='read files with arbitrary Python objects, which can run any code',
    )
    args = parser.parse_args()
    if args.options and not (args.config and args.to == 'internvideo'):
        parser.error('--options needs --config and --to internvideo')
    return args


def build_model(config: str) -> 'nn.Module':
    from mmengine.config import Config
    from mmengine.registry import init_default_scope

    from internvideo.registry import MODELS

    init_default_scope('internvideo')
    return MODELS.build(Config.fromfile(config).model)


def through_model(args: argparse.Namespace) -> None:
    from internvideo.checkpoint import export_published, load_checkpoint, load_pretrained
    from internvideo.checkpoint.files import write_state_dict

    model, trusted = build_model(args.config), args.trusted_pickle
    if args.to == 'published':
        load_checkpoint(model, args.source, trusted_pickle=trusted)
        export_published(model, args.target, args.adapter)
    else:
        load_pretrained(model, args.source, args.adapter, trusted_pickle=trusted, **args.options)
        write_state_dict(model.state_dict(), args.target)


def by_name(args: argparse.Namespace) -> None:
    from internvideo.checkpoint.files import read_state_dict, write_state_dict
    from internvideo.checkpoint.loading import build_adapter

    adapter = build_adapter(args.adapter)
    state = read_state_dict(args.source, args.trusted_pickle)
    if args.to == 'published':
        converted = adapter.to_published(state)
    else:
        converted = adapter.rename(state)
    container = 'model' if args.to == 'published' else 'state_dict'
    write_state_dict(converted, args.target, container)
    print(f'wrote {len(converted)} of {len(state)} entries to {args.target}')


def main() -> int:
    args = parse_args()
    from internvideo.checkpoint import CheckpointMismatchError
    from internvideo.checkpoint.files import check_suffix

    try:
        check_suffix(args.target)
        (through_model if args.config else by_name)(args)
    except (CheckpointMismatchError, OSError, ValueError, KeyError, TypeError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
