"""Multi-view merging and accuracy against the published test."""

import torch

from internvideo.evaluation.accuracy import AccuracyMetric
from internvideo.evaluation.class_scores import merge_views
from tests.parity.harness import Case, Result, RunEnv, parity_runner


@parity_runner('internvideo2_recipes/multiview_merge')
def run_multiview_merge(case: Case, env: RunEnv) -> Result:
    logits, labels = env.tensor(case.role('logits')), case.role('labels')
    scores = merge_views(logits * case.facts['logit_scale']).cpu()
    metric = AccuracyMetric(topk=(1, 5))
    for rank in range(case.facts['ranks']):
        for index in range(rank, case.facts['videos'], case.facts['ranks']):
            sample = dict(path=f'{index}.mp4', sample_index=index, gt_label=labels[index])
            metric.process(None, [dict(sample, pred_score=scores[index])])
    figures = metric.evaluate(case.facts['videos'])
    return Result(
        outputs={
            'top1': figures['acc/top1'],
            'top5': figures['acc/top5'],
            'mean_score': scores,
            'prediction': torch.argmax(scores, dim=1),
        }
    )
