"""Models by name: the configs of this code base and the published weights that fit them."""

import difflib
import fnmatch
import functools
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

# Not at run time: listing models must not wait for torch.
if TYPE_CHECKING:
    from mmengine.config import Config
    from torch import nn

METAFILE = 'metafile.yml'


@dataclass(frozen=True)
class ZooEntry:
    """One model of the zoo.

    Attributes:
        name: what :func:`get_model` takes.
        config: its config file.
        weights: published file (``hf://...``), None when none is known.
        adapter: checkpoint adapter of that file; None takes the config's.
        overrides: changes to the config's ``model``.
        results: published figures, as in the metafile.
    """

    name: str
    config: Path
    weights: str | None = None
    adapter: str | None = None
    overrides: Mapping[str, Any] = field(default_factory=dict)
    results: tuple[Mapping[str, Any], ...] = ()


def configs_root() -> Path:
    """The folder of configs: beside the package in a source tree, inside it once installed.

    Raises:
        FileNotFoundError: neither exists.
    """
    package = Path(__file__).resolve().parents[1]
    for root in (package.parent / 'configs', package / 'configs'):
        if (root / '_base_').is_dir():
            return root
    raise FileNotFoundError(f'no configs beside or inside {package}; the installation is broken')


@functools.cache
def zoo() -> dict[str, ZooEntry]:
    """Every model by name: each leaf config, and what the metafiles add, sorted."""
    root = configs_root()
    leaves = (path for path in root.rglob('*.py') if '_base_' not in path.relative_to(root).parts)
    entries = {name: ZooEntry(name, path) for path in leaves if (name := _leaf_name(path, root))}
    for metafile in sorted(root.rglob(METAFILE)):
        # A metafile knows more of a config than its name: its entry takes the place of the leaf's.
        entries.update((entry.name, entry) for entry in _read_metafile(metafile, root))
    return dict(sorted(entries.items()))


def _leaf_name(path: Path, root: Path) -> str:
    return path.relative_to(root).with_suffix('').as_posix()


def _read_metafile(metafile: Path, root: Path) -> list[ZooEntry]:
    rows = yaml.safe_load(metafile.read_text('utf-8'))['Models']
    entries = [
        ZooEntry(
            name=row['Name'],
            config=root.parent / row['Config'],
            weights=row.get('Weights'),
            adapter=row.get('Adapter'),
            overrides=row.get('Overrides', {}),
            results=tuple(row.get('Results', ())),
        )
        for row in rows
    ]
    return [entry for entry in entries if entry.config.is_file()]


def list_models(pattern: str | None = None) -> list[str]:
    """Names that :func:`get_model` takes, sorted.

    Args:
        pattern: shell-style pattern (``'*k400*'``); a plain word matches anywhere in a name.
    """
    if pattern is None:
        return list(zoo())
    if not any(sign in pattern for sign in '*?['):
        pattern = f'*{pattern}*'
    return [name for name in zoo() if fnmatch.fnmatchcase(name, pattern)]


def find_entry(name: str | os.PathLike) -> ZooEntry:
    """The zoo entry of a name, of the last part of a name when only one ends so, or of a file.

    Raises:
        KeyError: no such name, or several end so; near names are given.
        FileNotFoundError: a ``.py`` path that does not exist.
    """
    text, entries = os.fspath(name), zoo()
    if text in entries:
        return entries[text]
    if text.endswith('.py'):
        return _entry_of_file(Path(text))
    ending = [entry for entry in entries if entry.rpartition('/')[2] == text]
    if len(ending) == 1:
        return entries[ending[0]]
    raise KeyError(f'{text!r} is not a model name or config; {_hint(text, ending)}')


def _entry_of_file(path: Path) -> ZooEntry:
    if not path.is_file():  # installed, the configs are not below the working folder
        path = configs_root().parent / path
    if not path.is_file():
        raise FileNotFoundError(f'config not found: {path}; {_hint(path.stem, [])}')
    # Variants, which override fields, are asked for by name: a file stands for itself.
    same = [e for e in zoo().values() if e.config.resolve() == path.resolve() and not e.overrides]
    return same[0] if same else ZooEntry(path.stem, path)


def _hint(text: str, ending: list[str]) -> str:
    if ending:
        return f'it could mean {" or ".join(ending)}'
    by_stem = {name.rpartition('/')[2]: name for name in zoo()}
    near = difflib.get_close_matches(text.rpartition('/')[2], by_stem, n=3, cutoff=0.5)
    if near:
        return f'did you mean {", ".join(by_stem[stem] for stem in near)}?'
    return 'list_models() gives all names'


def get_config(name_or_config: 'str | os.PathLike | Config', **overrides: Any) -> 'Config':
    """The resolved config of a model, with changes to its ``model``.

    Args:
        name_or_config: model name, config file, or a config (which stays as it is).
        **overrides: fields of ``model``; dicts are merged, for instance
            ``backbone=dict(num_frames=16)``.

    Raises:
        KeyError, FileNotFoundError: as :func:`find_entry`.
        ValueError: the config has no ``model``.
    """
    import copy

    from mmengine.config import Config

    if isinstance(name_or_config, Config):
        config, changes = copy.deepcopy(name_or_config), {}
    else:
        entry = find_entry(name_or_config)
        config, changes = Config.fromfile(entry.config), dict(entry.overrides)
    if 'model' not in config:
        raise ValueError(f'{config.filename or "the config"} has no `model`')
    # The caller's last, so that they win. As copies: entries of the zoo are cached.
    for change in (changes, overrides):
        config.merge_from_dict(dict(model=copy.deepcopy(change)))
    return config


def get_model(
    name_or_config: 'str | os.PathLike | Config',
    pretrained: bool | str | os.PathLike = False,
    device: str = 'cpu',
    **overrides: Any,
) -> 'nn.Module':
    """Build a model, in evaluation mode.

    Args:
        name_or_config: a name of :func:`list_models`, a config file or a config.
        pretrained: True loads the published weights of that name; a path, ``hf://`` or http(s)
            address loads that checkpoint, ours or published; False leaves random weights.
        device: torch device.
        **overrides: fields of the config's ``model``, such as ``backbone=dict(num_frames=16)``.

    Raises:
        KeyError: unknown name (near ones are given), or no published weights are known for it.
        FileNotFoundError: the config or checkpoint does not exist.
        CheckpointMismatchError: the checkpoint does not fit the model.
    """
    from internvideo.checkpoint.loading import build_adapter, load_weights
    from internvideo.registry import MODELS

    source = weights_source(name_or_config, pretrained)
    config = get_config(name_or_config, **overrides)
    adapter = _entry_adapter(name_or_config) or adapter_name(config)
    # What training starts from is not read: the weights of `source` replace all of it.
    config.model.pop('init_cfg', None)
    model = MODELS.build(config.model)
    if source is not None:
        load_weights(model, source, build_adapter(adapter), layout='either')
    return model.to(device).eval()


def _entry_adapter(name_or_config: 'str | os.PathLike | Config') -> str | None:
    if isinstance(name_or_config, str | os.PathLike):
        return find_entry(name_or_config).adapter
    return None


def weights_source(
    name_or_config: 'str | os.PathLike | Config', pretrained: bool | str | os.PathLike
) -> str | None:
    """Source of the weights, None for random ones.

    Raises:
        KeyError: ``pretrained=True`` and no published file is known.
    """
    if not isinstance(pretrained, bool):
        return os.fspath(pretrained)
    if not pretrained:
        return None
    weights = published_weights(name_or_config)
    if weights is None:
        known = ', '.join(name for name, entry in zoo().items() if entry.weights)
        raise KeyError(
            f'no published weights are known for {name_or_config}; give a checkpoint. '
            f'Models with published weights: {known}'
        )
    return weights


def find_weights(
    model: 'str | os.PathLike | Config', checkpoint: str | os.PathLike | None
) -> str | os.PathLike:
    """``checkpoint``, or the published weights of that model.

    Raises:
        ValueError: neither is there; nothing runs on random weights unasked.
    """
    found = checkpoint or published_weights(model)
    if found is None:
        name = model if isinstance(model, str | os.PathLike) else model.filename
        raise ValueError(
            f'no published weights are known for {name}: give a checkpoint '
            '(or ask for random_weights to try things out)'
        )
    return found


def published_weights(name_or_config: 'str | os.PathLike | Config') -> str | None:
    """The published file of a zoo name or config file, None when none is known."""
    if isinstance(name_or_config, str | os.PathLike):
        return find_entry(name_or_config).weights
    return None


def adapter_name(config: 'Config') -> str | None:
    """Checkpoint adapter that the config names for its starting weights, or None."""
    init = config.model.get('init_cfg')
    return init.get('adapter') if isinstance(init, Mapping) else None
