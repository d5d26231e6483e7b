"""The console script: ``internvideo COMMAND ...``, also ``python -m internvideo.cli``."""

import difflib
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NamedTuple

USAGE_ERROR = 2


class Command(NamedTuple):
    """A module with ``command(arguments) -> exit status``, and what it does in a few words."""

    module: str
    summary: str


# Imported only when it is asked for, so that `--help` answers at once.
COMMANDS = {
    'train': Command('internvideo.cli.train', 'train the model of a config'),
    'test': Command('internvideo.cli.test', 'test a checkpoint'),
    'rehearse': Command('internvideo.cli.rehearse', 'check a config before it is queued'),
    'verify': Command('internvideo.cli.verify', 'run reference cases against this build'),
    'recognize': Command('internvideo.cli.recognize', 'recognise actions in videos'),
    'extract-features': Command('internvideo.cli.extract_features', 'write features of videos'),
    'search': Command('internvideo.cli.search', 'find videos by words or by a video'),
    'reconstruct': Command('internvideo.cli.reconstruct', 'draw what a pretraining makes up'),
    'caption': Command('internvideo.cli.caption', 'write captions of videos'),
    'convert': Command('internvideo.cli.convert', 'convert a checkpoint to or from a layout'),
    'precompute': Command('internvideo.cli.precompute', "keep a teacher's features in files"),
    'check-data': Command('internvideo.cli.check_data', 'find missing and broken media'),
    'make-synthetic': Command('internvideo.cli.make_synthetic', 'write the generated world'),
    'report': Command('internvideo.cli.report', 'draw what a tested run got right and wrong'),
    'merge-predictions': Command('internvideo.cli.merge_predictions', 'join shares of a test'),
    'compare-manifests': Command(
        'internvideo.cli.compare_manifests', 'where two runs saw other frames'
    ),
    'scaling-limits': Command('internvideo.cli.scaling_limits', 'what limits many GPUs'),
    'collect-env': Command('internvideo.cli.collect_env', 'print facts of this machine'),
}


def usage() -> str:
    """Describe the commands, one a line."""
    width = max(map(len, COMMANDS))
    rows = [f'  {name:{width}}  {command.summary}' for name, command in COMMANDS.items()]
    return '\n'.join(
        [
            'usage: internvideo COMMAND [options]',
            '',
            *rows,
            '',
            'internvideo COMMAND --help says what a command takes.',
        ]
    )


def run(arguments: Sequence[str]) -> int:
    """Run the command that the first argument names and return its exit status."""
    if not arguments or arguments[0] in ('-h', '--help'):
        print(usage())
        return 0 if arguments else USAGE_ERROR
    name, *rest = arguments
    if name == '--version':
        from internvideo import __version__

        print(f'internvideo {__version__}')
        return 0
    if name not in COMMANDS:
        near = difflib.get_close_matches(name, COMMANDS, n=1)
        hint = f'did you mean {near[0]}?' if near else 'internvideo --help lists the commands'
        print(f'internvideo: no command {name!r}; {hint}', file=sys.stderr)
        return USAGE_ERROR
    sys.argv[0] = f'internvideo {name}'  # what the usage of the command begins with
    return import_module(COMMANDS[name].module).command(rest)


def main() -> None:
    """Run the command line and exit."""
    sys.exit(run(sys.argv[1:]))


if __name__ == '__main__':
    main()
