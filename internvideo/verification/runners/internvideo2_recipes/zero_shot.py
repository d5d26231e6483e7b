"""Runners of zero-shot retrieval, classification and multiple choice, and of captions."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from internvideo.datasets.formats.captions import normalise_caption
from internvideo.engine.inference.set_encoder import mean_of_prompts
from internvideo.evaluation.multiple_choice_metric import AskedQuestions, MultipleChoiceMetric
from internvideo.evaluation.ranks import recalls_of_ranks
from internvideo.evaluation.retrieval_metric import RetrievalMetric
from internvideo.evaluation.scorers import (
    InnerProduct,
    Scorer,
    TokenWise,
    score_blocks,
    streamed_ranks,
)
from internvideo.structures.encoded import TokenFeatures
from internvideo.structures.encoded_sets import EncodedSet
from internvideo.verification.cases import Case, CaseError, RunEnv
from internvideo.verification.runner_registry import Result, parity_runner

VIEWS = ('v2t', 't2v')
METRIC_ORDERS = tuple(
    [f'{side}_r{k}' for side in sides for k in (1, 5, 10, '_mean')] + ['r_mean']
    for sides in (('v2t', 't2v'), ('txt', 'img'))
)
Links = list[list[int]]


def present_inputs(case: Case, *roles: str) -> list[str]:
    """Names of the inputs that play ``roles``, where the case has them."""
    return [case.roles[role] for role in roles if role in case.roles]


def class_matrix(labels: Tensor, count: int) -> Tensor:
    """(N, count) bool matrix, True at each row's label."""
    return labels[:, None] == torch.arange(count, device=labels.device)


def true_pairs(kind: str, videos: int, texts: int) -> Tensor:
    """(videos, texts) bool: pairs, or consecutive items of one side for each of the other."""
    rows, columns = torch.arange(videos), torch.arange(texts)
    if kind == 'multi_text':
        columns = columns // (texts // videos)
    elif kind == 'multi_vision':
        rows = rows // (videos // texts)
    elif kind != 'one':
        raise CaseError(f'unknown ground truth {kind!r}')
    return rows[:, None] == columns


def links_of(is_true: Tensor) -> Links:
    """True columns of each row."""
    return [row.nonzero().flatten().tolist() for row in is_true]


def unit(features: Tensor) -> Tensor:
    return torch.nn.functional.normalize(features, dim=-1).cpu()


def encoded_set(samples: Tensor, texts: Tensor, ground_truth: Any, **fields: Any) -> EncodedSet:
    """Encoded sets and scorers that an evaluation loop hands to metrics."""
    base = dict(name='case', files='', samples=samples, rows=torch.arange(len(samples)))
    base |= dict(size=len(samples), texts=texts, ground_truth=ground_truth, temperature=1.0)
    return EncodedSet(**base | fields)


def both_blocks(encoded: EncodedSet, scorer: Scorer, dual: bool) -> dict[str, Tensor]:
    """Whole score matrices of both directions, from blocks of few scores."""
    sides = scorer.sides(encoded)
    return {
        view: torch.cat([part for _, part in score_blocks(*pair, dual, 64, each)])
        for view, pair, each in (
            ('v2t', sides, scorer),
            ('t2v', sides[::-1], scorer.flipped()),
        )
    }


def both_ranks(
    encoded: EncodedSet, scorer: Scorer, dual: bool, links: dict[str, Links]
) -> dict[str, Tensor]:
    """Ranks of both directions."""
    sides = scorer.sides(encoded)
    return dict(
        v2t=streamed_ranks(*sides, links['v2t'], dual, 64, scorer),
        t2v=streamed_ranks(*sides[::-1], links['t2v'], dual, 64, scorer.flipped()),
    )


def rank_summary(ranks: dict[str, Tensor]) -> np.ndarray:
    """Mean and median 1-based rank of both directions."""
    ones = [ranks[view].cpu().numpy() + 1 for view in VIEWS]
    return np.array([f(r) for r in ones for f in (np.mean, np.median)])


def boosted(vision: Tensor, text: Tensor, is_true: Tensor, boost: float) -> tuple[Tensor, Tensor]:
    """Features whose inner products are larger by ``boost`` for true pairs."""
    numbers = torch.eye(len(text), dtype=text.dtype)
    extra = boost * is_true.to(vision.dtype)
    if vision.ndim == 3:
        extra = extra[:, None].expand(-1, vision.shape[1], -1)
    return torch.cat([vision, extra], dim=-1), torch.cat([text, numbers], dim=-1)


def frames_and_texts(
    vision: Tensor, text: Tensor, reduce: str, temp: float
) -> tuple[Scorer, dict[str, Any]]:
    """Comparison of frames of a video (N, T, C) and texts (M, C), and fields of the set."""
    if vision.ndim == 2:
        return InnerProduct(temp), {}
    # Over one token of a text, averaging frames' best is a mean, and the text's best is a maximum.
    scorer = TokenWise(dict(mean='samples', max='texts')[reduce], temp)
    samples, texts = vision, text[:, None]
    return scorer, dict(
        sample_tokens=TokenFeatures(samples, torch.ones(samples.shape[:2], dtype=torch.bool)),
        text_tokens=TokenFeatures(texts, torch.ones(texts.shape[:2], dtype=torch.bool)),
    )


@parity_runner('internvideo2_recipes/retrieval_metrics')
def run_retrieval(case: Case, env: RunEnv) -> Result:
    outputs: dict[str, Any] = {}
    case.facts.require(metric_order=METRIC_ORDERS, clip_task_metric_order=METRIC_ORDERS)
    for i, combo in enumerate(case.facts['combos']):
        vision, text = (unit(env.tensor(case.role(f'{side}{i}'))) for side in 'vt')
        combo.require(vision=list(vision.shape), text=list(text.shape))
        text = mean_of_prompts(text.flatten(0, -2), text.shape[1] if text.ndim == 3 else 1)
        is_true = true_pairs(combo.get('truth', 'one'), len(vision), len(text))
        temp = combo.get('temp', 1.0)
        vision, text = boosted(vision, text, is_true, combo.get('boost', 0.0) * temp)
        scorer, tokens = frames_and_texts(vision, text, combo.get('agg', 'mean'), temp)
        links = dict(v2t=links_of(is_true), t2v=links_of(is_true.T))
        encoded = encoded_set(vision, text, links['v2t'], **tokens)
        variants = RetrievalMetric(scorer=scorer).score(encoded).variants
        for (name, dual), variant in zip((('sim', False), ('dsl', True)), variants, strict=True):
            scores = both_blocks(encoded, scorer, dual)
            ranks = both_ranks(encoded, scorer, dual, links)
            outputs[f'{name}{i}'] = scores['v2t']
            outputs[f'metrics_{name}{i}'] = np.array(list(variant.figures.values()))
            outputs |= {f'rank_{view}_{name}{i}': ranks[view] for view in VIEWS}
            if dual:
                outputs[f'dsl_t{i}'] = scores['t2v']
            else:
                outputs[f'mean_median_rank{i}'] = rank_summary(ranks)
    return Result(outputs)


@parity_runner('internvideo2_recipes/clip_zero_shot')
def run_clip_zero_shot(case: Case, env: RunEnv) -> Result:
    outputs: dict[str, Any] = {}
    scorer = InnerProduct()
    for i, combo in enumerate(case.facts['combos']):
        vision, text = (unit(env.tensor(case.role(f'{side}{i}'))) for side in ('vision', 'text'))
        case.facts.require(metric_order=METRIC_ORDERS)
        prompts = combo.get('prompts', 0)
        combo.require(videos=len(vision), classes=len(text) // (prompts or 1), dim=vision.shape[-1])
        if prompts:
            text = mean_of_prompts(text, prompts)
            is_true = class_matrix(env.tensor(case.role(f'label{i}')).cpu(), len(text))
        else:
            case.inputs.ignore(*present_inputs(case, f'label{i}'))  # the pairs are the truth
            is_true = true_pairs('one', len(vision), len(text))
        # As published, a class that no video has counts the first video as its own.
        links = dict(v2t=links_of(is_true), t2v=[own or [0] for own in links_of(is_true.T)])
        encoded = encoded_set(vision, text, links['v2t'])
        for name, dual in (('sim', False), ('dsl', True)):
            scores = both_blocks(encoded, scorer, dual)
            outputs |= {f'{name}_{view}{i}': scores[view] for view in VIEWS}
            ranks = both_ranks(encoded, scorer, dual, links)
            metrics = recalls_of_ranks(ranks['v2t'], ranks['t2v'])
            outputs[f'metrics_{name}{i}'] = np.array(list(metrics.values()))
    return Result(outputs)


@parity_runner('internvideo2_recipes/multiple_choice')
def run_multiple_choice(case: Case, env: RunEnv) -> Result:
    outputs: dict[str, Any] = {}
    metric = MultipleChoiceMetric()
    for i, combo in enumerate(case.facts['combos']):
        vision, text = (env.tensor(case.role(f'{side}{i}')) for side in ('vision', 'text'))
        answers, boost = env.tensor(case.role(f'answer{i}')), combo.get('boost', 0.0)
        combo.require(questions=len(vision), dim=vision.shape[-1])
        combo.ignore('batch')  # any batch gives the same numbers
        count = len(vision)
        if combo['kind'] == 'single':
            text = text.unflatten(0, (count, -1))
            combo.require(options=text.shape[1])
            text = text + boost * class_matrix(answers, text.shape[1])[..., None] * vision[:, None]
            options = torch.arange(text.shape[0] * text.shape[1]).view(text.shape[:2]).tolist()
            text = text.flatten(0, 1)
        else:
            combo.require(options=len(text))
            combo.ignore('positives')  # about how many answers of an option are right
            text = text + boost * answers.to(vision.dtype).T @ vision
            options = [list(range(len(text)))] * count
        ground_truth = dict(samples=list(range(count)), options=options, answers=answers.tolist())
        encoded = encoded_set(
            unit(vision), unit(text), ground_truth, temperature=combo['temp'], task='choice'
        )
        scores = metric.option_scores(encoded, AskedQuestions.of(encoded))
        if combo['kind'] == 'single':
            outputs[f'pred{i}'] = scores.argmax(dim=-1)
        (variant,) = metric.score(encoded).variants
        found = list(variant.figures.values())
        outputs |= {f'score{i}': scores.exp(), f'metric{i}': np.array(found)}
    return Result(outputs)


@parity_runner('internvideo2_recipes/text_normalise')
def run_text_normalise(case: Case, env: RunEnv) -> Result:
    pairs, truncated = case.facts.get('pairs', ()), case.facts.get('truncated', ())
    count = sum(normalise_caption(raw) == wanted for raw, wanted in pairs)
    missed = sum(normalise_caption(raw, words) != wanted for raw, words, wanted in truncated)
    return Result(dict(count=np.array(count - missed)))
