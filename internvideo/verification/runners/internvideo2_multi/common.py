"""Helpers of the runners of this topic."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from internvideo.verification.cases import Case, CaseError, RunEnv
from internvideo.verification.expressions import evaluate


def published_state(
    model: nn.Module, case: Case, to_ours: Callable[[str], str]
) -> Mapping[str, Tensor]:
    """State of ``model`` under the case's names, or ours where the case has none."""
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
    """Loss and the gradients that the case lists, by published name, zero where unused."""
    if loss.requires_grad:  # not where everything is frozen
        loss.backward()
    parameters, outputs = dict(model.named_parameters()), dict(loss=loss)
    for name in case.facts.get('grads') or ():
        parameter = parameters.get(to_ours(name))
        if parameter is None:
            raise CaseError(f'gradient of {name}: no such parameter here')
        grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        outputs |= {f'grad:{name}': grad, f'gradnorm:{name}': grad.norm()}
    return outputs


def loss_outputs(
    model: nn.Module,
    case: Case,
    env: RunEnv,
    to_ours: Callable[[str], str],
    outputs: Mapping[str, Tensor],
    **own: Callable[[], Tensor],
) -> dict[str, Tensor]:
    """Loss and gradients as far as the case has them: nothing where its ``loss`` is None.

    The loss is one of ``own``, by the name that the case gives, or a formula of the outputs and
    the inputs.
    """
    kind = case.facts.get('loss')
    if kind is None:
        if case.facts.get('grads'):
            raise CaseError('the case lists gradients, but no loss')
        return {}
    if kind in own:
        loss = own[kind]()
    else:
        given = {role: env.tensor(case.role(role)) for role in case.roles if role in kind}
        loss = evaluate(kind, given | dict(outputs))
    return stored_gradients(model, loss, case, to_ours)


def check_ties(model: nn.Module, case: Case, to_ours: Callable[[str], str]) -> None:
    """Check that parameters which share their values in the case are one here."""
    parameters = dict(model.named_parameters(remove_duplicate=False))
    for name, source in (case.facts.get('tied') or {}).items():
        one, two = (parameters.get(to_ours(entry)) for entry in (name, source))
        if two is None or (one is not two and to_ours(name) in parameters):
            raise CaseError(f'{name} and {source} are tied in the case, not here')


def check_returned(case: Case, outputs: Mapping[str, Any]) -> None:
    """Check that all that the case says to return is there."""
    wanted = case.facts.get('returns') or ()
    names = [wanted] if isinstance(wanted, str) else wanted
    missing = [name for name in names if name not in outputs]
    if missing:
        raise CaseError(f'the case returns {", ".join(missing)}, this build does not')


def role_or_none(case: Case, env: RunEnv, role: str) -> Tensor | None:
    """The input playing ``role``, None where the case has none."""
    return env.tensor(case.role(role)) if role in case.roles else None
