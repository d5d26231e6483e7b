"""Inputs, encoder fields and gradients of the runners of InternVideo-Next."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from internvideo.verification.cases import Case, CaseError, RunEnv
from internvideo.verification.facts import Facts

ENCODER_FIELDS = (
    'embed_dim',
    'depth',
    'num_heads',
    'mlp_ratio',
    'img_size',
    'patch_size',
    'num_frames',
    'tubelet_size',
    'qkv_bias',
    'qk_normalization',
    'init_values',
    'sep_pos_embed',
    'drop_path_rate',
    'attn_pool_num_heads',
    'clip_embed_dim',
)


def given(case: Case, role: str, env: RunEnv) -> Tensor:
    """The input that the case calls ``role``."""
    name = case.facts['input_names'][role]
    return env.tensor(case.inputs[name])


def encoder_config(facts: Facts, env: RunEnv) -> dict[str, Any]:
    """Config of our encoder for the facts of a case."""
    facts.require(mlp_activation=('gelu', 'gelu_tanh'))
    fields = {name: facts[name] for name in ENCODER_FIELDS if name in facts}
    return dict(
        type='InternVideoNext',
        arch=None,
        attn_backend=env.attn_backend,
        in_channels=facts['in_chans'],
        num_cls_tokens=facts['cls_token_num'],
        act=facts.get('mlp_activation', 'gelu'),
        **fields,
    )


def fill_module(
    module: nn.Module,
    case: Case,
    env: RunEnv,
    to_ours: Callable[[str], str] = str,
    unused: Iterable[str] = (),
) -> nn.Module:
    """Fill ``module`` from the checkpoint of a case, in evaluation mode on the device.

    Args:
        module: its parameters and buffers must be those of the case, but for ``unused``.
        to_ours: name in the module of a published name.
        unused: beginnings of published names that the module does without.

    Raises:
        CaseError: other names or shapes.
    """
    own, skipped = dict(module.state_dict()), tuple(unused)
    names = {name: to_ours(name) for name, *_ in case.state}
    spare = {
        name: torch.empty(shape, device='meta')
        for name, shape, *_ in case.state
        if skipped and name.startswith(skipped)
    }
    published = {name: own.pop(ours) for name, ours in names.items() if ours in own}
    filled = case.fill(published | spare | own)
    state = {names[k]: torch.as_tensor(v) for k, v in filled.items() if k not in spare}
    module.load_state_dict(state)
    return module.to(env.device, env.torch_dtype).eval()


def gradients(
    module: nn.Module, loss: Tensor, names: Iterable[str], to_ours: Callable[[str], str] = str
) -> dict[str, Tensor]:
    """Give ``grad:`` and ``gradnorm:`` of the parameters with these published names."""
    names, outputs = list(names), {}
    if not names:
        return outputs
    module.zero_grad(set_to_none=True)
    loss.backward()
    parameters = dict(module.named_parameters())
    for name in names:
        if to_ours(name) not in parameters:
            raise CaseError(f'gradient of {name}: no such parameter here')
        parameter = parameters[to_ours(name)]
        grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        outputs |= {f'grad:{name}': grad, f'gradnorm:{name}': grad.norm()}
    return outputs
