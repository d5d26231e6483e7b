"""Draw what a masked autoencoder makes of the hidden parts of videos, with its losses.

Example: internvideo reconstruct CONFIG CHECKPOINT videos/ --out pictures
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from internvideo.engine.command_line import (
    IN_ORDER,
    UsageError,
    add_reading_arguments,
    guarded,
    make_projects_importable,
    reading_limits,
)

if TYPE_CHECKING:
    from torch import nn

    from internvideo.datasets.inference.clip_loader import ClipLoader
    from internvideo.datasets.inference.video_lists import NamedVideo

REPORT = 'reconstructions.json'


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add('model', help='model name (see list_models) or config file')
    add('checkpoint', help='weights of the pretraining model, ours or published')
    add('videos', nargs='+', help='video files, folders, or lists (.txt, .csv: path first)')
    add('--out', type=Path, required=True, help='folder of the pictures')
    add('--root', type=Path, help='folder that list entries and output names are relative to')
    add('--columns', nargs='+', help='columns of lists, as in training (default: found)')
    add('--ratio', type=float, help="share hidden, in place of the config's")
    add('--masks', type=int, default=1, help='masks that each video is seen under (default: 1)')
    add('--seed', type=int, default=0, help='seed of the masks (default: 0)')
    add('--device', help='torch device (default: the GPU when there is one)')
    add('--dtype', choices=('float32', 'bfloat16', 'float16'), default='float32')
    add_reading_arguments(parser, IN_ORDER)
    add('--debug', action='store_true', help='show the traceback of every error')
    return parser


def build_model(args: argparse.Namespace, device: str) -> 'tuple[nn.Module, ClipLoader]':
    """The autoencoder with its weights, and the loader of its clips.

    Raises ValueError for a model that reconstructs nothing.
    """
    from internvideo.datasets.inference.clip_loader import ClipLoader
    from internvideo.hub.frame_choice import follow_checkpoint
    from internvideo.hub.model_zoo import get_config, get_model
    from internvideo.registry import MODELS

    config = get_config(args.model)
    kind = MODELS.get(config.model['type'])
    if not hasattr(kind, 'reconstruct'):
        raise ValueError(
            f'{args.model} is a {kind.__name__}, which reconstructs nothing: name the config of '
            'the pretraining that the checkpoint is of'
        )
    changes = {} if args.ratio is None else dict(masker=dict(ratio=args.ratio))
    model = get_model(args.model, args.checkpoint, device, **changes)
    encoder = model.video_encoder
    follow_checkpoint(config, args.checkpoint, 'checkpoint', encoder)
    return model, ClipLoader(config, encoder, 'val', args.backend, reading_limits(args))


def reconstruct(
    model: 'nn.Module', clip: Any, args: argparse.Namespace, name: str, path: Path
) -> list[float]:
    """Write the picture of one packed clip under each mask, and return the losses."""
    import torch

    from internvideo.datasets.collate import collate_clips
    from internvideo.engine.inference.devices import autocast
    from internvideo.visualization.reconstructions import draw_reconstructions, write_picture

    batch = model.data_preprocessor(collate_clips([clip]))
    inputs = batch['inputs'].flatten(0, 1)[:1].repeat_interleave(args.masks, dim=0)
    # Equal videos get equal masks, whatever stands before them in the list.
    torch.manual_seed(args.seed)
    with torch.inference_mode(), autocast(inputs.device.type, args.dtype):
        made = model(inputs, mode='reconstruct')
    losses = made.losses.tolist()
    write_picture(draw_reconstructions(made, [name] * args.masks), path)
    return losses


def main(args: argparse.Namespace) -> None:
    """Draw all videos and exit with 1 when one could not be read."""
    if args.masks < 1:
        raise UsageError(f'--masks must be positive, got {args.masks}')
    make_projects_importable()
    from internvideo.datasets.bad_samples import MediaError
    from internvideo.datasets.inference.video_lists import collect_videos
    from internvideo.engine.inference.devices import pick_device
    from internvideo.fileio.json_files import write_json

    videos: list[NamedVideo] = collect_videos(args.videos, args.root, args.columns)
    model, loader = build_model(args, pick_device(args.device))
    rows: list[dict[str, Any]] = []
    for video in videos:
        row: dict[str, Any] = dict(path=str(video.path))
        rows.append(row)
        try:
            clip = loader.from_file(video.path)
        except MediaError as error:
            row['error'] = error.reason
            print(f'{video.path}: failed: {error.reason}', flush=True)
            continue
        picture = args.out / f'{video.name}.png'
        picture.parent.mkdir(parents=True, exist_ok=True)
        losses = reconstruct(model, clip, args, str(video.path), picture)
        row |= dict(picture=str(picture.relative_to(args.out)), losses=losses)
        shown = ', '.join(f'{loss:.4f}' for loss in losses)
        print(f'{video.path}: loss {shown}: {picture}', flush=True)
    args.out.mkdir(parents=True, exist_ok=True)
    write_json(args.out / REPORT, rows)
    found = [loss for row in rows for loss in row.get('losses', ())]
    if found:
        print(f'mean loss {sum(found) / len(found):.4f} of {len(found)} clips: {args.out / REPORT}')
    if any('error' in row for row in rows):
        sys.exit(1)


def command(arguments: Sequence[str]) -> int:
    """Run with these arguments and return the exit status."""
    # Before torch is imported: idle threads of OpenMP spin otherwise.
    os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')
    return guarded(main, build_parser(), arguments)
