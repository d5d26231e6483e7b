"""Multi-view merging and accuracy against the published test."""

import torch

from internvideo.evaluation.accuracy import AccuracyMetric
from internvideo.ops.views import merge_views
from internvideo.verification.cases import Case, CaseError, RunEnv
from internvideo.verification.runner_registry import Result, parity_runner


@parity_runner('internvideo2_recipes/multiview_merge')
def run_multiview_merge(case: Case, env: RunEnv) -> Result:
    logits, labels = env.tensor(case.role('logits')), case.role('labels')
    videos, views, classes = logits.shape
    case.facts.require(videos=videos, classes=classes)
    if case.facts.get('segments', 1) * case.facts.get('crops', 1) != views:
        raise CaseError(f'{views} views are not segments times crops')
    scores = merge_views(logits * case.facts.get('logit_scale', 1)).cpu()
    metric, ranks = AccuracyMetric(topk=(1, 5)), case.facts.get('ranks', 1)
    for rank in range(ranks):
        for index in range(rank, len(logits), ranks):
            sample = dict(path=f'{index}.mp4', sample_index=index, gt_label=labels[index])
            metric.process(None, [dict(sample, pred_score=scores[index])])
    metrics = metric.evaluate(len(logits))
    return Result(
        outputs={
            'top1': metrics['acc/top1'],
            'top5': metrics['acc/top5'],
            'mean_score': scores,
            'prediction': torch.argmax(scores, dim=1),
        }
    )
