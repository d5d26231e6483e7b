"""Optimisers with the parameter groups of the published recipes."""

import logging
from collections.abc import Callable, Sequence
from typing import Any

from mmengine.logging import print_log
from torch import nn

from internvideo.engine.optimizers.parameter_groups import (
    Group,
    layer_decay_groups,
    module_lr_groups,
)
from internvideo.models.tasks.base import VideoModel
from internvideo.registry import (
    OPTIM_WRAPPER_CONSTRUCTORS,
    OPTIM_WRAPPERS,
    OPTIMIZERS,
)


def trainable_parameters(model: nn.Module) -> list[tuple[str, int]]:
    """(name, number of axes) of every parameter that takes gradients.

    Raises:
        ValueError: there is none.
    """
    found = [(name, p.ndim) for name, p in model.named_parameters() if p.requires_grad]
    if not found:
        raise ValueError(f'{type(model).__name__} has no trainable parameter')
    return found


def no_decay_names(model: nn.Module) -> set[str]:
    """Names without weight decay: what the model says in ``no_weight_decay()``, if it does.

    A :class:`VideoModel` names those of its video encoder.
    """
    own = getattr(model, 'no_weight_decay', None)
    return set() if own is None else set(own())


class GroupConstructor:
    """Builds the optimiser and its wrapper from the groups that a subclass chooses.

    Args:
        optim_wrapper_cfg: Config of the wrapper, with the optimiser under ``optimizer``.
        paramwise_cfg: Options of the subclass, and ``no_weight_decay``: names that take no decay
            besides vectors and biases, in place of those that the model lists.

    Raises:
        ValueError: ``paramwise_cfg`` has an option that the subclass does not know, or the model
            has no parameter of a name.
    """

    options: frozenset[str] = frozenset()

    def __init__(self, optim_wrapper_cfg: dict, paramwise_cfg: dict | None = None) -> None:
        self.wrapper_cfg = dict(optim_wrapper_cfg)
        self.optimizer_cfg = dict(self.wrapper_cfg.pop('optimizer'))
        self.paramwise_cfg = dict(paramwise_cfg or {})
        known = self.options | {'no_weight_decay'}
        unknown = set(self.paramwise_cfg) - known
        if unknown:
            raise ValueError(
                f'{type(self).__name__}: unknown paramwise_cfg {", ".join(sorted(unknown))}; '
                f'known: {", ".join(sorted(known))}'
            )

    def groups(self, model: nn.Module) -> list[Group]:
        """Parameter groups of the unwrapped ``model``."""
        raise NotImplementedError

    def no_weight_decay(self, model: nn.Module) -> set[str]:
        """Names that take no decay besides vectors and biases."""
        listed = self.paramwise_cfg.get('no_weight_decay')
        if listed is None:
            return no_decay_names(model)
        if lost := set(listed) - {name for name, _ in model.named_parameters()}:
            raise ValueError(
                f'paramwise_cfg.no_weight_decay: {type(model).__name__} has no parameter '
                f'{", ".join(sorted(lost))}'
            )
        return set(listed)

    def __call__(self, model: nn.Module) -> Any:
        """The optimiser wrapper of ``model`` (wrapped for DDP or not)."""
        # Without the wrapper, whose prefix no encoder and no pattern expects in names.
        model = getattr(model, 'module', model)
        parameters = dict(model.named_parameters())
        groups = self.groups(model)
        param_groups = []
        for group in groups:
            rate = self.optimizer_cfg['lr'] * group.lr_scale if group.lr is None else group.lr
            param_groups.append(
                dict(
                    params=[parameters[name] for name in group.names],
                    lr=rate,
                    lr_scale=group.lr_scale,
                    weight_decay=group.weight_decay,
                )
            )
        log_groups(groups)
        optimizer = OPTIMIZERS.build(dict(self.optimizer_cfg, params=param_groups))
        return OPTIM_WRAPPERS.build(
            dict(self.wrapper_cfg, type=self.wrapper_cfg.get('type', 'OptimWrapper')),
            default_args=dict(optimizer=optimizer),
        )


def log_groups(groups: Sequence[Group]) -> None:
    """One line per group."""
    for index, group in enumerate(groups):
        print_log(
            f'parameter group {index}: {len(group.names)} parameters, lr scale '
            f'{group.lr_scale:.6g}, weight decay {group.weight_decay:g}, '
            f'first {group.names[0]}',
            logger='current',
            level=logging.DEBUG,
        )


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class LayerDecayConstructor(GroupConstructor):
    """Layer-wise learning-rate decay and the no-decay rules of the published recipes.

    The video encoder says what layer a parameter is in (:meth:`VideoEncoder.get_layer_depth`),
    from 0 at the input to the last behind the blocks; parameters outside the encoder take the full
    rate.

    Options in ``paramwise_cfg``: ``layer_decay_rate`` (1.0: none); ``extra_decay``, one more factor
    on the rate of the patch embedding (1.0: none).
    """

    options = frozenset({'layer_decay_rate', 'extra_decay'})

    def groups(self, model: nn.Module) -> list[Group]:
        """See :func:`layer_decay_groups`."""
        rate, extra = (
            float(self.paramwise_cfg.get(name, 1.0)) for name in ('layer_decay_rate', 'extra_decay')
        )
        if not 0 < rate <= 1:
            raise ValueError(f'layer_decay_rate must lie in (0, 1], got {rate}')
        if not 0 < extra <= 1:
            raise ValueError(f'extra_decay must lie in (0, 1], got {extra}')
        decays = rate < 1 or extra < 1
        layer_of, last = layer_rule(model) if decays else (lambda name: 0, 0)

        def extra_decay(name: str) -> float:
            # Of what is before the blocks, tables and tokens are the encoder's own parameters.
            inside = name.removeprefix(f'{model.encoder_field}.') if extra < 1 else ''
            return extra if '.' in inside and layer_of(name) == 0 else 1.0

        return layer_decay_groups(
            trainable_parameters(model),
            layer_of,
            last,
            rate,
            self.optimizer_cfg.get('weight_decay', 0.0),
            self.no_weight_decay(model),
            extra_decay,
        )


def layer_rule(model: nn.Module) -> tuple[Callable[[str], int], int]:
    """(layer of a parameter name, last layer) of a model with a video encoder.

    Raises:
        ValueError: the model has no video encoder, whose layers could be told apart.
    """
    if not isinstance(model, VideoModel):
        raise ValueError(
            f'layer decay needs a model with a video encoder, and {type(model).__name__} is no '
            'VideoModel: derive it from that (docs/encoders.md), or set '
            'paramwise_cfg.layer_decay_rate=1'
        )
    encoder, prefix = model.video_encoder, f'{model.encoder_field}.'
    last = encoder.get_layer_depth('')[1] - 1

    def layer_of(name: str) -> int:
        inside = name.startswith(prefix)
        return encoder.get_layer_depth(name, prefix)[0] if inside else last

    return layer_of, last


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class ModuleLrConstructor(GroupConstructor):
    """A learning rate of their own for parameters whose name matches a pattern.

    Options in ``paramwise_cfg``: ``patterns`` (regular expressions), ``lr`` (their rate).
    """

    options = frozenset({'patterns', 'lr'})

    def groups(self, model: nn.Module) -> list[Group]:
        """See :func:`module_lr_groups`."""
        patterns = self.paramwise_cfg.get('patterns', ())
        if patterns and 'lr' not in self.paramwise_cfg:
            raise ValueError('ModuleLrConstructor: paramwise_cfg has patterns but no lr')
        return module_lr_groups(
            trainable_parameters(model),
            self.optimizer_cfg['lr'],
            self.optimizer_cfg.get('weight_decay', 0.0),
            patterns,
            self.paramwise_cfg.get('lr'),
            self.no_weight_decay(model),
        )
