"""Runners of the InternVideo2 classifier, its two probes, position tables and initialisation.

``ARCHS`` says how to build each published architecture and what it returns; a module that serves
more architectures (students, teachers) adds its own entries.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from internvideo.models.layers.position import resized_sinusoid, sincos_1d, sincos_2d, sincos_3d
from internvideo.registry import MODELS
from internvideo.verification.cases import Case, CaseError, RunEnv
from internvideo.verification.expressions import evaluate
from internvideo.verification.facts import Facts
from internvideo.verification.runner_registry import Result, parity_runner

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
HEAD_PARTS = ('fc_norm', 'head', 'extra_mlp', 'down', 'down_norm')
TABLES = ('pos_embed', 'pos_embed_cls', 'pos_embed_spatial', 'pos_embed_temporal')
HEADS = {
    'InternVideo2': 'ClassificationHead',
    'InternVideo2_ap': 'AttentiveProbeHead',
    'InternVideo2_cat': 'ConcatProbeHead',
}


def classifier_facts(model: nn.Module) -> dict[str, Any]:
    """Facts of a case about a model besides arrays."""
    trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
    names = published_no_decay(getattr(model, 'backbone', model))
    return dict(no_weight_decay=sorted(names), trainable_params=trainable)


def published_no_decay(encoder: nn.Module) -> set[str]:
    """The published list, which names joint and separate tables whichever the encoder has."""
    there = dict(encoder.named_parameters())
    return encoder.no_weight_decay() | {name for name in TABLES if name not in there}


@dataclass(frozen=True)
class Arch:
    """One published architecture: how to build it, name its parameters, call and describe it."""

    build: Callable[[dict[str, Any], RunEnv], nn.Module]
    to_ours: Callable[[str], str]
    outputs: Callable[[nn.Module, Case, RunEnv], dict[str, Any]]
    facts: Callable[[nn.Module], dict[str, Any]] = classifier_facts


def case_input(case: Case, role: str, env: RunEnv) -> Tensor:
    """An input of a case, converted first where the case says so."""
    array, cast = case.role(role), case.facts.get('cast') or {}
    return env.tensor(array.astype(cast[role]) if role in cast else array)


def encoder_config(facts: dict[str, Any], env: RunEnv) -> dict[str, Any]:
    """Config of our encoder for the ``model`` facts of a case."""
    fields = {name: facts[name] for name in ENCODER_FIELDS if name in facts}
    fields['act'] = 'gelu_tanh' if facts.get('fused') else 'gelu'
    fields['layerscale_force_fp32'] = not facts.get('layerscale_no_force_fp32', False)
    return dict(type='InternVideo2', arch=None, attn_backend=env.attn_backend, **fields)


def build_classifier(facts: dict[str, Any], env: RunEnv) -> nn.Module:
    """Our recogniser for the ``model`` facts of a classifier case."""
    head = dict(
        type=HEADS[facts['arch']],
        num_classes=facts['num_classes'],
        in_dim=facts['clip_embed_dim'],
        dropout=facts.get('fc_drop_rate', 0.0),
        init_scale=facts.get('init_scale', 0.001),
    )
    if facts['arch'] == 'InternVideo2_cat':
        head.update(
            embed_dim=facts['embed_dim'],
            num_steps=facts['num_frames'] // facts.get('tubelet_size', 1),
            merge_method=facts['merge_method'],
            merge_norm=facts['merge_norm'],
        )
    return MODELS.build(
        dict(type='VideoRecognizer', backbone=encoder_config(facts, env), head=head)
    )


def classifier_name(published: str) -> str:
    """Our name of a published classifier parameter."""
    part = 'head' if published.split('.')[0] in HEAD_PARTS else 'backbone'
    return f'{part}.{published}'


def published_entries(model: nn.Module, arch: Arch, names: list[str]) -> dict[str, Tensor]:
    """State of ``model`` under published names: those of ``names`` first, others as they are."""
    own = dict(model.state_dict())
    known = {name: own.pop(arch.to_ours(name)) for name in names if arch.to_ours(name) in own}
    return known | own


def case_arch(case: Case) -> Arch:
    """Architecture that a case names, or :class:`CaseError` for an unknown one."""
    name = case.facts['model'].get('arch')
    if name not in ARCHS:
        raise CaseError(f'unknown arch {name!r}; known: {", ".join(sorted(ARCHS))}')
    return ARCHS[name]


def load_case_model(case: Case, env: RunEnv) -> nn.Module:
    """The model of a case, filled with the case's checkpoint, on the device, in eval mode."""
    arch = case_arch(case)
    model = arch.build(case.facts['model'], env)
    filled = case.fill(published_entries(model, arch, [entry[0] for entry in case.state]))
    state = {arch.to_ours(name): torch.as_tensor(value) for name, value in filled.items()}
    model.load_state_dict(state, strict=True)
    return model.to(env.device, env.torch_dtype).eval()


def classifier_outputs(model: nn.Module, case: Case, env: RunEnv) -> dict[str, Any]:
    """Recorded activations, logits, and the loss with its gradients where the case asks."""
    video = case_input(case, 'video', env)
    features = model.backbone(video, return_layers=[0] if model.backbone.depth else [])
    outputs = {
        'patch_embed': model.backbone.patch_embed(video),
        'tokens': features.tokens,
        'pooled': features.pooled,
        'logits': model.head(features),
    }
    return outputs | ({'block0': features.layers[0]} if features.layers else {})


def case_loss(
    model: nn.Module, arch: Arch, outputs: dict[str, Any], case: Case, env: RunEnv
) -> dict[str, Tensor]:
    """Return the loss of a case with its gradients, or nothing where the case has none.

    It is the cross entropy of the logits, or a formula of the outputs and inputs.
    """
    kind, names = case.facts.get('loss'), case.facts.get('grad_of') or ()
    if kind is None:
        if names:
            raise CaseError('the case lists gradients, but no loss')
        return {}
    if kind == 'cross_entropy' and 'logits' in outputs:
        loss = cross_entropy(outputs['logits'], case_input(case, 'label', env))
    else:
        given = {role: case_input(case, role, env) for role in case.roles if role in kind}
        loss = evaluate(kind, given | outputs)
    return {'loss': loss} | gradients(model, loss, names, arch.to_ours)


def gradients(
    model: nn.Module, loss: Tensor, names: list[str], to_ours: Callable[[str], str]
) -> dict[str, Tensor]:
    """``grad:`` and ``gradnorm:`` outputs of the parameters with published ``names``.

    The gradient of a parameter that the loss does not reach is zero.
    """
    if not names:
        return {}
    if loss.requires_grad:  # not where everything is frozen
        loss.backward()
    parameters, outputs = dict(model.named_parameters()), {}
    for name in names:
        parameter = parameters.get(to_ours(name))
        if parameter is None:
            raise CaseError(f'gradient of {name}: no such parameter here')
        grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        outputs |= {f'grad:{name}': grad, f'gradnorm:{name}': grad.norm()}
    return outputs


CLASSIFIER = Arch(build_classifier, classifier_name, classifier_outputs)
ARCHS: dict[str, Arch] = dict.fromkeys(HEADS, CLASSIFIER)


@parity_runner(
    *(f'internvideo2_single/{name}' for name in ('finetune', 'small_signal', 'ap', 'cat'))
)
def run_model(case: Case, env: RunEnv) -> Result:
    arch, model, facts = case_arch(case), load_case_model(case, env), case.facts
    model.train(facts.get('train', False))
    if facts['model'].get('head_drop_path_rate') and model.training:
        raise CaseError('the attention pooling has no stochastic depth here')
    with torch.set_grad_enabled(facts.get('loss') is not None):
        outputs = arch.outputs(model, case, env)
    outputs |= case_loss(model, arch, outputs, case, env)
    buffers = dict(model.named_buffers())
    outputs |= {
        f'buffer:{name}': buffers[arch.to_ours(name)] for name in facts.get('buffers_of') or ()
    }
    missing = [name for name in facts.get('record') or () if name not in outputs]
    if missing:
        raise CaseError(f'the case records {", ".join(missing)}, this build does not')
    return Result(outputs, arch.facts(model))


@parity_runner('internvideo2_single/init_stats')
def run_init_stats(case: Case, env: RunEnv) -> Result:
    arch = case_arch(case)
    case.facts.require(no_model=True)
    case.facts['model'].ignore('head_drop_path_rate')  # no parameters
    model = arch.build(case.facts['model'], env)
    parameters = dict(model.named_parameters())
    stds = [parameters[arch.to_ours(name)].std() for name in case.facts['std_of']]
    constants = [parameters[arch.to_ours(name)] for name in case.facts['constant_of']]
    varying = [p.unique() for p in constants if len(p.unique()) > 1]
    if varying:
        raise AssertionError(f'{len(varying)} parameters should start constant')
    expected = arch.facts(model) | dict(
        std_of=case.facts['std_of'],
        constant=case.facts['constant_of'],
        drop_path=[block.drop_path.rate for block in getattr(model, 'backbone', model).blocks],
    )
    outputs = dict(std=torch.stack(stds), constant=torch.stack([p.flatten()[0] for p in constants]))
    return Result(outputs, expected)


@parity_runner('internvideo2_single/sincos_tables')
def run_sincos_tables(case: Case, env: RunEnv) -> Result:
    return Result({table['name']: _table(table) for table in case.facts['tables']})


def _table(facts: Facts) -> Tensor:
    kind = facts['kind']
    if kind == 'videomae':
        steps = facts['cur_frame'] if facts.get('cur_frame', -1) > 0 else None
        rows, width = facts['n_position'], facts['d_hid']
        return resized_sinusoid(rows, width, steps, facts.get('pre_n_position', 1568))[None]
    width, cls_token = facts['embed_dim'], facts.get('cls_token', False)
    if kind == '1d':
        return sincos_1d(width, facts['t_size'], cls_token)
    grid = (facts['grid_size'],) * 2
    if kind == '2d':
        return sincos_2d(width, grid, cls_token)
    return sincos_3d(width, facts['t_size'], grid, cls_token)


@parity_runner('internvideo2_single/probe_freeze')
def run_probe_freeze(case: Case, env: RunEnv) -> Result:
    model = load_case_model(case, env)
    facts = case.facts
    facts.ignore('model_name')  # the published name of the sizes below "model"
    facts['model'].ignore('head_drop_path_rate')  # nothing is computed
    model.backbone.freeze(facts.get('open_block_num', 0), facts.get('open_clip_projector', False))
    flags = {name: p.requires_grad for name, p in model.named_parameters()}
    names = [entry[0] for entry in case.state if classifier_name(entry[0]) in flags]
    trainable = [flags[classifier_name(name)] for name in names]
    kept = [name for name, open_ in zip(names, trainable, strict=True) if open_]
    return Result(dict(trainable=trainable), classifier_facts(model) | dict(trainable=kept))
