"""Runners of the multimodal model, its losses and its caption decoder."""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from internvideo.checkpoint.adapters.internvideo_multimodal import published_name_to_ours
from internvideo.models.losses.contrastive import ContrastiveLoss
from internvideo.models.losses.masked_language import IGNORED
from internvideo.models.text.caption_decoder import next_tokens
from internvideo.ops.features import normalise
from internvideo.registry import MODELS
from internvideo.verification.cases import Case, CaseError, RunEnv, to_numpy
from internvideo.verification.facts import Facts
from internvideo.verification.processes import in_processes
from internvideo.verification.runner_registry import Result, parity_runner
from internvideo.verification.runners.internvideo2_multi.common import load_filled

DECODER_FIELDS = ('n_layers', 'width', 'vision_width', 'heads', 'num_visual_queries', 'vocab_size')


def model_config(facts: Facts, env: RunEnv, video_mode: str = 'video') -> dict[str, Any]:
    """Config of our model for the facts of a case."""
    facts.ignore('model')  # a title, in words
    # Cases fill the scale in like any other entry.
    facts.require(init_logit_scale='ln(1/0.07)', drop=0.0)
    vision = dict(
        type='UniFormerV2',
        arch=dict(
            embed_dim=facts['width'],
            depth=facts['layers'],
            num_heads=facts['heads'],
            mlp_ratio=4.0,
        ),
        img_size=facts['input_resolution'],
        patch_size=facts['patch_size'],
        num_frames=facts['num_frames'],
        temporal_downsample=False,
        no_lmhra=True,
        global_layers=facts['return_list'],
        mlp_factor=facts['mlp_factor'],
        mlp_dropout=facts.get('drop', 0.0),
        attn_backend=env.attn_backend,
    )
    text = dict(
        type='CLIPText',
        embed_dim=facts['embed_dim'],
        context_length=facts['context_length'],
        vocab_size=facts['vocab_size'],
        width=facts['text_width'],
        heads=facts['text_heads'],
        layers=facts['text_layers'],
        mask_embedding=True,
    )
    config = dict(
        type='InternVideoMultimodal',
        vision_encoder=vision,
        text_encoder=text,
        video_mode=video_mode,
    )
    if 'caption_decoder' in facts:
        decoder = facts['caption_decoder']
        fields = {name: decoder[name] for name in DECODER_FIELDS}
        config['caption_decoder'] = fields | dict(attn_backend=env.attn_backend)
    return config


def build_model(case: Case, env: RunEnv, video_mode: str = 'video') -> nn.Module:
    """The model of a case with its checkpoint, in the mode that the case names."""
    case.facts.require(mode=('train', 'eval'))
    model = MODELS.build(model_config(case.facts, env, video_mode))
    filled = load_filled(model, case, env, published_name_to_ours)
    return filled.train(case.facts['mode'] == 'train')


def gradients(model: nn.Module, loss: Tensor, case: Case) -> dict[str, Tensor]:
    """Gradients of ``loss`` that the case lists, by published name."""
    wanted = case.facts.get('gradients') or {}
    names = {*wanted.get('full', ()), *wanted.get('norm', ())}
    if not names:
        return {}
    loss.backward()
    parameters, outputs = dict(model.named_parameters()), {}
    for name in names:
        parameter = parameters.get(published_name_to_ours(name))
        if parameter is None or parameter.grad is None:
            raise CaseError(f'gradient of {name}: no such parameter here, or no gradient')
        outputs |= {f'grad:{name}': parameter.grad, f'gradnorm:{name}': parameter.grad.norm()}
    return outputs


def published_tokens(tokens: Tensor) -> Tensor:
    """(B, T, 1 + HW, D) tokens in the published order, (1 + HW, B, T, D)."""
    return tokens.permute(2, 0, 1, 3)


@parity_runner('internvideo1_pretrain/internvideo_mm')
def run_dual_encoder(case: Case, env: RunEnv) -> Result:
    model, outputs = build_model(case, env), {}
    ids = env.tensor(case.role('text_ids'))
    video, video_tokens = model.video_states(env.tensor(case.role('video')))
    text, states = model.text_states(ids)
    outputs |= dict(video_embed=video, video_tokens=published_tokens(video_tokens))
    outputs |= dict(text_embed=text, text_tokens=states)
    if 'image' in case.roles:
        image, image_tokens = model.video_states(env.tensor(case.role('image')), mode='image')
        outputs |= dict(image_embed=image, image_tokens=published_tokens(image_tokens))
    if 'masked_positions' in case.facts:
        masked = torch.zeros_like(ids, dtype=torch.bool)
        for row, position in case.facts['masked_positions']:
            masked[row, position] = True
        outputs['text_embed_masked'] = model.text_states(ids, masked)[0]
    cosine = normalise(video, 'l2') @ normalise(text, 'l2').T
    outputs['label_probability'] = (cosine / model.temperature).softmax(dim=-1)
    pairs, temp = min(len(video), len(text)), (-model.logit_scale).exp()
    loss = model.contrastive(video[:pairs], text[:pairs], temp)
    return Result(outputs | dict(contrastive_loss=loss) | gradients(model, loss, case))


@parity_runner('internvideo1_pretrain/internvideo_mm_pretrain_losses')
def run_losses(case: Case, env: RunEnv) -> Result:
    model = build_model(case, env, case.facts.get('video_mode', 'video'))
    video, ids = (env.tensor(case.role(name)) for name in ('video', 'text_ids'))
    check_ignored(case, ids)
    losses = model(dict(video=video, text=dict(input_ids=ids)), mode='loss')
    total = sum(losses.values())
    tokens, states = model.video_states(video)[1].flatten(1, 2), model.text_states(ids)[1]
    with torch.no_grad():
        logits = model.caption_decoder(tokens, states[:, :-1])
    outputs = dict(
        contrastive_loss=losses['loss_contrastive'],
        cap_loss=losses['loss_caption'],
        cap_logits=logits,
        total_loss=total,
    )
    return Result(outputs | gradients(model, total, case))


def check_ignored(case: Case, ids: Tensor) -> None:
    """Check that the label that a case gives to padding is no label of a token."""
    ignored = case.facts.get('ignore_index', IGNORED)
    labels = next_tokens(ids)
    if bool((labels[labels != IGNORED] == ignored).any()):
        raise CaseError(f"fact 'ignore_index' is {ignored!r}, which is a token of the captions")


def contrastive_part(
    rank: int, arrays: dict[str, Any], logit_scale: float
) -> dict[str, np.ndarray]:
    """Loss and gradients of one process, whose share is ``arrays[...][rank]``."""
    leaves = {name: torch.as_tensor(each[rank]).requires_grad_() for name, each in arrays.items()}
    leaves['logit_scale'] = torch.tensor(
        logit_scale, dtype=leaves['vision'].dtype, device=leaves['vision'].device
    ).requires_grad_()
    temp = (-leaves['logit_scale']).exp()
    loss = ContrastiveLoss('sum')(leaves['vision'], leaves['text'], temp)
    loss.backward()
    outputs = {f'grad:{name}': to_numpy(leaf.grad) for name, leaf in leaves.items()}
    return outputs | dict(loss=to_numpy(loss))


@parity_runner('internvideo1_pretrain/mm_contrastive_two_processes')
def run_contrastive(case: Case, env: RunEnv) -> Result:
    facts, processes = case.facts, case.facts['world_size']
    arrays = {name: case.role(name) for name in ('vision', 'text')}
    for value in arrays.values():
        facts.require(shape=list(value.shape))
    # Targets are hard: equal ids make no further positives.
    if len(facts['idx']) != len(arrays['vision']):
        raise CaseError("fact 'idx' has another length than the batch")
    if processes == 1:
        parts = [
            contrastive_part(
                0, {k: env.tensor(v)[None] for k, v in arrays.items()}, facts['logit_scale']
            )
        ]
    else:
        shares = {name: np.split(value, processes) for name, value in arrays.items()}
        parts = in_processes(processes, contrastive_part, shares, facts['logit_scale'])
    return Result(
        {f'rank{r}:{name}': v for r, part in enumerate(parts) for name, v in part.items()}
    )
