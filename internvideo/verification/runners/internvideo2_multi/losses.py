"""Runners of the contrastive and matching objectives."""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from internvideo.models.losses.contrastive import ContrastiveLoss, match_matrix, similarity
from internvideo.models.losses.matching import (
    Negatives,
    match_logits,
    matching_loss,
    negative_weights,
    random_negatives,
)
from internvideo.ops.features import normalise
from internvideo.registry import MODELS
from internvideo.verification.cases import Case, RunEnv, to_numpy
from internvideo.verification.processes import in_processes
from internvideo.verification.runner_registry import Result, parity_runner

from .common import (
    check_returned,
    load_filled,
    loss_outputs,
    role_or_none,
    stored_gradients,
)
from .text import bert_config, same_name


def contrastive_part(
    rank: int, arrays: dict[str, Any], temp: float, aggregate: str
) -> dict[str, np.ndarray]:
    """Loss and gradients of one process, whose share is ``arrays[...][rank]``."""
    given = {name: torch.as_tensor(value[rank]) for name, value in arrays.items()}
    sides = [given[name].detach().requires_grad_() for name in ('vision', 'text')]
    scale = torch.tensor(temp, dtype=sides[0].dtype, device=sides[0].device, requires_grad=True)
    loss = ContrastiveLoss('local', aggregate)(*sides, scale, given.get('idx'))
    loss.backward()
    leaves = dict(vision=sides[0], text=sides[1], temp=scale)
    grads = {f'grad:{name}': to_numpy(leaf.grad) for name, leaf in leaves.items()}
    return grads | dict(loss=to_numpy(loss))


@parity_runner('internvideo2_multi/vtc')
def run_contrastive(case: Case, env: RunEnv) -> Result:
    facts = case.facts
    roles = [role for role in ('vision', 'text', 'idx') if role in case.roles]
    arrays = {role: case.role(role) for role in roles}
    options = (facts['temp'], facts['aggregate'] or 'mean')
    check_pair_sizes(case, arrays)
    if facts['world_size'] > 1:
        parts = in_processes(facts['world_size'], contrastive_part, arrays, *options)
        outputs = {name: np.stack([part[name] for part in parts]) for name in parts[0]}
    else:
        whole = {name: env.tensor(value)[None] for name, value in arrays.items()}
        outputs = contrastive_part(0, whole, *options) | score_outputs(case, env, *options)
    check_returned(case, outputs)
    return Result(outputs)


def check_pair_sizes(case: Case, arrays: dict[str, Any]) -> None:
    """Check the facts that repeat what the inputs say."""
    axes = 1 + (case.facts['world_size'] > 1)  # processes first, then pairs
    shapes = [arrays[name].shape for name in ('vision', 'text')]
    pairs = shapes[0][axes - 1]
    tokens = [shape[axes] for shape in shapes if len(shape) == axes + 2]
    case.facts.require(
        batch=pairs,
        batch_per_process=pairs,
        dim=shapes[0][-1],
        tokens=tuple(tokens) or None,
        has_idx='idx' in arrays,
    )


def score_outputs(case: Case, env: RunEnv, temp: float, aggregate: str) -> dict[str, Tensor]:
    sides = [normalise(env.tensor(case.role(name)), 'l2') for name in ('vision', 'text')]
    ids = role_or_none(case, env, 'idx')
    scores = similarity(*sides, temp, aggregate)
    matches = match_matrix(ids, ids, scores).to(scores.dtype)
    back = similarity(*sides[::-1], temp, aggregate)
    return dict(sim_v2t=scores, sim_t2v=back, targets=matches / matches.sum(1, keepdim=True))


class Matcher(nn.Module):
    """Fusion encoder and matching head, under the names of a case."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        self.bert = MODELS.build(config)
        self.itm_head = nn.Linear(self.bert.hidden_size, 2)


def build_matcher(case: Case, env: RunEnv) -> Matcher:
    return load_filled(Matcher(bert_config(case.facts, env, False)), case, env, same_name)


def given_negatives(case: Case, env: RunEnv, prefix: str = '') -> Negatives:
    """The negatives of a case: given, or the maxima of its noise."""
    noise = [role_or_none(case, env, f'{prefix}noise_{name}') for name in ('vision', 'text')]
    if noise[0] is not None:
        return random_negatives(*noise, role_or_none(case, env, 'idx'))
    drawn = [env.tensor(case.role(f'{prefix}negative_{name}')) for name in ('vision', 'text')]
    return Negatives(*drawn, torch.ones_like(drawn[0], dtype=torch.bool))


@parity_runner('internvideo2_multi/vtm')
def run_matching(case: Case, env: RunEnv) -> Result:
    facts, model = case.facts, build_matcher(case, env)
    names = ('vision_embeds', 'text_embeds', 'vision_proj', 'text_proj', 'attention_mask', 'idx')
    vision, text, vision_feature, text_feature, mask, ids = (
        role_or_none(case, env, name) for name in names
    )
    facts.require(loss='own', batch=len(vision), proj_dim=vision_feature.shape[-1])
    tokens = [x.shape[1] for x in (vision_feature, text_feature) if x.ndim == 3]
    facts.require(tokens=tuple(tokens) or None)
    negatives = given_negatives(case, env)
    how, temp = facts.get('aggregate') or 'mean', facts['temp']
    if facts['hard_negatives']:
        weights = negative_weights(vision_feature, text_feature, temp, ids, how)
        outputs = dict(weights_v2t=weights[0], weights_t2v=weights[1])
    else:
        outputs = dict(negative_vision=negatives.media, negative_text=negatives.text)
    leaves = [vision.requires_grad_(), text.requires_grad_()]
    loss = matching_loss(model.bert, model.itm_head, *leaves, mask, negatives)
    outputs |= stored_gradients(model, loss, case, same_name)
    return Result(outputs | {'grad:vision_embeds': vision.grad, 'grad:text_embeds': text.grad})


@parity_runner('internvideo2_multi/match_scores')
def run_match_scores(case: Case, env: RunEnv) -> Result:
    model = build_matcher(case, env)
    names = ('vision_tokens', 'input_ids', 'attention_mask')
    media, ids, mask = (env.tensor(case.role(name)) for name in names)
    text = model.bert(ids, mask, mode='text')
    rows = torch.cartesian_prod(torch.arange(len(media)), torch.arange(len(text))).T.to(ids.device)
    logits = match_logits(model.bert, model.itm_head, media, text, mask, *rows)
    outputs = dict(text_tokens=text, match_logit=logits[:, 1].view(len(media), len(text)))
    return Result(outputs | loss_outputs(model, case, env, same_name, outputs))
