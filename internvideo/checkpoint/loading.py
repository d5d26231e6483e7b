"""Loading checkpoints into models, strictly, and writing models in published layouts."""

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.logging import print_log
from mmengine.model import is_model_wrapper, update_init_info
from torch import Tensor, nn

from internvideo.registry import CHECKPOINT_ADAPTERS, WEIGHT_INITIALIZERS

from .files import read_settings, read_state_dict, write_state_dict
from .report import CheckpointMismatchError, LoadReport, Shapes, abbreviate, mismatch_hints

DEFAULT_ADAPTER = 'internvideo2_single'
INIT_FIELDS = ('type', 'checkpoint', 'adapter', 'trusted_pickle')
"""Fields of an ``init_cfg`` of type ``Published`` that are not options of the adapter."""


def load_pretrained(
    model: nn.Module,
    source: str | os.PathLike,
    adapter: str | Mapping[str, Any] = DEFAULT_ADAPTER,
    *,
    trusted_pickle: bool = False,
    **options: Any,
) -> LoadReport:
    """Load a published checkpoint into ``model`` and log what happened.

    Args:
        model: the model to fill; parameters on the meta device become copies of the file's tensors.
        source: what :func:`~internvideo.checkpoint.files.read_state_dict` reads.
        adapter: name (or config) of a registered checkpoint adapter.
        trusted_pickle: accept files with arbitrary Python objects.
        **options: of the adapter, such as ``head='remap'``.

    Returns:
        The report, also written to the log.

    Raises:
        CheckpointMismatchError: anything is missing, unexpected or of another shape, and neither
            the layout nor an option explains it.  The model is unchanged then.
        ValueError, FileNotFoundError, CheckpointSourceError: the file cannot be read.
    """
    converter = build_adapter(adapter, **options)
    model = unwrap_model(model)
    report = LoadReport(source=os.fspath(source))
    state = converter.to_ours(read_state_dict(source, trusted_pickle), model, report)
    if hasattr(converter, 'check_settings'):  # what shapes do not tell
        faults = converter.check_settings(read_settings(source, trusted_pickle), model)
        if faults:
            raise CheckpointMismatchError(
                f'checkpoint {report.source} does not fit {type(model).__name__}: '
                f'{"; ".join(faults)}'
            )
    return _load(model, state, report)


def load_checkpoint(
    model: nn.Module,
    source: str | os.PathLike,
    *,
    strict: bool = True,
    trusted_pickle: bool = False,
) -> LoadReport:
    """Load a checkpoint that this project wrote (the ``state_dict`` of a run) and log a report.

    A file none of whose names the model has is taken for a published one when ``model.init_cfg``
    is of type ``Published``: it is loaded by the adapter and the options given there.  So is any
    file that does not have exactly the model's names, if published files share names with the
    model (the adapter's ``shares_names``) or hold a part of it (the adapter's ``complete``).

    Args:
        model: the model to fill.
        source: what :func:`~internvideo.checkpoint.files.read_state_dict` reads.
        strict: every entry must fit.  Off: missing and unexpected entries are only reported;
            another shape is an error all the same.
        trusted_pickle: accept files with arbitrary Python objects.

    Raises:
        CheckpointMismatchError: the checkpoint is of another architecture, frame count,
            resolution or class count.  The model is unchanged then.
        ValueError, FileNotFoundError, CheckpointSourceError: the file cannot be read.
    """
    state = read_state_dict(source, trusted_pickle)
    model, report = unwrap_model(model), LoadReport(source=os.fspath(source))
    init, own = getattr(model, 'init_cfg', None), model.state_dict().keys()
    converter = _init_adapter(init) if _is_published_init(init) else None
    shares_names = getattr(converter, 'shares_names', False) and state.keys() != own
    if hasattr(converter, 'complete') and state.keys() != own:
        state = converter.complete(state, init['checkpoint'], model, report, trusted_pickle)
    elif converter is not None and (shares_names or state.keys().isdisjoint(own)):
        state = converter.to_ours(state, model, report)
        if strict and report.new and not own.isdisjoint(state):
            raise CheckpointMismatchError(
                f'checkpoint {source} brings no {abbreviate(report.new)} by the options of '
                f'model.init_cfg ({_options(init) or "none"}); if the file holds a classifier for '
                'these classes, set model.init_cfg.head=keep'
            )
    return _load(model, state, report, strict)


def export_published(
    model: nn.Module,
    path: str | os.PathLike,
    adapter: str | Mapping[str, Any] = DEFAULT_ADAPTER,
) -> Path:
    """Write the weights of ``model`` in a published layout, ``.safetensors`` or ``.pth``.

    Raises:
        ValueError: another suffix.
    """
    state = build_adapter(adapter).to_published(unwrap_model(model).state_dict())
    return write_state_dict(state, path, container='model')


def build_adapter(adapter: str | Mapping[str, Any], **options: Any) -> Any:
    """The checkpoint adapter of that name (or config), with ``options``.

    Raises:
        KeyError: no such adapter.
        TypeError: the adapter has no such option.
    """
    config = dict(type=adapter) if isinstance(adapter, str) else dict(adapter)
    return CHECKPOINT_ADAPTERS.build({**config, **options})


def unwrap_model(model: nn.Module) -> nn.Module:
    """The module inside a distributed wrapper, or ``model`` itself."""
    return model.module if is_model_wrapper(model) else model


def _options(init: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in init.items() if name not in INIT_FIELDS}


def _init_adapter(init: Mapping[str, Any]) -> Any:
    return build_adapter(init.get('adapter', DEFAULT_ADAPTER), **_options(init))


def _is_published_init(init_cfg: Any) -> bool:
    kind = init_cfg.get('type') if isinstance(init_cfg, Mapping) else None
    return isinstance(kind, str) and kind.rpartition('.')[2] == 'Published'


def _load(
    model: nn.Module, state: Mapping[str, Tensor], report: LoadReport, strict: bool = True
) -> LoadReport:
    own = model.state_dict()
    theirs, ours = _shapes(state), _shapes(own)
    report.compare(theirs, ours)
    if report.mismatched or (strict and not report.explained):
        raise CheckpointMismatchError(_mismatch_text(model, theirs, ours, report))
    on_meta = any(tensor.is_meta for tensor in own.values())
    # Copies: a tensor of the file may be mapped from the disk, where the file can be rewritten.
    fitting = {n: state[n].to(own[n].dtype, copy=on_meta) for n in report.matched}
    model.load_state_dict(fitting, strict=False, assign=on_meta)
    is_partial = report.new or not report.explained
    level = logging.WARNING if is_partial else logging.INFO
    print_log(str(report), logger='current', level=level)
    return report


def load_part(
    part: nn.Module,
    name: str,
    state: Mapping[str, Tensor],
    model: nn.Module,
    adapter: str | Mapping[str, Any],
    source: str,
) -> LoadReport:
    """Load what a checkpoint of a whole model holds of one child, and log what happened.

    Args:
        part: the child to fill, built on its own.
        name: its name in the model; empty when it is the whole model.
        state: entries of the checkpoint, ours or published.
        model: the whole model, which may be on the meta device: it tells names and sizes.
        adapter: name (or config) of the checkpoint adapter for other layouts and sizes.
        source: what the report calls the checkpoint.

    Raises:
        CheckpointMismatchError: the checkpoint does not hold all of the part.
    """
    report, prefix = LoadReport(source=source), f'{name}.' if name else ''

    def inside(entries: Mapping[str, Any]) -> dict[str, Any]:
        return {k.removeprefix(prefix): v for k, v in entries.items() if k.startswith(prefix)}

    own = inside(state)
    if _shapes(own) != _shapes(part.state_dict()):
        own = inside(build_adapter(adapter).to_ours(state, model, report))
        report.new = list(inside(dict.fromkeys(report.new)))
        # What is left over of other parts is no news of this one.
        report.left_over = []
        report.reshaped, report.remapped = inside(report.reshaped), inside(report.remapped)
    if not own:
        raise CheckpointMismatchError(
            f'checkpoint {source} holds nothing of {name or type(part).__name__}; its entries are '
            f'{abbreviate(state)}'
        )
    return _load(part, own, report)


def _mismatch_text(model: nn.Module, theirs: Shapes, ours: Shapes, report: LoadReport) -> str:
    lines = [f'checkpoint {report.source} does not fit {type(model).__name__}']
    lines += report.faults()
    lines += [f'likely reason: {hint}' for hint in mismatch_hints(theirs, ours, report)]
    return '\n  '.join(lines)


def _shapes(state: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in state.items()}


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
        adapter: str | Mapping[str, Any] = DEFAULT_ADAPTER,
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
            update_init_info(module, init_info=f'Published: loaded from {self.checkpoint}')
