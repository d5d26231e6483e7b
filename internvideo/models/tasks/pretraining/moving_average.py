"""A target network that follows the network in training, or stays what that began as."""

import copy
from typing import Any

import torch
from torch import Tensor, nn


def check_momentum(momentum: float) -> float:
    """``momentum``, which must lie in [0, 1], else ValueError."""
    if not 0.0 <= momentum <= 1.0:
        raise ValueError(f'momentum must be in [0, 1], got {momentum}')
    return momentum


@torch.no_grad()
def update_average(target: nn.Module, source: nn.Module, momentum: float) -> None:
    """``target = momentum * target + (1 - momentum) * source`` for each parameter, in place.

    Buffers stay as they are; with ``momentum`` 1 so do the parameters.

    Args:
        target, source: modules of one layout.
        momentum: share of the old value, 0 to 1.

    Raises:
        ValueError: ``momentum`` outside [0, 1], or parameters of other names or shapes.
    """
    check_momentum(momentum)
    pairs = _paired(dict(target.named_parameters()), dict(source.named_parameters()))
    if momentum == 1.0 or not pairs:
        return
    # One kernel for all parameters: a loop over them would launch two for each.
    ours, theirs = (list(side) for side in zip(*pairs, strict=True))
    torch._foreach_mul_(ours, momentum)
    torch._foreach_add_(ours, theirs, alpha=1.0 - momentum)


def _paired(target: dict[str, Tensor], source: dict[str, Tensor]) -> list[tuple[Tensor, Tensor]]:
    if target.keys() != source.keys():
        odd = sorted(target.keys() ^ source.keys())
        raise ValueError(f'target and source have other parameters: {", ".join(odd[:5])}')
    for name, value in target.items():
        if value.shape != source[name].shape:
            raise ValueError(
                f'{name} is {tuple(value.shape)} in the target, {tuple(source[name].shape)} in the '
                'source'
            )
    return [(value, source[name].to(value)) for name, value in target.items()]


class MovingTarget(nn.Module):
    """A copy of a network that gives targets: no gradient, always in evaluation mode.

    The published second stage of InternVideo-Next (arXiv 2512.01342) leaves its target in training
    mode, so that stochastic depth gets into the targets; here it never does.

    Args:
        source: the network to copy, with the weights that the target shall begin with.
        momentum: share of the old value in :meth:`follow`; 1 freezes the target.

    Raises:
        ValueError: ``momentum`` outside [0, 1].
    """

    def __init__(self, source: nn.Module, momentum: float = 1.0) -> None:
        super().__init__()
        self.momentum = check_momentum(momentum)
        self.network = copy.deepcopy(source).requires_grad_(False)
        self.train(False)

    def train(self, mode: bool = True) -> 'MovingTarget':
        """Keep evaluation mode, whatever ``mode`` says."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Run the copied network without gradient."""
        return self.network(*args, **kwargs)

    def follow(self, source: nn.Module) -> None:
        """Update after an optimiser step, see :func:`update_average`."""
        update_average(self.network, source, self.momentum)
