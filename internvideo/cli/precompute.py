"""Keep teacher features in files: internvideo precompute CONFIG OUT [options].

Train on them with ``model.targets=dict(type='PrecomputedTargets', root=OUT)`` and
``train_dataloader.sampler.augment_period`` equal to ``--num-crops``.  Jobs may share OUT: each
takes its ``--shard``; parts that are there already are left alone, so a stopped job is started
again with the same command.  The jobs of a SLURM array find their shards themselves.
"""

import argparse
import time
from collections.abc import Sequence
from typing import Any

from internvideo.cli.config_names import named_config
from internvideo.engine.command_line import UsageError, guarded, load_config


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('config', metavar='CONFIG', help='config of a pretraining or distillation')
    parser.add_argument('out', metavar='OUT', help='folder of the targets')
    parser.add_argument('--num-crops', type=int, default=1, help='crops of each video')
    parser.add_argument(
        '--tokens',
        choices=('visible', 'all'),
        default='visible',
        help='visible: of one mask drawn now; all: five times the size, masks drawn in training',
    )
    parser.add_argument(
        '--dtype', choices=('float16', 'bfloat16', 'float32'), default='float16', help='of features'
    )
    parser.add_argument('--part-size', type=int, default=256, help='clips a file holds')
    parser.add_argument(
        '--shard', metavar='I/N', help='this job of N, from 0 (default: place in the SLURM array)'
    )
    parser.add_argument('--batch-size', type=int, default=8)
    parser.add_argument('--num-workers', type=int, default=4)
    parser.add_argument('--device', default=None, help='default: cuda when there is one')
    parser.add_argument('--cfg-options', nargs='+', default=[], metavar='KEY=VALUE')
    parser.add_argument('--debug', action='store_true', help='show the traceback of every error')
    parser.set_defaults(work_dir=None, launcher='none')
    return parser


def find_shard(text: str | None) -> tuple[int, int]:
    """Number of this job and of jobs, from ``--shard`` or the SLURM array."""
    from internvideo.datasets.inference.video_lists import shard_of

    try:
        return shard_of(text)
    except ValueError as error:
        raise UsageError(f'--shard: {error}') from None


def build_model(config: Any, device: str) -> Any:
    """The model of the config with its teachers loaded."""
    from internvideo.models.tasks.pretraining.masked_alignment import MaskedAlignment
    from internvideo.registry import MODELS

    model = MODELS.build(config.model)
    if not isinstance(model, MaskedAlignment) or model.targets.brings_mask:
        raise UsageError('the config is no MaskedAlignment with teachers (model.targets)')
    if model.data_preprocessor.batch_augments:
        raise UsageError(
            'model.data_preprocessor.batch_augments would change the clips in training'
        )
    model.targets.load()
    return model.to(device)


def build_dataset(config: Any, out: str) -> tuple[Any, int]:
    """The training data set, seeded as in training, and that seed."""
    from internvideo.registry import DATASETS

    seed = config.get('randomness', {}).get('seed')
    if seed is None:
        raise UsageError('the config needs randomness.seed: training has to draw the same crops')
    dataset = DATASETS.build(config.train_dataloader.dataset)
    dataset.bad_samples_file = f'{out}/bad_samples.jsonl'
    dataset.set_seed(seed)
    return dataset, seed


def make_manifest(args: argparse.Namespace, model: Any, num_rows: int, seed: int) -> Any:
    """Settings that the folder is made with."""
    from internvideo.models.tasks.pretraining.precomputed import TargetManifest

    return TargetManifest(
        facts=model.targets.facts,
        grid=model.video_encoder.grid,
        tokens=args.tokens,
        num_crops=args.num_crops,
        num_rows=num_rows,
        part_size=args.part_size,
        seed=seed,
        norms=(model.neck.clip_norm, model.neck.mae_norm),
        digest=model.targets.digest,
        dtype=args.dtype,
    )


def pending_batches(
    manifest: Any, args: argparse.Namespace, index: int, count: int
) -> list[tuple[int, list, bool]]:
    """Batches of job ``index`` of ``count``: (part, (crop, row) pairs, whether they end it)."""
    from internvideo.models.tasks.pretraining.precomputed import part_path

    batches = []
    for part in range(index, manifest.num_parts, count):
        # Parts are renamed when they are whole, so one that is there is complete.
        if part_path(args.out, part).is_file():
            continue
        items = manifest.part_items(part)
        starts = range(0, len(items), args.batch_size)
        batches += [
            (part, items[start : start + args.batch_size], start == starts[-1]) for start in starts
        ]
    return batches


def compute(model: Any, dataset: Any, batches: list, args: argparse.Namespace, seed: int) -> None:
    """Run the teachers over ``batches`` and write each part when it is complete."""
    import torch
    from torch.utils.data import DataLoader

    from internvideo.models.tasks.pretraining.precomputed import compute_entries, write_part
    from internvideo.registry import FUNCTIONS

    loader = DataLoader(
        dataset,
        batch_sampler=[items for _, items, _ in batches],
        num_workers=args.num_workers,
        collate_fn=FUNCTIONS.get('collate_clips'),
    )
    entries, started, dtype = [], time.perf_counter(), getattr(torch, args.dtype)
    for number, (batch, (part, _, is_last)) in enumerate(zip(loader, batches, strict=True), 1):
        if not entries:
            torch.manual_seed(seed * 1_000_003 + part)  # the masks of a part are its own
        data = model.data_preprocessor(batch, training=False)
        clips = data['inputs']
        samples = [sample for sample in data['data_samples'] for _ in range(clips.shape[1])]
        entries.append(compute_entries(model, clips.flatten(0, 1), samples, args.tokens, dtype))
        if is_last:
            path = write_part(args.out, part, entries)
            entries = []
            left = (time.perf_counter() - started) / number * (len(batches) - number)
            print(f'{path.name} written, batch {number} of {len(batches)}, {left:.0f} s left')


def main(args: argparse.Namespace) -> None:
    """Compute what this job's shard of the folder lacks."""
    args.config = named_config(args.config)
    config = load_config(args)
    index, count = find_shard(args.shard)
    import torch

    device = args.device or ('cuda' if torch.cuda.is_available() else 'cpu')
    dataset, seed = build_dataset(config, args.out)
    model = build_model(config, device)
    manifest = make_manifest(args, model, len(dataset), seed)
    manifest.write(args.out)
    batches = pending_batches(manifest, args, index, count)
    if batches:
        compute(model, dataset, batches, args, seed)
    print(f'{args.out}: shard {index}/{count} is complete')


def command(arguments: Sequence[str]) -> int:
    """Run with these arguments and return the exit status."""
    return guarded(main, build_parser(), arguments)
