"""Runner of retrieval with re-ranking by a matching head, around a fake fusion encoder."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from internvideo.evaluation.retrieval_metric import RetrievalMetric
from internvideo.evaluation.scorers import NOT_JUDGED, filled_scores
from internvideo.verification.cases import Case, RunEnv
from internvideo.verification.facts import Facts
from internvideo.verification.runner_registry import Result, parity_runner

from .zero_shot import (
    METRIC_ORDERS,
    both_blocks,
    encoded_set,
    links_of,
    present_inputs,
    true_pairs,
    unit,
)


def media_of(combo: dict[str, Any], part: Callable[[str], Tensor]) -> tuple[Tensor, Tensor]:
    """Tokens (N, T, dim) and unit vectors (N, proj) of the media."""
    kind = combo.get('media') or 'video'
    if kind != 'audio':
        vision = part('pooled') @ part('vision_proj').T
    if kind == 'video':
        return part('vision'), unit(vision)
    audio = part('audio_pooled') @ part('audio_proj').T
    if kind == 'audio':
        return part('audio'), unit(audio)
    tokens = torch.cat([part('audio'), part('vision')], dim=1)
    return tokens, unit(torch.cat([audio, vision], dim=1) @ part('av_fusion').T)


@parity_runner('internvideo2_recipes/vtm_rerank')
def run_rerank(case: Case, env: RunEnv) -> Result:
    outputs: dict[str, Any] = {}
    case.facts.require(metric_order=METRIC_ORDERS)
    for number, combo in enumerate(case.facts['combos']):
        check_combo(case, combo, number)
        found = run_combo(combo, lambda name, n=number: env.tensor(case.role(f'{name}{n}')))
        outputs |= {f'{name}{number}': value for name, value in found.items()}
    return Result({name: value for name, value in outputs.items() if name in case.outputs})


def check_combo(case: Case, combo: Facts, number: int) -> None:
    """Check the sizes that a combination repeats, and leave alone what its media do not use."""
    text, audio = case.role(f'text{number}'), f'audio{number}'
    combo.require(
        texts=len(text),
        text_tokens=text.shape[1],
        dim=text.shape[2],
        proj=len(case.role(f'text_proj{number}')),
        videos=len(case.role(f'vision{number}')),
        vision_tokens=case.role(f'vision{number}').shape[1],
        audio_tokens=case.role(audio).shape[1] if audio in case.roles else None,
    )
    if combo.get('media') == 'audio':  # the file brings a whole fake model
        unused = ('vision', 'pooled', 'vision_proj', 'av_fusion')
        case.inputs.ignore(*present_inputs(case, *(f'{name}{number}' for name in unused)))


def run_combo(combo: dict[str, Any], part: Callable[[str], Tensor]) -> dict[str, Any]:
    """Soft-maxed scores of both directions and the nine metrics of each variant."""
    text, head = part('text'), part('match')
    tokens, media = media_of(combo, part)
    texts = unit(text[:, 0] @ part('text_proj').T)

    def match(pairs: Tensor) -> Tensor:
        fused = torch.tanh(text[pairs[:, 1]] + tokens[pairs[:, 0]].mean(dim=1, keepdim=True))
        return (fused[:, 0] @ head.T)[:, 1].cpu()

    is_true = true_pairs(combo.get('truth', 'one'), len(media), len(texts))
    wanted = combo.get('k_test') or 128
    metric = RetrievalMetric(k_test=wanted, dsl_for_match=combo.get('dsl_for_match', False))
    encoded = encoded_set(media, texts, links_of(is_true), match=match)
    variants = metric.score(encoded).variants
    outputs: dict[str, Any] = {}
    for name, dual in (('sim', False), ('dsl', True)):
        scores = both_blocks(encoded, metric.scorer, dual)
        outputs |= {f'{name}_{view}': each.softmax(dim=1) for view, each in scores.items()}
    tops, scores = metric.judged(encoded)
    raw = [
        filled_scores(top, judged, count)
        for top, judged, count in zip(tops, scores, (len(texts), len(media)), strict=True)
    ]
    outputs |= {
        f'match_{view}': m.softmax(dim=1) for view, m in zip(('v2t', 't2v'), raw, strict=True)
    }
    # Of candidates that were not judged the published order is by chance.
    is_whole = not any((matrix == NOT_JUDGED).any() for matrix in raw)
    for name, variant in zip(('sim', 'dsl', 'match'), variants, strict=True):
        if name != 'match' or is_whole:
            outputs[f'metrics_{name}'] = list(variant.figures.values())
    return outputs
