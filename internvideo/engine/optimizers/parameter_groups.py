"""Parameter groups by learning rate and weight decay, as pure functions of names."""

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field


@dataclass
class Group:
    """Parameters, by name, that are stepped alike."""

    lr_scale: float
    weight_decay: float
    lr: float | None = None
    names: list[str] = field(default_factory=list)


def takes_no_decay(name: str, ndim: int, no_weight_decay: Collection[str]) -> bool:
    """Whether a parameter is left out of weight decay: vectors, biases and listed names."""
    return ndim == 1 or name.endswith('.bias') or name in no_weight_decay


def layer_decay_groups(
    parameters: Iterable[tuple[str, int]],
    layer_of: Callable[[str], int],
    num_layers: int,
    layer_decay: float,
    weight_decay: float,
    no_weight_decay: Collection[str] = (),
    extra_decay: Callable[[str], float] = lambda name: 1.0,
) -> list[Group]:
    """Groups of the published layer-wise decay, in order of first appearance.

    The learning-rate scale of layer ``l`` is ``layer_decay ** (num_layers - l)``; with
    ``layer_decay`` 1 there are at most two groups, with and without weight decay.

    Args:
        parameters: (name, number of axes) of every trainable parameter.
        layer_of: Layer of a name, 0 to ``num_layers``.
        num_layers: The last layer, blocks + 1.
        layer_decay: Factor from one layer to the one before it.
        weight_decay: Weight decay of those that take any.
        no_weight_decay: Names that take none.
        extra_decay: Factor of a name on the scale of its layer.
    """
    groups: dict[tuple, Group] = {}
    for name, ndim in parameters:
        spared = takes_no_decay(name, ndim, no_weight_decay)
        layer = layer_of(name) if layer_decay < 1 else num_layers
        scale = layer_decay ** (num_layers - layer) * extra_decay(name)
        decay = 0.0 if spared else weight_decay
        group = groups.setdefault((layer, spared, scale), Group(scale, decay))
        group.names.append(name)
    return list(groups.values())


def module_lr_groups(
    parameters: Iterable[tuple[str, int]],
    lr: float,
    weight_decay: float,
    patterns: Sequence[str] = (),
    pattern_lr: float | None = None,
    no_weight_decay: Collection[str] = (),
) -> list[Group]:
    """Groups in which names that match a pattern have a learning rate of their own.

    Groups are ordered by the first weight decay seen, then by the first rate seen within it.

    Args:
        parameters: (name, number of axes) of every trainable parameter.
        lr: Learning rate of names without a match.
        weight_decay: Weight decay of those that take any.
        patterns: Regular expressions, searched anywhere in the name.
        pattern_lr: Learning rate of names with a match.
        no_weight_decay: Names that take none.
    """
    by_decay: dict[float, dict[float, Group]] = {}
    for name, ndim in parameters:
        decay = 0.0 if takes_no_decay(name, ndim, no_weight_decay) else weight_decay
        own = pattern_lr if any(re.search(pattern, name) for pattern in patterns) else lr
        group = by_decay.setdefault(decay, {}).setdefault(own, Group(1.0, decay, own))
        group.names.append(name)
    return [group for by_lr in by_decay.values() for group in by_lr.values()]
