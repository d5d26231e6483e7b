"""Runners of zero-shot retrieval, classification and multiple choice, and of captions."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from internvideo.datasets.formats.captions import normalise_caption
from internvideo.evaluation.multiple_choice import (
    choice_accuracy,
    choice_scores,
    mean_average_precision,
)
from internvideo.evaluation.retrieval import (
    cosine_scores,
    dual_softmax,
    retrieval_figures,
    true_ranks,
)
from internvideo.verification.cases import Case, CaseError, RunEnv
from internvideo.verification.runner_registry import Result, parity_runner

VIEWS = ('v2t', 't2v')
METRIC_ORDERS = tuple(
    [f'{side}_r{k}' for side in sides for k in (1, 5, 10, '_mean')] + ['r_mean']
    for sides in (('v2t', 't2v'), ('txt', 'img'))
)


def present_inputs(case: Case, *roles: str) -> list[str]:
    """Names of the inputs that play ``roles``, where the case has them."""
    return [case.roles[role] for role in roles if role in case.roles]


def class_matrix(labels: Tensor, count: int) -> Tensor:
    """(N, count) bool matrix, True at each row's label."""
    return labels[:, None] == torch.arange(count, device=labels.device)


def true_pairs(kind: str, videos: int, texts: int, device: str) -> Tensor:
    """(videos, texts) truth: pairs, or consecutive items of one side for each of the other."""
    rows, columns = torch.arange(videos, device=device), torch.arange(texts, device=device)
    if kind == 'multi_text':
        columns = columns // (texts // videos)
    elif kind == 'multi_vision':
        rows = rows // (videos // texts)
    elif kind != 'one':
        raise CaseError(f'unknown truth {kind!r}')
    return rows[:, None] == columns


def figures(v2t: Tensor, t2v: Tensor, truth: Tensor) -> np.ndarray:
    """The nine published figures, video to text first."""
    return np.array(list(retrieval_figures(v2t, t2v, truth).values()))


def both_ranks(v2t: Tensor, t2v: Tensor, truth: Tensor) -> dict[str, Tensor]:
    return dict(v2t=true_ranks(v2t, truth), t2v=true_ranks(t2v, truth.T))


def rank_summary(ranks: dict[str, Tensor]) -> np.ndarray:
    """Mean and median 1-based rank of both directions."""
    ones = [ranks[view].cpu().numpy() + 1 for view in VIEWS]
    return np.array([f(r) for r in ones for f in (np.mean, np.median)])


@parity_runner('internvideo2_recipes/retrieval_metrics')
def run_retrieval(case: Case, env: RunEnv) -> Result:
    outputs: dict[str, Any] = {}
    case.facts.require(metric_order=METRIC_ORDERS, clip_task_metric_order=METRIC_ORDERS)
    for i, combo in enumerate(case.facts['combos']):
        vision, text = (env.tensor(case.role(f'{side}{i}')) for side in 'vt')
        combo.require(vision=list(vision.shape), text=list(text.shape))
        sim = cosine_scores(vision, text, combo.get('temp', 1.0), combo.get('agg', 'mean'))
        truth = true_pairs(combo.get('truth', 'one'), *sim.shape, env.device)
        sim = sim + combo.get('boost', 0.0) * truth
        pairs = dict(sim=(sim, sim.T), dsl=(dual_softmax(sim), dual_softmax(sim.T)))
        outputs |= {f'sim{i}': sim, f'dsl{i}': pairs['dsl'][0], f'dsl_t{i}': pairs['dsl'][1]}
        for name, pair in pairs.items():
            ranks = both_ranks(*pair, truth)
            outputs[f'metrics_{name}{i}'] = figures(*pair, truth)
            outputs |= {f'rank_{view}_{name}{i}': ranks[view] for view in VIEWS}
            if name == 'sim':
                outputs[f'mean_median_rank{i}'] = rank_summary(ranks)
    return Result(outputs)


def class_truth(labels: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Truth video to class, and class to video, where a class without one counts video 0."""
    truth = class_matrix(labels, count)
    backward = truth.T.clone()
    backward[~truth.any(dim=0), 0] = True
    return truth, backward


@parity_runner('internvideo2_recipes/clip_zero_shot')
def run_clip_zero_shot(case: Case, env: RunEnv) -> Result:
    outputs: dict[str, Any] = {}
    for i, combo in enumerate(case.facts['combos']):
        vision, text = (env.tensor(case.role(f'{side}{i}')) for side in ('vision', 'text'))
        case.facts.require(metric_order=METRIC_ORDERS)
        prompts = combo.get('prompts', 0)
        combo.require(videos=len(vision), classes=len(text) // (prompts or 1), dim=vision.shape[-1])
        if prompts:
            text = text.unflatten(0, (-1, prompts))
            truth = class_truth(env.tensor(case.role(f'label{i}')), len(text))
        else:
            case.inputs.ignore(*present_inputs(case, f'label{i}'))  # the pairs are the truth
            truth = (true_pairs('one', len(vision), len(text), env.device),) * 2
        sim = cosine_scores(vision, text)
        pairs = dict(sim=(sim, sim.T), dsl=(dual_softmax(sim), dual_softmax(sim.T)))
        for name, pair in pairs.items():
            outputs |= {f'{name}_{view}{i}': s for view, s in zip(VIEWS, pair, strict=True)}
            outputs[f'metrics_{name}{i}'] = two_sided_figures(pair, truth)
    return Result(outputs)


def two_sided_figures(pair: tuple[Tensor, Tensor], truth: tuple[Tensor, Tensor]) -> np.ndarray:
    """The nine figures where the truths of the two directions are no transposes of each other."""
    forward = list(retrieval_figures(pair[0], pair[0].T, truth[0]).values())[:4]
    backward = list(retrieval_figures(pair[1].T, pair[1], truth[1].T).values())[4:8]
    ranks = [true_ranks(*one) for one in zip(pair, truth, strict=True)]
    means = [np.mean([(r < k).double().mean().item() for k in (1, 5, 10)]) for r in ranks]
    return np.array([*forward, *backward, round(100 * float(np.mean(means)), 2)])


@parity_runner('internvideo2_recipes/multiple_choice')
def run_multiple_choice(case: Case, env: RunEnv) -> Result:
    outputs: dict[str, Any] = {}
    for i, combo in enumerate(case.facts['combos']):
        vision, text = (env.tensor(case.role(f'{side}{i}')) for side in ('vision', 'text'))
        combo.require(questions=len(vision), dim=vision.shape[-1])
        combo.ignore('batch')  # any batch gives the same numbers
        answers, boost = env.tensor(case.role(f'answer{i}')), combo.get('boost', 0.0)
        if combo['kind'] == 'single':
            text = text.unflatten(0, (len(vision), -1))
            combo.require(options=text.shape[1])
            text = text + boost * class_matrix(answers, text.shape[1])[..., None] * vision[:, None]
            scores = choice_scores(vision, text, combo['temp'])
            outputs[f'pred{i}'] = scores.argmax(dim=-1)
            metric = choice_accuracy(scores, answers)
        else:
            combo.require(options=len(text))
            combo.ignore('positives')  # about how many answers of an option are right
            text = text + boost * answers.to(vision.dtype).T @ vision
            scores = choice_scores(vision, text, combo['temp'])
            metric = mean_average_precision(scores, answers)
        outputs |= {f'score{i}': scores.exp(), f'metric{i}': np.array([metric])}
    return Result(outputs)


@parity_runner('internvideo2_recipes/text_normalise')
def run_text_normalise(case: Case, env: RunEnv) -> Result:
    pairs, truncated = case.facts.get('pairs', ()), case.facts.get('truncated', ())
    count = sum(normalise_caption(raw) == wanted for raw, wanted in pairs)
    missed = sum(normalise_caption(raw, words) != wanted for raw, words, wanted in truncated)
    return Result(dict(count=np.array(count - missed)))
