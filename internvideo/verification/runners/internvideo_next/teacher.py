"""The image teacher of the first stage, and the mask drawn from its attention."""

import torch

from internvideo.models.backbones.siglip import SiglipVision
from internvideo.models.masks.token_masks import (
    draw_by_weight,
    hide_all_but,
    visible_count,
)
from internvideo.models.tasks.pretraining.frame_teacher import renormalise
from internvideo.models.tasks.pretraining.teachers import aligned_layers
from internvideo.ops.features import normalise
from internvideo.verification.cases import Case, RunEnv
from internvideo.verification.runner_registry import Result, parity_runner

from .common import fill_module, given


@parity_runner('internvideo_next/siglip_teacher')
@torch.no_grad()
def run_teacher(case: Case, env: RunEnv) -> Result:
    """Aligned layers, pooled vectors and attention of each frame."""
    facts = case.facts
    facts.require(model='SigLIP teacher')
    encoder = SiglipVision(
        arch=None,
        embed_dim=facts['hidden_size'],
        depth=facts['num_hidden_layers'],
        num_heads=facts['num_attention_heads'],
        mlp_ratio=facts['intermediate_size'] / facts['hidden_size'],
        img_size=facts['image_size'],
        patch_size=facts['patch_size'],
    )
    fill_module(encoder, case, env)
    choice = dict(count=facts['clip_return_layer'], interval=facts['clip_return_interval'])
    layers = aligned_layers(encoder.depth, facts.get('clip_return_index') or choice)
    facts.require(return_index=layers)
    norms = (dict(mean=facts[f'{n}_mean'], std=facts[f'{n}_std']) for n in ('input', 'teacher'))
    video = renormalise(given(case, 'video', env), *norms)
    found = encoder.encode_frames(video.transpose(1, 2).flatten(0, 1), layers, attn=True)
    norm = facts['clip_norm_type']
    return Result(
        dict(
            middle=torch.stack([normalise(layer, norm) for layer in found.layers]),
            final=normalise(found.pooled, norm),
            attn=found.attn,
            last=found.tokens,
        )
    )


@parity_runner('internvideo_next/semantic_mask')
def run_semantic_mask(case: Case, env: RunEnv) -> Result:
    """Order of the tokens of each frame, and the mask that hides the last of it."""
    outputs, names = {}, case.facts['input_names']
    for facts in case.facts['cases']:
        facts.require(input=names[facts['name']])
        attn = env.tensor(case.inputs[facts['input']]).softmax(dim=-1)
        facts.require(L=attn.shape[1])
        torch.manual_seed(facts['seed'])
        order = draw_by_weight(attn, attn.shape[1])
        hidden = hide_all_but(
            order[:, : visible_count(attn.shape[1], facts['ratio'])], attn.shape[1]
        )
        outputs[facts['outputs']['order']] = order
        outputs[facts['outputs']['mask']] = hidden.view(facts['B'], facts['T'] * facts['L']).to(
            torch.uint8
        )
    return Result(outputs)
