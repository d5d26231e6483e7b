"""Copy of a sharded model that holds whole weights during an evaluation.

Forward passes of a sharded model wait for all processes; in an evaluation each process has its own
batches, as many as there are, and calls what it needs of a model.
"""

import copy

import torch
from torch import Tensor, nn

# What torch keeps in every module (parameters, buffers, hooks, ...): never shared with the copy,
# since the strategy registers its hooks and shards there.
INTERNALS = frozenset(vars(nn.Module()))


def copy_without_weights(model: nn.Module) -> nn.Module:
    """Copy of the modules in which parameters have no elements and attributes are shared."""
    # deepcopy takes what is in its memo instead of copying: parameters that take no memory, and
    # attributes (tokenizers, configs, functions) as they are.
    replaced = {id(p): _empty(p) for p in model.parameters()}
    for module in model.modules():
        replaced |= {id(value): value for value in _attributes(module).values()}
    copied = copy.deepcopy(model, replaced)
    return copied.eval()


def share_attributes(model: nn.Module, copied: nn.Module) -> None:
    """Take over into ``copied`` the attributes that were set on ``model`` since it was copied."""
    for source, target in zip(model.modules(), copied.modules(), strict=True):
        for name in _attributes(target).keys() & vars(source).keys():
            vars(target)[name] = vars(source)[name]


def set_tensor(copied: nn.Module, name: str, value: Tensor) -> None:
    """Set a parameter or buffer of ``copied``, in float32 if it is floating-point."""
    owner, _, own_name = name.rpartition('.')
    target = getattr(copied.get_submodule(owner), own_name)
    target.data = value.float() if value.is_floating_point() else value


def release_parameters(copied: nn.Module) -> None:
    """Free the memory of the parameters."""
    for parameter in copied.parameters():
        parameter.data = torch.empty(0, device=parameter.device)


def _empty(parameter: nn.Parameter) -> nn.Parameter:
    return nn.Parameter(torch.empty(0, device=parameter.device), requires_grad=False)


def _attributes(module: nn.Module) -> dict:
    return {name: value for name, value in vars(module).items() if name not in INTERNALS}
