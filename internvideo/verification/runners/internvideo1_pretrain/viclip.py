"""Runners of ViCLIP: features, masks, its contrastive loss, and tables of other lengths.

Published tokens and noise are space-major (index = patch * T + t), those of this build time-major.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from internvideo.checkpoint.adapters.viclip import TEXT_TABLE, TIME_TABLE, fit_rows
from internvideo.evaluation.scorers import score_blocks
from internvideo.models.losses.contrastive import ContrastiveLoss, similarity
from internvideo.models.masks.token_masks import RandomMask
from internvideo.ops.features import normalise
from internvideo.ops.tokens import take_tokens
from internvideo.registry import MODELS
from internvideo.structures import VideoDataSample
from internvideo.verification.cases import Case, CaseError, RunEnv
from internvideo.verification.facts import Facts
from internvideo.verification.processes import in_processes
from internvideo.verification.runner_registry import Result, parity_runner
from internvideo.verification.runners.internvideo2_multi.common import load_filled
from internvideo.verification.runners.internvideo2_multi.losses import contrastive_part


class NoiseMask(RandomMask):
    """The mask of a case's noise (B, N) in place of a drawn one."""

    def __init__(self, ratio: float, noise: Tensor) -> None:
        super().__init__(ratio)
        self.noise = noise

    def __call__(self, attn: Any, batch_size: int, grid: tuple[int, int, int], *_: Any) -> Tensor:
        space_major = self.noise.unflatten(1, (-1, grid[0]))
        return self.hide(space_major.transpose(1, 2).flatten(1), grid)


def vision_config(vision: Facts, env: RunEnv) -> dict[str, Any]:
    arch = dict(
        embed_dim=vision['width'],
        depth=vision['layers'],
        num_heads=vision['heads'],
        mlp_ratio=4.0,
    )
    return dict(
        type='ViCLIPVision',
        arch=arch,
        img_size=vision['input_resolution'],
        patch_size=vision['patch_size'],
        num_frames=vision['num_frames'] * vision['kernel_size'],  # there it counts positions
        tubelet_size=vision['kernel_size'],
        output_dim=vision['output_dim'],
        temporal_embedding=vision['temporal_embedding'],
        attn_backend=env.attn_backend,
    )


def text_config(text: Facts) -> dict[str, Any]:
    return dict(
        type='CLIPText',
        embed_dim=text['embed_dim'],
        context_length=text['context_length'],
        vocab_size=text['vocab_size'],
        width=text['transformer_width'],
        heads=text['transformer_heads'],
        layers=text['transformer_layers'],
    )


def build_viclip(case: Case, env: RunEnv) -> nn.Module:
    """The model of a case with its weights, and its noise in the place of random draws."""
    facts = case.facts
    facts.require(model='ViCLIP', mode=('eval', 'train'))
    config = dict(
        type='ViCLIP',
        vision_encoder=vision_config(facts['vision'], env),
        text_encoder=text_config(facts['text']),
        temp=facts['temp'],
        temp_min=facts['temp_min'],
        masking_prob=facts['masking_prob'],
        mask_in_eval=True,
        freeze_text=False,
    )
    model = load_filled(MODELS.build(config), case, env, lambda name: name)
    noise = env.tensor(case.role('mask_noise')) if 'mask_noise' in case.roles else None
    if model.masker is not None:
        model.masker = NoiseMask(facts['masking_prob'], noise)
    # No rate of a case drops anything: the modes give the same numbers.
    return model.train(facts['mode'] == 'train')


def clips(case: Case, env: RunEnv) -> Tensor:
    """(B, C, T, H, W) of (B, T, C, H, W), or images (B, C, H, W) as clips of one frame."""
    video = env.tensor(case.role('video'))
    return video[:, :, None] if video.ndim == 4 else video.transpose(1, 2)


def published_tokens(tokens: Tensor, mask: Tensor | None, steps: int, patches: int) -> Tensor:
    """Class token and visible patches (B, 1+M, D), the patches sorted as published."""
    if mask is None:
        mask = torch.zeros(len(tokens), steps * patches, dtype=torch.bool, device=tokens.device)
    places = torch.stack([(~row).nonzero().flatten() for row in mask])
    order = (places % patches * steps + places // patches).argsort(dim=1)
    return torch.cat([tokens[:, :1], take_tokens(tokens[:, 1:], order)], dim=1)


def vision_outputs(model: nn.Module, video: Tensor) -> dict[str, Tensor]:
    """Projected class token, and all tokens after the last norm, under the model's mask."""
    encoder = model.vision_encoder
    grid = (video.shape[2] // encoder.tubelet_size, *encoder.grid[1:])
    mask = whole = None
    if model.masker is not None:
        mask = model.masker(None, len(video), grid)
        whole = nn.functional.pad(mask, (1, 0))
    tokens = encoder(video, whole).tokens
    tokens = published_tokens(tokens, mask, grid[0], grid[1] * grid[2])
    return dict(vision_embed=model.encode_video(video), vision_tokens=tokens)


@parity_runner('internvideo1_pretrain/viclip_embeddings')
@torch.no_grad()
def run_embeddings(case: Case, env: RunEnv) -> Result:
    model, video, ids = build_viclip(case, env), clips(case, env), env.tensor(case.role('text_ids'))
    image = video[:, :, : model.vision_encoder.tubelet_size]
    outputs = vision_outputs(model, video) | dict(image_embed=model.encode_video(image))
    text = model.text_encoder
    states = text.encode_tokens(ids)
    outputs |= dict(
        text_embed=text.pool(states, ids),
        text_tokens=states @ text.text_projection,
    )
    scores = cosines(outputs['vision_embed'], outputs['text_embed'])
    outputs['similarity'] = scores
    outputs['label_probability'] = (case.facts['label_scale'] * scores).softmax(dim=-1)
    return Result(outputs)


@parity_runner('internvideo1_pretrain/viclip_masked_vision')
@torch.no_grad()
def run_masked_vision(case: Case, env: RunEnv) -> Result:
    return Result(vision_outputs(build_viclip(case, env), clips(case, env)))


@parity_runner('internvideo1_pretrain/viclip_contrastive')
def run_contrastive(case: Case, env: RunEnv) -> Result:
    facts, video = case.facts, clips(case, env)
    facts.require(video_kind='images' if case.role('video').ndim == 4 else 'clips')
    model, ids = build_viclip(case, env), facts['idx']
    inputs = dict(video=video, text=dict(input_ids=env.tensor(case.role('text_ids'))))
    samples = [VideoDataSample(metainfo=dict(pair_id=pair)) for pair in ids or ()] or None
    loss = model(inputs, samples, mode='loss')['loss_vtc']
    features = model(inputs)
    outputs = dict(
        loss_vtc=loss,
        temp_after_clamp=model.temp.detach().clone(),
        similarity_masked=cosines(features['vision'], features['text']),
    )
    loss.backward()
    parameters = dict(model.named_parameters())
    for name in facts['gradients']['full']:
        outputs[f'grad:{name}'] = gradient(parameters, name)
    for name in facts['gradients']['norm']:
        outputs[f'gradnorm:{name}'] = gradient(parameters, name).norm()
    return Result(outputs)


def gradient(parameters: dict[str, Tensor], name: str) -> Tensor:
    """Gradient of a parameter, zero where the loss does not reach it."""
    if name not in parameters:
        raise CaseError(f'gradient of {name}: no such parameter here')
    parameter = parameters[name]
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad


def cosines(vision: Tensor, text: Tensor) -> Tensor:
    return similarity(normalise(vision), normalise(text), 1.0)


@parity_runner('internvideo1_pretrain/viclip_prompt_similarity')
def run_prompts(case: Case, env: RunEnv) -> Result:
    options = (case.facts['temp'], case.facts['agg'])
    vision, text = (normalise(env.tensor(case.role(name))) for name in ('vision', 'text'))
    forth, back = similarity(vision, text, *options), similarity(text, vision, *options)
    outputs = dict(sim_v2t=forth, sim_t2v=back)
    for name, scores in (('v2t', forth), ('t2v', back)):
        # Queries whose inner products with unit vectors are the scores.
        candidates = torch.eye(scores.shape[1], dtype=scores.dtype, device=scores.device)
        blocks = score_blocks(scores, candidates, dual=True)
        outputs[f'dual_softmax_{name}'] = torch.cat([block for _, block in blocks])
    return Result(outputs)


@parity_runner('internvideo1_pretrain/vtc_loss_frames')
def run_frames(case: Case, env: RunEnv) -> Result:
    facts = case.facts
    leaves = {name: env.tensor(case.role(name)).requires_grad_() for name in ('vision', 'text')}
    temp = torch.tensor(facts['temp'], dtype=env.torch_dtype, device=env.device, requires_grad=True)
    ids = None if facts['idx'] is None else torch.tensor(facts['idx'], device=env.device)
    loss = ContrastiveLoss('sum', facts['agg'])(*leaves.values(), temp, ids)
    loss.backward()
    units = [normalise(leaf.detach()) for leaf in leaves.values()]
    outputs = dict(
        loss=loss,
        sim_v2t=similarity(*units, facts['temp'], facts['agg']),
        sim_t2v=similarity(*units[::-1], facts['temp'], facts['agg']),
    )
    grads = {f'grad:{name}': leaf.grad for name, leaf in (leaves | dict(temp=temp)).items()}
    return Result(outputs | grads)


@parity_runner('internvideo1_pretrain/vtc_loss_two_processes')
def run_two_processes(case: Case, env: RunEnv) -> Result:
    facts = case.facts
    sides = {name: case.role(name) for name in ('vision', 'text')}
    count, world = len(sides['vision']), facts['world_size']
    if any(list(side.shape) != list(facts['shape']) for side in sides.values()) or count % world:
        raise CaseError(f'{count} rows, fact shape {facts["shape"]}, {world} processes')
    if facts['idx'] is not None:
        sides['idx'] = np.asarray(facts['idx'])
    shares = {name: side.reshape(world, -1, *side.shape[1:]) for name, side in sides.items()}
    parts = in_processes(world, contrastive_part, shares, facts['temp'], facts.get('agg', 'mean'))
    return Result(
        {
            f'rank{rank}:{name}': value
            for rank, part in enumerate(parts)
            for name, value in part.items()
        }
    )


@parity_runner('internvideo1_pretrain/viclip_resize_embeddings')
def run_resize(case: Case, env: RunEnv) -> Result:
    state, outputs = case.fill(), {}
    for name, old, new in (
        (TIME_TABLE, 'old_frames', 'new_frames'),
        (TEXT_TABLE, 'old_text', 'new_text'),
    ):
        table = env.tensor(state[name])
        if table.shape[-2] != case.facts[old]:
            raise CaseError(f'{name} has {table.shape[-2]} rows, fact {old} is {case.facts[old]}')
        outputs[name] = fit_rows(table, case.facts[new])
    return Result(outputs)
