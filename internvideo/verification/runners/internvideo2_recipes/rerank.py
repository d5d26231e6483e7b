"""Runner of retrieval with re-ranking by a matching head, around a fake fusion encoder."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from internvideo.evaluation.protocols import inverted, judged_candidates
from internvideo.evaluation.retrieval import figures_of_ranks
from internvideo.evaluation.streamed_scores import (
    NOT_JUDGED,
    filled_scores,
    score_blocks,
    streamed_ranks,
)
from internvideo.verification.cases import Case, RunEnv
from internvideo.verification.facts import Facts
from internvideo.verification.runner_registry import Result, parity_runner

from .zero_shot import METRIC_ORDERS, figures, present_inputs, true_pairs


def unit(features: Tensor) -> Tensor:
    return torch.nn.functional.normalize(features, dim=-1)


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
    """Soft-maxed scores of both directions, and the nine figures, of each variant."""
    text, head = part('text'), part('match')
    tokens, media = media_of(combo, part)
    texts = unit(text[:, 0] @ part('text_proj').T)

    def match(pairs: Tensor) -> Tensor:
        fused = torch.tanh(text[pairs[:, 1]] + tokens[pairs[:, 0]].mean(dim=1, keepdim=True))
        return (fused[:, 0] @ head.T)[:, 1]

    truth = true_pairs(combo.get('truth', 'one'), len(media), len(texts), 'cpu')
    forth = [row.nonzero().flatten().tolist() for row in truth]
    back = inverted(forth, len(texts))
    outputs: dict[str, Any] = {}
    for name, dual in (('sim', False), ('dsl', True)):
        for view, sides in (('v2t', (media, texts)), ('t2v', (texts, media))):
            whole = torch.cat([scores for _, scores in score_blocks(*sides, dual)])
            outputs[f'{name}_{view}'] = whole.softmax(dim=1)
        ranks = (
            streamed_ranks(media, texts, forth, dual),
            streamed_ranks(texts, media, back, dual),
        )
        outputs[f'metrics_{name}'] = list(figures_of_ranks(*ranks).values())
    wanted = combo.get('k_test') or 128
    tops, scores = judged_candidates(media, texts, match, wanted, combo.get('dsl_for_match', False))
    raw = [
        filled_scores(top, judged, count)
        for top, judged, count in zip(tops, scores, (len(texts), len(media)), strict=True)
    ]
    outputs |= {
        f'match_{view}': m.softmax(dim=1) for view, m in zip(('v2t', 't2v'), raw, strict=True)
    }
    if not any((matrix == NOT_JUDGED).any() for matrix in raw):
        outputs['metrics_match'] = figures(*raw, truth.to(raw[0].device))
    return outputs
