"""A plain twin of a model that is about to be sharded, filled with whole weights to evaluate.

Sharded models compute together or not at all; in an evaluation each process has its own batches,
as many as there are, and calls what it needs of a model.
"""

import copy

import torch
from torch import Tensor, nn

INTERNALS = frozenset(vars(nn.Module()))


def hollow_copy(model: nn.Module) -> nn.Module:
    """The same modules with parameters of no elements; what is not a tensor of theirs is shared."""
    hollow = {id(p): _empty(p) for p in model.parameters()}
    for module in model.modules():
        hollow |= {id(value): value for value in _attributes(module).values()}
    twin = copy.deepcopy(model, hollow)
    return twin.eval()


def share_attributes(model: nn.Module, twin: nn.Module) -> None:
    """Let ``twin`` have what was set on ``model`` since it was copied."""
    for source, target in zip(model.modules(), twin.modules(), strict=True):
        for name in _attributes(target).keys() & vars(source).keys():
            vars(target)[name] = vars(source)[name]


def fill(twin: nn.Module, name: str, value: Tensor) -> None:
    """Give a parameter or buffer of ``twin`` its value; floating-point ones become float32."""
    owner, _, own_name = name.rpartition('.')
    target = getattr(twin.get_submodule(owner), own_name)
    target.data = value.float() if value.is_floating_point() else value


def empty(twin: nn.Module) -> None:
    """Let go of the memory of the parameters."""
    for parameter in twin.parameters():
        parameter.data = torch.empty(0, device=parameter.device)


def _empty(parameter: nn.Parameter) -> nn.Parameter:
    return nn.Parameter(torch.empty(0, device=parameter.device), requires_grad=False)


def _attributes(module: nn.Module) -> dict:
    return {name: value for name, value in vars(module).items() if name not in INTERNALS}
