"""Test a checkpoint: internvideo test CONFIG [CHECKPOINT] [options]."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from internvideo.cli.config_names import named_config
from internvideo.engine.command_line import (
    UsageError,
    add_common_arguments,
    check_manifest,
    guarded,
    load_config,
    trust_pickles,
    use_amp,
)

FRAME_OPTIONS = ('test_dataloader.dataset.sampling', 'test_dataloader.dataset.pipeline')
"""Options that choose the frames of a test, or bring them to size."""


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        description='Test a checkpoint, ours or a published one, on the test set of a config.'
    )
    add_common_arguments(parser)
    parser.add_argument(
        'checkpoint',
        nargs='?',
        metavar='CHECKPOINT',
        help='.pth or .safetensors file, hf://org/repo/file; without it, the released files that '
        'the config of an evaluation names',
    )
    parser.add_argument('--out', metavar='FILE', help='write predictions (.json or .pkl)')
    parser.add_argument(
        '--manifest',
        metavar='FILE',
        help='write which frames of which file were seen (.jsonl or .parquet)',
    )
    parser.add_argument(
        '--frame-sampling',
        choices=('checkpoint', 'config'),
        help='whose choice of frames counts where the two differ (default: checkpoint, or config '
        'where --cfg-options changes it)',
    )
    parser.add_argument('--shard', metavar='i/n', help='test only share i of n, from 0')
    return parser


def dump_predictions(config: object, out: str) -> None:
    """Let the test's metrics write what they saw to ``out``."""
    path = Path(out)
    evaluators = config.test_evaluator
    evaluators = evaluators if isinstance(evaluators, list) else [evaluators]
    if hasattr(config.test_dataloader.dataset, 'sets'):
        raise UsageError(
            f'--out {out}: its metrics score whole sets, not single samples; evaluation sets put '
            'theirs into evaluation.json in the work directory'
        )
    if path.suffix == '.json':
        evaluators[0]['dump'] = str(path)
    elif path.suffix == '.pkl':
        evaluators.append(dict(type='DumpResults', out_file_path=str(path)))
    else:
        raise UsageError(f'--out {out}: the file must end in .json or .pkl')
    config.test_evaluator = evaluators


def write_frame_manifest(config: object, out: str) -> None:
    """Let the test write the manifest of its frames to ``out``."""
    check_manifest(out)
    hook = dict(type='FrameManifestHook', out=out)
    config.custom_hooks = [*(config.get('custom_hooks') or ()), hook]


def take_share(config: object, shard: str) -> None:
    """Let the test see only its share of the samples."""
    index, separator, count = shard.partition('/')
    if not (index.isdigit() and separator and count.isdigit()):
        raise UsageError(f'--shard {shard}: give i/n, such as 0/8')
    loader = config.test_dataloader
    share = dict(type='DatasetShard', index=int(index), count=int(count))
    loader['dataset'] = dict(share, dataset=loader['dataset'])


def chosen_by(options: Sequence[str]) -> str:
    """Whose choice of frames is meant: that of the config if the command line says how."""
    return 'config' if any(option.startswith(FRAME_OPTIONS) for option in options) else 'checkpoint'


def check_checkpoint(config: object, args: argparse.Namespace) -> None:
    """Raise UsageError unless the checkpoint exists, or the config names a released model."""
    if args.checkpoint is None:
        if config.get('train_dataloader') is not None or not config.model.get('init_cfg'):
            raise UsageError(f'give a CHECKPOINT: {args.config} names no trained model to test')
    elif '://' not in args.checkpoint and not Path(args.checkpoint).is_file():
        raise UsageError(f'checkpoint {args.checkpoint} does not exist')


def main(args: argparse.Namespace) -> None:
    """Test."""
    args.config = named_config(args.config)
    config = load_config(args)
    check_checkpoint(config, args)
    if config.get('test_dataloader') is None:
        raise UsageError(f'{args.config} has no test_dataloader')
    if args.amp:
        use_amp(config)
    if args.trusted_pickle:
        trust_pickles(config)
    if args.out:
        dump_predictions(config, args.out)
    if args.manifest:
        write_frame_manifest(config, args.manifest)
    if args.shard:
        take_share(config, args.shard)
    # A test never resumes, whatever the config says for its training.
    config.load_from, config.resume = args.checkpoint, False

    # Imported when arguments and config are known to be good: mistakes in them are told early.
    from internvideo.engine.distributed import collective_timeout, init_process_group
    from internvideo.hub.frame_choice import follow_checkpoint
    from internvideo.registry import RUNNERS

    # Before the runner, whose own set-up would ask for a GPU driver.
    init_process_group(args.launcher, collective_timeout(config))
    told: list[str] = []
    choice = args.frame_sampling or chosen_by(args.cfg_options)
    follow_checkpoint(config, args.checkpoint, choice, splits=['test'], warn=told.append)
    runner = RUNNERS.get(config.get('runner_type', 'Runner')).from_cfg(config)
    for warning in told:  # the run's log exists now
        runner.logger.warning(warning)
    if args.checkpoint is None:
        # mmengine reads what init_cfg names only when it trains.
        runner.load_initial_weights()
    runner.test()


def command(arguments: Sequence[str]) -> int:
    """Run with these arguments and return the exit status."""
    return guarded(main, build_parser(), arguments)
