"""Runners of VideoMAE: pretraining with its gradients, and the fine-tuned classifier."""

from collections.abc import Callable
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from internvideo.registry import MODELS
from internvideo.verification.cases import Case, RunEnv
from internvideo.verification.facts import Facts
from internvideo.verification.runner_registry import Result, parity_runner
from internvideo.verification.runners.internvideo2_single.classifier import gradients

HEAD_PARTS = ('fc_norm.', 'head.')
MASK_TYPES = ('random', 'tube', 't_consist', 't_progressive', 't_center_prog')
FIXED_TABLES = ('fixed sin-cos, not in the state dict',)


@parity_runner('internvideo1_pretrain/videomae_pretrain')
def run_pretraining(case: Case, env: RunEnv) -> Result:
    facts = case.facts
    facts.require(
        model='VideoMAE pretraining transformer', layer_norm_eps=1e-6, pos_embed=FIXED_TABLES
    )
    model = load(build_autoencoder(facts, env), case, env, pretraining_name)
    video, mask = env.tensor(case.inputs['video']), case_mask(case, env)
    visible, hidden = model.split_tokens(mask, int((~mask[0]).sum()))
    features = model.encode(video, visible, hidden)
    prediction, target = model.decode(features, visible, hidden), model.targets(video, hidden)
    loss = F.mse_loss(prediction.float(), target)
    outputs = dict(encoder_features=features, prediction=prediction, target=target, loss=loss)
    return Result(outputs | case_gradients(model, case, loss, pretraining_name))


def build_autoencoder(facts: Facts, env: RunEnv) -> nn.Module:
    """Our autoencoder for the facts of a case."""
    tube = 3 * facts['tubelet_size'] * facts['patch_size'] ** 2
    facts.require(encoder_num_classes=0, decoder_num_classes=tube)
    shared = dict(
        mlp_ratio=facts['mlp_ratio'],
        qkv_bias=facts['qkv_bias'],
        qk_scale=facts.get('qk_scale'),
        init_values=facts['init_values'],
        attn_backend=env.attn_backend,
    )
    encoder, decoder = (
        {name: facts[f'{part}_{name}'] for name in ('embed_dim', 'depth', 'num_heads')}
        for part in ('encoder', 'decoder')
    )
    sizes = {name: facts[name] for name in ('img_size', 'patch_size', 'num_frames', 'tubelet_size')}
    return MODELS.build(
        dict(
            type='MaskedAutoencoder',
            data_preprocessor=dict(type='ClipDataPreprocessor'),
            backbone=dict(
                type='VideoMAE', arch=None, pos_embed='own', **encoder, **shared, **sizes
            ),
            decoder=dict(type='VideoMAEDecoder', **decoder, **shared),
            masker=dict(type='TubeMask', ratio=0.9),  # masks are inputs of cases
            target='normalised' if facts['normalize_target'] else 'pixels',
        )
    )


def pretraining_name(published: str) -> str:
    """Our name of a published pretraining entry."""
    part, _, rest = published.partition('.')
    return f'backbone.{rest}' if part == 'encoder' else published


def case_mask(case: Case, env: RunEnv) -> Tensor:
    """The mask of a case over all tokens: of one frame, and repeated, where it is a tube mask."""
    facts = case.facts
    steps = facts['num_frames'] // facts['tubelet_size']
    facts.require(mask_type=MASK_TYPES, temporal_slots=steps)
    facts.ignore('mask')  # in words what mask_type and mask_input say
    mask = env.tensor(case.inputs[facts['mask_input']]).bool()
    is_tube = facts['mask_type'] in ('tube', 't_consist')
    patches = (facts['img_size'] // facts['patch_size']) ** 2
    return mask.repeat(1, steps) if is_tube and mask.shape[1] == patches else mask


@parity_runner('internvideo1_pretrain/videomae_finetune')
def run_finetuning(case: Case, env: RunEnv) -> Result:
    facts = case.facts
    facts.require(model='VideoMAE fine-tuning transformer', layer_norm_eps=1e-6)
    model = load(build_classifier(facts, env), case, env, finetuning_name)
    features = model.extract_features(env.tensor(case.inputs['video']))
    logits = model.head(features)
    if model.training:
        logits = model.head.merge_segments(logits)
    loss = F.cross_entropy(logits.float(), env.tensor(facts['targets']))
    outputs = dict(
        logits=logits,
        features=model.head.fc_norm(features.pooled),
        pos_embed=model.backbone.pos_embed,
        loss=loss,
    )
    return Result(outputs | case_gradients(model, case, loss, finetuning_name))


def build_classifier(facts: Facts, env: RunEnv) -> nn.Module:
    """Our recogniser for the facts of a case."""
    is_learned, averages = facts['use_learnable_pos_emb'], facts['use_mean_pooling']
    facts.require(pos_embed_kind='learnable' if is_learned else 'fixed')
    facts.ignore('pos_embed')  # the same in words
    sizes = {
        name: facts[name]
        for name in (
            *('img_size', 'patch_size', 'tubelet_size', 'embed_dim', 'depth', 'num_heads'),
            *('mlp_ratio', 'qkv_bias', 'init_values'),
        )
    }
    backbone = dict(
        type='VideoMAE',
        arch=None,
        num_frames=facts['all_frames'],
        qk_scale=facts.get('qk_scale'),
        pos_embed='learned' if is_learned else 'resized',
        final_norm=not averages,
        pooling='mean' if averages else 'first',
        attn_backend=env.attn_backend,
        **sizes,
    )
    head = dict(
        type='ClassificationHead',
        num_classes=facts['num_classes'],
        in_dim=facts['embed_dim'],
        norm_eps=1e-6 if averages else None,
        num_segments=facts['num_segment'],
    )
    return MODELS.build(dict(type='VideoRecognizer', backbone=backbone, head=head))


def finetuning_name(published: str) -> str:
    """Our name of a published entry of a classifier."""
    return f'{"head" if published.startswith(HEAD_PARTS) else "backbone"}.{published}'


def load(model: nn.Module, case: Case, env: RunEnv, to_ours: Callable[[str], str]) -> nn.Module:
    """``model`` with the weights of a case, on the device, in the mode that the case says."""
    case.facts.require(mode=('train', 'eval'))
    names = {to_ours(name): name for name, *_ in case.state}
    own = {names.get(name, name): value for name, value in model.state_dict().items()}
    filled = case.fill_tensors(own, env)
    model.load_state_dict({to_ours(name): value for name, value in filled.items()})
    return model.to(env.device, env.torch_dtype).train(case.facts['mode'] == 'train')


def case_gradients(
    model: nn.Module, case: Case, loss: Tensor, to_ours: Callable[[str], str]
) -> dict[str, Any]:
    """Gradients, and their norms, that the case lists."""
    listed = case.facts.get('gradients') or {}
    names = [name for kind in ('full', 'norm') for name in listed.get(kind) or ()]
    return gradients(model, loss, list(dict.fromkeys(names)), to_ours)
