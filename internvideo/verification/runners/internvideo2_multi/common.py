"""What the runners of this topic share."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from internvideo.verification.cases import Case, RunEnv


def published_state(
    model: nn.Module, case: Case, to_ours: Callable[[str], str]
) -> Mapping[str, Tensor]:
    """State of ``model`` under the case's names; what the case lacks keeps our name."""
    own = dict(model.state_dict())
    known = {name: own.pop(to_ours(name)) for name, *_ in case.state if to_ours(name) in own}
    return known | own


def load_filled(model: nn.Module, case: Case, env: RunEnv, to_ours: Callable[[str], str]) -> Any:
    """``model`` with the checkpoint of the case, on the device, in evaluation mode."""
    filled = case.fill(published_state(model, case, to_ours))
    model.load_state_dict({to_ours(k): torch.as_tensor(v) for k, v in filled.items()})
    return model.to(env.device, env.torch_dtype).eval()


def stored_gradients(
    model: nn.Module, loss: Tensor, case: Case, to_ours: Callable[[str], str]
) -> dict[str, Tensor]:
    """``loss`` and the gradients that the case stores, by published name; zero where unused."""
    loss.backward()
    parameters, outputs = dict(model.named_parameters()), dict(loss=loss)
    for name in case.facts['grads']:
        parameter = parameters[to_ours(name)]
        grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        outputs |= {f'grad:{name}': grad, f'gradnorm:{name}': grad.norm()}
    return outputs


def role_or_none(case: Case, env: RunEnv, role: str) -> Tensor | None:
    """The input playing ``role``, None where the case has none."""
    return env.tensor(case.role(role)) if role in case.roles else None
