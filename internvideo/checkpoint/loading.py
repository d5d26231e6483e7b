"""Loading checkpoints into models, strictly, and writing models in published layouts."""

import logging
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from mmengine.logging import print_log
from mmengine.model import is_model_wrapper, update_init_info
from torch import Tensor, nn

from internvideo.registry import CHECKPOINT_ADAPTERS, WEIGHT_INITIALIZERS

from .adapters import DEFAULT_ADAPTER
from .adapters.base import CheckpointAdapter
from .files import read_settings, read_state_dict, write_state_dict
from .report import CheckpointMismatchError, LoadReport, abbreviate

INIT_FIELDS = ('type', 'checkpoint', 'adapter', 'trusted_pickle')
"""Fields of an ``init_cfg`` of type ``Published`` that are not options of the adapter."""
Layout = Literal['published', 'ours', 'either']


def load_weights(
    model: nn.Module,
    source: str | os.PathLike,
    adapter: CheckpointAdapter | None = None,
    *,
    layout: Layout = 'ours',
    init: Mapping[str, Any] | None = None,
    field: str = '',
    whole: nn.Module | None = None,
    strict: bool = True,
    trusted_pickle: bool = False,
) -> LoadReport:
    """Load a checkpoint into ``model`` and log what happened: the way in for all weights.

    The source is resolved, read as data, brought to the model's names and sizes, loaded strictly
    and reported.

    Args:
        model: the model to fill; parameters on the meta device become copies of the file's tensors.
        source: what :func:`~internvideo.checkpoint.files.read_state_dict` reads.
        adapter: of the published layout; None: none is expected.
        layout: ``'published'``: the file goes through the adapter.  ``'ours'``: it is loaded as it
            stands, unless the adapter says that its names are published ones.  ``'either'``: it is
            loaded as it stands if all names and shapes agree, else through the adapter.
        init: with ``'ours'``: ``init_cfg`` of the model, for files that hold a part of it.
        field: ``model`` is the child of that name of a model whose checkpoint this is.
        whole: with ``'either'``, that model, which may be on the meta device: adapters ask it for
            names and sizes.
        strict: every entry must fit.  Off: missing and unexpected entries are only reported;
            another shape is an error all the same.
        trusted_pickle: accept files with arbitrary Python objects.

    Raises:
        CheckpointMismatchError: the file does not fit, and neither the layout nor an option
            explains it.  The model is unchanged then.
        ValueError, FileNotFoundError, CheckpointSourceError: the file cannot be read.
    """
    state = given = read_state_dict(source, trusted_pickle)
    model, report = unwrap_model(model), LoadReport(source=os.fspath(source))
    own = model.state_dict()
    prefix = f'{field}.' if field else ''
    inner = _inside(state, prefix)
    fits = layout == 'either' and _shapes(inner) == _shapes(own)
    if layout == 'ours' or fits:
        state = inner
    if adapter is None or fits:
        pass
    elif layout == 'ours':
        if adapter.adapts(state.keys(), own.keys()):
            options = dict(strict=strict, trusted_pickle=trusted_pickle)
            state = adapter.complete(state, model, report, init or {}, **options)
    else:
        target = model if whole is None else whole
        # First: that a part is missing says more than a list of entries that have no place.
        adapter.check_model(target)
        try:
            state = adapter.to_ours(state, target, report)
        except ValueError as error:
            raise ValueError(f'checkpoint {source}, adapter {adapter.layout}: {error}') from error
        if adapter.reads_settings:
            _check_settings(adapter, read_settings(source, trusted_pickle), target, report)
        if whole is not None:
            state = _inside(state, prefix)
            _keep_inside(report, prefix)
    if field and not state:
        raise CheckpointMismatchError(
            f'checkpoint {source} holds nothing of {field}; its entries are {abbreviate(given)}'
        )
    return _load(model, state, report, adapter, strict)


def load_pretrained(
    model: nn.Module,
    source: str | os.PathLike,
    adapter: str | Mapping[str, Any] | None = None,
    *,
    trusted_pickle: bool = False,
    **options: Any,
) -> LoadReport:
    """Load a published checkpoint into ``model`` (see :func:`load_weights`).

    Args:
        model, source, trusted_pickle: as there.
        adapter: name (or config) of a registered checkpoint adapter; None: the default.
        **options: of the adapter, such as ``head='remap'``.

    Returns:
        The report, also written to the log.
    """
    converter = build_adapter(adapter, **options)
    return load_weights(model, source, converter, layout='published', trusted_pickle=trusted_pickle)


def load_checkpoint(
    model: nn.Module,
    source: str | os.PathLike,
    *,
    strict: bool = True,
    trusted_pickle: bool = False,
) -> LoadReport:
    """Load a checkpoint that this project wrote (the ``state_dict`` of a run).

    A file none of whose names the model has is taken for a published one when ``model.init_cfg``
    is of type ``Published``: it is loaded by the adapter and the options given there.  So is any
    file that does not have exactly the model's names, if published files share names with the
    model or may hold a part of it (see :meth:`CheckpointAdapter.adapts`).

    Arguments and errors: see :func:`load_weights`.
    """
    options: dict[str, Any] = dict(strict=strict, trusted_pickle=trusted_pickle)
    init = getattr(unwrap_model(model), 'init_cfg', None)
    if is_published_init(init):
        options['adapter'] = adapter_of(init)
        options['init'] = _options(init) | dict(checkpoint=init.get('checkpoint'))
    return load_weights(model, source, **options)


def export_published(
    model: nn.Module,
    path: str | os.PathLike,
    adapter: str | Mapping[str, Any] | None = None,
) -> Path:
    """Write the weights of ``model`` in a published layout, ``.safetensors`` or ``.pth``.

    Raises:
        ValueError: another suffix, or an adapter without a way back.
    """
    state = build_adapter(adapter).to_published(unwrap_model(model).state_dict())
    return write_state_dict(state, path, container='model')


def build_adapter(adapter: str | Mapping[str, Any] | None, **options: Any) -> CheckpointAdapter:
    """Build the checkpoint adapter of that name (or config), with ``options``.

    Raises:
        KeyError: no such adapter.
        TypeError: the adapter has no such option.
    """
    if adapter is None or isinstance(adapter, str):
        adapter = dict(type=adapter or DEFAULT_ADAPTER)
    return CHECKPOINT_ADAPTERS.build({**adapter, **options})


def adapter_of(init: Mapping[str, Any]) -> CheckpointAdapter:
    """Build the adapter that an ``init_cfg`` of type ``Published`` names, with its options."""
    return build_adapter(init.get('adapter'), **_options(init))


def is_published_init(init_cfg: Any) -> bool:
    """Whether an ``init_cfg`` is of type ``Published``."""
    kind = init_cfg.get('type') if isinstance(init_cfg, Mapping) else None
    return isinstance(kind, str) and kind.rpartition('.')[2] == 'Published'


def unwrap_model(model: nn.Module) -> nn.Module:
    """The module inside a distributed wrapper, or ``model`` itself."""
    return model.module if is_model_wrapper(model) else model


def _options(init: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in init.items() if name not in INIT_FIELDS}


def _inside(entries: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    return {k.removeprefix(prefix): v for k, v in entries.items() if k.startswith(prefix)}


def _keep_inside(report: LoadReport, prefix: str) -> None:
    report.new = list(_inside(dict.fromkeys(report.new), prefix))
    report.left_over = []  # what is left over of other parts is no news of this one
    report.reshaped = _inside(report.reshaped, prefix)
    report.remapped = _inside(report.remapped, prefix)


def _check_settings(
    adapter: CheckpointAdapter, settings: Mapping[str, Any], model: nn.Module, report: LoadReport
) -> None:
    if faults := adapter.check_settings(settings, model):  # what shapes do not tell
        raise CheckpointMismatchError(
            f'checkpoint {report.source} does not fit {type(model).__name__}: {"; ".join(faults)}'
        )


def _load(
    model: nn.Module,
    state: Mapping[str, Tensor],
    report: LoadReport,
    adapter: CheckpointAdapter | None,
    strict: bool,
) -> LoadReport:
    own = model.state_dict()
    theirs, ours = _shapes(state), _shapes(own)
    report.compare(theirs, ours)
    # Another shape is never let pass: the parameter would stay random although the file has it.
    if report.mismatched or (strict and not report.explained):
        hints = (adapter or build_adapter(None)).hints(theirs, ours, report)
        raise CheckpointMismatchError(_mismatch_text(model, report, hints))
    on_meta = any(tensor.is_meta for tensor in own.values())
    # Copies: a tensor of the file may be mapped from the disk, where the file can be rewritten.
    fitting = {n: state[n].to(own[n].dtype, copy=on_meta) for n in report.matched}
    # A parameter on the meta device has no memory to copy into, so the tensor takes its place.
    model.load_state_dict(fitting, strict=False, assign=on_meta)
    is_partial = report.new or not report.explained
    level = logging.WARNING if is_partial else logging.INFO
    print_log(str(report), logger='current', level=level)
    return report


def _mismatch_text(model: nn.Module, report: LoadReport, hints: Iterable[str]) -> str:
    lines = [f'checkpoint {report.source} does not fit {type(model).__name__}']
    lines += report.faults()
    lines += [f'likely reason: {hint}' for hint in hints]
    return '\n  '.join(lines)


def _shapes(state: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in state.items()}


@WEIGHT_INITIALIZERS.register_module(name='Pretrained')
class PretrainedInit:
    """Weight initialiser ``init_cfg=dict(type='Pretrained', ...)``: loads a checkpoint of ours.

    In the place of mmengine's, which runs the code that a file may hold and leaves out what does
    not fit.

    Args:
        checkpoint: what :func:`~internvideo.checkpoint.files.read_state_dict` reads.
        prefix: where the module stands in the file, for instance ``'backbone.'``.
        map_location: accepted for mmengine's sake; files are read on the CPU.
    """

    def __init__(
        self, checkpoint: str | os.PathLike, prefix: str | None = None, map_location: Any = None
    ) -> None:
        self.checkpoint, self.prefix = checkpoint, prefix or ''

    def __call__(self, module: nn.Module) -> None:
        load_weights(module, self.checkpoint, field=self.prefix.rstrip('.'))
        if hasattr(module, '_params_init_info'):
            update_init_info(module, init_info=f'Pretrained: loaded from {self.checkpoint}')


@WEIGHT_INITIALIZERS.register_module(name='Published')
class PublishedInit:
    """Weight initialiser ``init_cfg=dict(type='Published', ...)``: loads a published checkpoint.

    mmengine runs initialisers of its own choosing before those of the children, which would
    overwrite what was loaded.  So this one lets the children initialise themselves first and
    marks them as done.  Every process reads the file for itself.

    Args:
        checkpoint: what :func:`~internvideo.checkpoint.files.read_state_dict` reads.
        adapter: name (or config) of a registered checkpoint adapter.
        trusted_pickle: accept files with arbitrary Python objects.
        **options: of the adapter.
    """

    def __init__(
        self,
        checkpoint: str | os.PathLike,
        adapter: str | Mapping[str, Any] | None = None,
        trusted_pickle: bool = False,
        **options: Any,
    ) -> None:
        self.checkpoint = checkpoint
        self.adapter = adapter
        self.trusted_pickle = trusted_pickle
        self.options = options

    def __call__(self, module: nn.Module) -> None:
        for child in module.children():
            if hasattr(child, 'init_weights') and not getattr(child, 'is_init', False):
                child.init_weights()
                child._is_init = True
        options = dict(self.options, trusted_pickle=self.trusted_pickle)
        try:
            load_pretrained(module, self.checkpoint, self.adapter, **options)
        except FileNotFoundError as error:
            raise FileNotFoundError(
                f'{error}: put it there, name another source by model.init_cfg.checkpoint, or '
                'start from random weights with model.init_cfg=None'
            ) from error
        if hasattr(module, '_params_init_info'):
            # mmengine keeps this record only while the outermost init_weights() runs, to log it.
            update_init_info(module, init_info=f'Published: loaded from {self.checkpoint}')
