"""Train the model of a config: internvideo train CONFIG [options]."""

import argparse
from collections.abc import Sequence

from internvideo.cli.config_names import named_config
from internvideo.engine.command_line import (
    add_common_arguments,
    guarded,
    load_config,
    trust_pickles,
    use_amp,
)


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        description='Train the model of a config; validates and saves as the config says.'
    )
    add_common_arguments(parser)
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='auto|PATH',
        help='go on from the newest whole checkpoint of the work directory, or from PATH',
    )
    return parser


def main(args: argparse.Namespace) -> None:
    """Train."""
    args.config = named_config(args.config)
    config = load_config(args)
    if args.amp:
        use_amp(config)
    if args.trusted_pickle:
        trust_pickles(config)
    if args.resume is not None:
        config.resume = args.resume

    # Imported when arguments and config are known to be good: mistakes in them are told early.
    from internvideo.engine.distributed import collective_timeout, init_process_group
    from internvideo.registry import RUNNERS

    # Before the runner, whose own set-up would ask for a GPU driver.
    init_process_group(args.launcher, collective_timeout(config))
    runner = RUNNERS.get(config.get('runner_type', 'Runner')).from_cfg(config)
    runner.train()


def command(arguments: Sequence[str]) -> int:
    """Run with these arguments and return the exit status."""
    return guarded(main, build_parser(), arguments)
