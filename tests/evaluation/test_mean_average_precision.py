"""Mean average precision over videos."""

import pytest
import torch

from internvideo.evaluation.mean_average_precision import MeanAveragePrecision


def evaluate(rows):
    metric = MeanAveragePrecision()
    for index, (label, score) in enumerate(rows):
        sample = dict(path=f'{index}.mp4', sample_index=index, gt_label=label)
        sample |= dict(unreadable='broken') if score is None else dict(pred_score=score)
        metric.process(None, [sample])
    return metric.evaluate(len(rows))


def test_precision_of_ranked_videos():
    rows = [(0, [0.9, 0.1, 0]), (1, [0.8, 0.2, 0]), (0, [0.3, 0.7, 0]), (1, [0.1, 0.9, 0])]
    metrics = evaluate([(label, torch.tensor(score)) for label, score in rows])
    assert metrics['map/mAP'] == pytest.approx(100 * (1 + 2 / 3) / 2)
    assert metrics['map/num_classes'] == 2


def test_an_unreadable_video_lowers_its_class():
    rows = [(0, torch.tensor([0.9, 0.1])), (1, torch.tensor([0.2, 0.8])), (0, None)]
    metrics = evaluate(rows)
    assert metrics['map/mAP'] == pytest.approx(100 * ((1 + 2 / 3) / 2 + 1) / 2)
    assert metrics['map/unreadable'] == 1
