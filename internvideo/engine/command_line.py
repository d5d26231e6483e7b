"""Arguments, configs and error messages of the command-line tools.

Only the standard library is imported here; all else waits until the arguments are known, so that
``--help`` and a mistyped path answer at once.
"""

import argparse
import difflib
import inspect
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

DEBUG_VARIABLE = 'INTERNVIDEO_DEBUG'
USAGE_ERROR = 2
BACKENDS = ('auto', 'pyav', 'decord', 'torchcodec')
"""Readers of video files."""
IN_ORDER = ('auto', 'pyav')
"""Those that decode a video from its start to its end."""
DEADLINE = 60.0
MISTYPED = 0.85
"""Likeness from which on a name is taken for another one, mistyped."""
# What Python says of a field that the class does not have or cannot do without; it names both.
WRONG_FIELDS = (
    'unexpected keyword argument',
    'required positional argument',
    'required keyword-only argument',
)


class UsageError(Exception):
    """Fault of the command line, whose message names the argument."""


class IntermixedParser(argparse.ArgumentParser):
    """Takes videos wherever they stand among the flags."""

    def parse_args(self, *args, **kwargs) -> argparse.Namespace:
        return self.parse_intermixed_args(*args, **kwargs)


def add_reading_arguments(
    parser: argparse.ArgumentParser, backends: Sequence[str] = BACKENDS
) -> None:
    """Add the arguments of tools that read media."""
    parser.add_argument(
        '--backend', choices=backends, help="reader of videos (default: the config's, else auto)"
    )
    parser.add_argument(
        '--deadline',
        type=float,
        default=DEADLINE,
        metavar='SECONDS',
        help=f'end a decoding that takes longer (default: {DEADLINE:g})',
    )


def reading_limits(args: argparse.Namespace) -> dict[str, float]:
    """Limits of the readers by the arguments.

    Raises:
        UsageError: a deadline that is not positive.
    """
    if not args.deadline > 0:
        raise UsageError(f'--deadline must be positive, got {args.deadline:g}')
    return dict(deadline=args.deadline)


def refuse_overwriting(outputs: Iterable[Path], inputs: Iterable[str | Path]) -> None:
    """Raise :class:`UsageError` for a file to write that is an input, whatever its name."""
    taken = {_file_identity(path) for path in map(Path, inputs) if path.exists()}
    for output in outputs:
        if output.exists() and _file_identity(output) in taken:
            raise UsageError(f'{output} is an input and would be overwritten: choose another place')


def _file_identity(path: Path) -> tuple[int, int]:
    # Links and other spellings of a name lead to the same file.
    state = path.stat()
    return state.st_dev, state.st_ino


def add_common_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of every tool that builds a runner."""
    parser.add_argument('config', metavar='CONFIG', help='config file')
    parser.add_argument('--work-dir', metavar='DIR', help='default: work_dirs/<name of CONFIG>')
    parser.add_argument('--amp', action='store_true', help='bfloat16 autocast, on CPU and GPU')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        default=[],
        metavar='KEY=VALUE',
        help='change config values, e.g. train_cfg.max_epochs=2; +KEY=VALUE adds a new key',
    )
    parser.add_argument(
        '--trusted-pickle',
        action='store_true',
        help='read checkpoints with arbitrary Python objects, which can run any code',
    )
    parser.add_argument('--launcher', choices=('none', 'pytorch', 'slurm'), default='none')
    parser.add_argument('--debug', action='store_true', help='show the traceback of every error')


def load_config(args: argparse.Namespace) -> Any:
    """Load the config of ``args`` and apply the common arguments.

    Raises:
        UsageError: the file is missing or does not parse, a field of it looks like a mistyped one
            of the runner, or an option fits nothing.
    """
    path = Path(args.config)
    if not path.is_file():
        raise UsageError(f'config file {path} does not exist')
    options = dict(split_option(text) for text in args.cfg_options)
    make_projects_importable()
    from mmengine.config import Config

    try:
        config = Config.fromfile(path)
    except (SyntaxError, FileNotFoundError, KeyError, NameError, AttributeError) as error:
        raise UsageError(f'config file {path} cannot be read: {error}') from error
    apply_options(config, options)
    check_field_names(config, path)
    config.work_dir = args.work_dir or config.get('work_dir') or f'work_dirs/{path.stem}'
    config.launcher = args.launcher
    config.setdefault('default_scope', 'internvideo')
    return config


def check_field_names(config: Any, path: Path) -> None:
    """Raise :class:`UsageError` for a top field that nearly has the name of one of the runner's.

    Fields of a config's own are welcome, so other mistakes cannot be told.
    """
    known = fields_of(config, top=True)
    for name in config.keys() - known:
        if near := difflib.get_close_matches(name, known, n=1, cutoff=MISTYPED):
            raise UsageError(
                f'config file {path}: a run has no field {name!r}; did you mean {near[0]}? (a '
                f"variable of the config's own goes by `del {name}` at its end)"
            )


def make_projects_importable() -> None:
    """Let ``custom_imports`` name modules below the current directory and below this repository."""
    repository = Path(__file__).resolve().parents[2]
    # At the end of the path: a folder here may have the name of an installed package.
    folders = (str(Path.cwd()), str(repository))
    sys.path += [folder for folder in folders if folder not in sys.path]


def split_option(text: str) -> tuple[str, str]:
    """Split ``KEY=VALUE`` in two.

    Raises:
        UsageError: there is no ``=`` or no key.
    """
    key, separator, value = text.partition('=')
    if not separator or not key.strip('+'):
        raise UsageError(f'--cfg-options {text!r} is not of the form KEY=VALUE')
    return key, value


def apply_options(config: Any, options: dict[str, str]) -> None:
    """Change ``config`` in place.

    A dotted key must exist, or be a field that the class named by ``type`` takes, unless a ``+``
    stands before it.  Numbers in a key are list positions.  Values are read as Python would, or
    else as text.

    Raises:
        UsageError: an unknown key; the message says what comes close.
    """
    from mmengine.config import DictAction

    for key, text in options.items():
        if key.startswith('+'):
            fill_empty_parents(config, key[1:])
        else:
            check_key_exists(config, key)
        try:
            value = DictAction._parse_iterable(text)
        except (AssertionError, RecursionError) as error:  # mmengine's parser of lists, lost
            raise UsageError(
                f'--cfg-options {key}={text}: neither a number, a text nor a list in brackets; '
                f'set a dict field by field, {key}.FIELD=VALUE'
            ) from error
        if not key.startswith('+'):
            check_is_number(config, key, value)
        try:
            config.merge_from_dict({key.removeprefix('+'): value})
        except (KeyError, TypeError) as error:
            raise UsageError(f'--cfg-options {key}={text}: {error}') from error


def fill_empty_parents(config: Any, key: str) -> None:
    """Put an empty dict in place of each parent of the dotted ``key`` that is None."""
    node = config
    for part in key.split('.')[:-1]:
        if not hasattr(node, 'keys') or part not in node:
            return
        if node[part] is None:
            node[part] = {}
        node = node[part]


def check_key_exists(config: Any, key: str) -> None:
    """Raise :class:`UsageError` with near misses if the dotted ``key`` leads nowhere."""
    node, path = config, []
    for part in key.split('.'):
        path.append(part)
        if isinstance(node, list | tuple) and part.isdigit() and int(part) < len(node):
            node = node[int(part)]
        elif not isinstance(node, list | tuple) and hasattr(node, 'keys') and part in node:
            node = node[part]
        elif len(path) == key.count('.') + 1 and part in fields_of(node, top=len(path) == 1):
            return
        else:
            known = list(dotted_keys(config))
            near = difflib.get_close_matches(key, known, n=3, cutoff=0.6)
            near = near or [name for name in known if name.rpartition('.')[2] == key][:3]
            hint = f'did you mean {", ".join(near)}? ' if near else ''
            raise UsageError(
                f'--cfg-options {key}: the config has no {".".join(path)!r}; {hint}'
                f'(+{key}=... adds a new key)'
            )


def check_is_number(config: Any, key: str, value: Any) -> None:
    """Raise :class:`UsageError` if ``value`` is text where the config has a number."""
    node = config
    for part in key.split('.'):
        node = node[int(part)] if isinstance(node, list | tuple) else node.get(part)
    is_number = isinstance(node, int | float) and not isinstance(node, bool)
    if is_number and isinstance(value, str):
        raise UsageError(f'--cfg-options {key}={value}: the config has a number here ({node})')


def fields_of(node: Any, top: bool = False) -> set[str]:
    """Fields that a config dict may have although it does not state them.

    Those of the runner for the whole config (``top``), of torch's loader where there is a data
    set, else the arguments of what ``type`` names.
    """
    if top:
        from internvideo.engine.runner import RUNNER_FIELDS

        return RUNNER_FIELDS
    kind = node.get('type') if hasattr(node, 'get') else None
    if kind is None and 'dataset' in node:
        from torch.utils.data import DataLoader

        return set(inspect.signature(DataLoader).parameters)
    if not isinstance(kind, str):
        return set()
    from internvideo import registry

    # The config does not say which registry a field belongs to, so all are asked.
    registries = [item for item in vars(registry).values() if isinstance(item, registry.Registry)]
    found = next((r.get(kind) for r in registries if kind in r), None)
    constructors = getattr(found, '__mro__', (found,)) if found else ()
    return {name for kind in constructors for name in inspect.signature(kind).parameters}


def dotted_keys(node: Any, prefix: str = '') -> Iterator[str]:
    """Dotted keys below ``node``, with positions for lists."""
    if isinstance(node, list | tuple):
        items: Any = enumerate(node)
    elif hasattr(node, 'items'):
        items = node.items()
    else:
        return
    for name, value in items:
        yield f'{prefix}{name}'
        yield from dotted_keys(value, f'{prefix}{name}.')


def check_manifest(path: str | os.PathLike) -> None:
    """Raise :class:`UsageError` for a --manifest that cannot be written."""
    from internvideo.fileio.manifests import check_manifest_path

    try:
        check_manifest_path(path)
    except (ValueError, ImportError) as error:
        raise UsageError(f'--manifest {error}') from error


def use_amp(config: Any) -> None:
    """Switch training and evaluation to bfloat16 autocast, keeping a dtype the config has."""
    wrapper = config.get('optim_wrapper')
    if wrapper is not None and wrapper.get('type') != 'AmpOptimWrapper':
        wrapper.type = 'AmpOptimWrapper'
    for name in ('val_cfg', 'test_cfg'):
        if config.get(name) is not None and config[name].get('amp_dtype') is None:
            config[name].amp_dtype = 'bfloat16'


def trust_pickles(config: Any) -> None:
    """Let ``load_from`` and the model's published weights be files that can run any code."""
    config.trusted_pickle = True
    from internvideo.checkpoint.loading import is_published_init

    init = config.model.get('init_cfg')
    if is_published_init(init):
        init.trusted_pickle = True


def run(main: Callable[[argparse.Namespace], None], parser: argparse.ArgumentParser) -> None:
    """Parse the command line, run ``main`` and exit, with one line for a user's error."""
    sys.exit(guarded(main, parser, sys.argv[1:]))


def guarded(
    main: Callable[[argparse.Namespace], None],
    parser: argparse.ArgumentParser,
    arguments: Sequence[str],
) -> int:
    """Run ``main`` and return its exit code: 0, 2 (usage), 1 (other errors) or a signal's.

    Errors whose message is meant for the user are one line unless ``--debug`` is given or
    ``INTERNVIDEO_DEBUG=1`` is set; anything unforeseen keeps its traceback.
    """
    args = parser.parse_args(arguments)
    try:
        main(args)
    except UsageError as error:
        _report(error, args.debug)
        return USAGE_ERROR
    except Exception as error:
        _report(error, args.debug or not _is_for_user(error))
        return 1
    if 'torch' in sys.modules:  # a tool that needs no torch must not import it to leave
        from internvideo.engine.distributed import leave_process_group

        leave_process_group()  # not after an error: the others may be gone, it would wait for them
    return 0


def _is_for_user(error: Exception) -> bool:
    """Whether the message alone explains the error: bad input, not a fault of the program."""
    if isinstance(error, ValueError | LookupError | OSError | ImportError):
        return True
    if isinstance(error, TypeError) and any(text in str(error) for text in WRONG_FIELDS):
        return True
    own = [kind for kind in type(error).__mro__ if kind.__module__.startswith('internvideo.')]
    return bool(own)


def _report(error: Exception, show_traceback: bool) -> None:
    if show_traceback or os.environ.get(DEBUG_VARIABLE) == '1':
        traceback.print_exc()
    text = _without_worker_traceback(error)
    rank = os.environ.get('RANK')
    where = f' [rank {rank}]' if rank not in (None, '0') else ''
    print(f'error{where}: {text or type(error).__name__}', file=sys.stderr, flush=True)


def _without_worker_traceback(error: Exception) -> str:
    """Message of ``error`` without what torch adds to one from a loader worker."""
    # str() of a KeyError puts its message in quotes.
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    if not text.startswith('Caught ') or 'Original Traceback' not in text:
        return text
    return re.split(rf'\n(?:[\w.]+\.)?{type(error).__name__}: ', text)[-1].strip()
