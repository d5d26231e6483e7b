"""Runner of UniFormerV2: activations, classes, gradients and the statistics after a step."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from internvideo.checkpoint.adapters.uniformerv2 import NAMES
from internvideo.registry import MODELS
from internvideo.verification.cases import Case, CaseError, RunEnv
from internvideo.verification.facts import Facts
from internvideo.verification.runner_registry import Result, parity_runner

MODES = ('eval', 'train')


def build_uniformerv2(facts: Facts, env: RunEnv) -> nn.Module:
    """Our recogniser for the facts of a case.

    Raises CaseError for facts that contradict one another, or that this build does not know.
    """
    halves = facts['temporal_downsample']
    # The published constructor is told both widths, lengths and kernels.
    facts.require(
        model='UniFormerV2',
        n_dim=facts['width'],
        n_layers=len(facts['return_list']),
        kernel_size=3 if halves else 1,
    )
    width = dict(
        embed_dim=facts['width'], depth=facts['layers'], num_heads=facts['heads'], mlp_ratio=4.0
    )
    backbone = dict(
        type='UniFormerV2',
        arch=width,
        img_size=facts['input_resolution'],
        patch_size=facts['patch_size'],
        num_frames=facts['num_frames'],
        temporal_downsample=halves,
        no_lmhra=facts['no_lmhra'],
        double_lmhra=facts['double_lmhra'],
        dw_reduction=facts['dw_reduction'],
        global_layers=facts['return_list'],
        global_num_heads=facts['n_head'],
        mlp_factor=facts['mlp_factor'],
        mlp_dropout=facts['mlp_dropout'],
        backbone_drop_path_rate=facts.get('backbone_drop_path_rate', 0.0),
        drop_path_rate=facts.get('drop_path_rate', 0.0),
        balance=not facts['frozen'],
        attn_backend=env.attn_backend,
    )
    head = dict(
        type='ClassificationHead',
        num_classes=facts['num_classes'],
        in_dim=facts['width'],
        dropout=facts['cls_dropout'],
    )
    return MODELS.build(dict(type='VideoRecognizer', backbone=backbone, head=head))


@parity_runner('internvideo1_pretrain/uniformerv2')
def run_uniformerv2(case: Case, env: RunEnv) -> Result:
    facts = case.facts
    facts.require(mode=MODES)
    model = build_uniformerv2(facts, env)
    published = {NAMES.to_published(name): value for name, value in model.state_dict().items()}
    filled = case.fill(published)
    model.load_state_dict({NAMES.to_ours(k): torch.as_tensor(v) for k, v in filled.items()})
    model.to(env.device, env.torch_dtype).train(facts['mode'] == 'train')
    video = env.tensor(case.role('video'))
    encoder, queries = model.backbone, []
    hooks = [
        block.register_forward_hook(lambda block, given, query: queries.append(query))
        for block in encoder.transformer.dec
    ]
    features = encoder(video, return_layers=[0])
    for hook in hooks:
        hook.remove()
    logits = model.head(features)
    loss = cross_entropy(logits, torch.tensor(facts['targets'], device=logits.device))
    outputs = dict(
        block0=published_tokens(encoder, features.layers[0]),
        last_block=published_tokens(encoder, features.tokens),
        global_token_0=queries[0].transpose(0, 1),
        global_token_last=queries[-1].transpose(0, 1),
        logits=logits,
        loss=loss,
    )
    outputs |= stored_gradients(model, loss, facts['gradients'])
    buffers = dict(model.named_buffers())
    for name in facts['running_mean_after']:
        outputs[f'after:{name}'] = buffers[NAMES.to_ours(name)]
    return Result(outputs)


def published_tokens(encoder: nn.Module, tokens: Tensor) -> Tensor:
    """(B, T' (1 + S), D) -> (1 + S, B T', D), the published layout."""
    return encoder.split_frames(tokens).permute(2, 0, 1, 3).flatten(1, 2)


def stored_gradients(model: nn.Module, loss: Tensor, wanted: Facts) -> dict[str, Any]:
    """Gradients that a case stores (``full``), and norms of gradients (``norm``)."""
    loss.backward()
    parameters, outputs = dict(model.named_parameters()), {}
    for kind, label in (('full', 'grad'), ('norm', 'gradnorm')):
        for name in wanted[kind]:
            parameter = parameters.get(NAMES.to_ours(name))
            if parameter is None:
                raise CaseError(f'gradient of {name}: no such parameter here')
            # The global path leaves parts out that the loss then does not reach.
            grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            outputs[f'{label}:{name}'] = grad if kind == 'full' else grad.norm()
    return outputs
