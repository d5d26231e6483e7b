"""Accuracy over videos: values, unreadable videos, any number of processes."""

import json

import numpy as np
import pytest
import torch
import torch.multiprocessing as mp
from hypothesis import given
from hypothesis import strategies as st
from mmengine.evaluator import Evaluator

from internvideo.evaluation.accuracy import AccuracyMetric
from internvideo.evaluation.class_scores import label_ranks
from internvideo.structures import VideoDataSample
from tests.processes import free_port

NUM_VIDEOS, NUM_CLASSES, BROKEN = 11, 7, 4


def make_sample(index, unreadable=()):
    """A predicted sample whose content depends on its index alone."""
    sample = VideoDataSample(metainfo=dict(path=f'v/{index}.mp4', sample_index=index))
    sample.set_gt_label(index % NUM_CLASSES)
    if index in unreadable:
        sample.set_metainfo(dict(unreadable='no video stream'))
        return sample
    noise = torch.randn(NUM_CLASSES, generator=torch.Generator().manual_seed(index))
    noise[index % NUM_CLASSES] += 1
    return sample.set_pred_score(noise.softmax(0))


def evaluate(indices, size=NUM_VIDEOS, unreadable=(BROKEN,), **options):
    evaluator = Evaluator(AccuracyMetric(topk=(1, 3), **options))
    for index in indices:
        evaluator.process([make_sample(index, unreadable)])
    return evaluator.evaluate(size)


def evaluate_rank(rank, world, port, folder, indices):
    torch.distributed.init_process_group(
        'gloo', f'tcp://127.0.0.1:{port}', rank=rank, world_size=world
    )
    try:
        metrics = evaluate(indices[rank::world], dump=f'{folder}/predictions.json')
    except ValueError as error:
        metrics = str(error)
    (folder / f'{rank}.json').write_text(json.dumps(metrics))
    torch.distributed.destroy_process_group()


def evaluate_in_processes(world, folder, indices):
    mp.spawn(evaluate_rank, args=(world, free_port(), folder, indices), nprocs=world)
    return [json.loads((folder / f'{rank}.json').read_text()) for rank in range(world)]


@pytest.mark.parametrize('world', [2, 3])
def test_metrics_do_not_depend_on_the_number_of_processes(tmp_path, world):
    alone = evaluate(range(NUM_VIDEOS), dump=f'{tmp_path}/alone.json')
    metrics = evaluate_in_processes(world, tmp_path, list(range(NUM_VIDEOS)))
    assert metrics == [alone] * world
    assert (tmp_path / 'predictions.json').read_text() == (tmp_path / 'alone.json').read_text()


def test_a_repeated_sample_fails_on_every_rank(tmp_path):
    first, second = evaluate_in_processes(2, tmp_path, [*range(NUM_VIDEOS), 0])
    assert first == second
    assert 'evaluated more than once, such as v/0.mp4 (row 0)' in first


def test_an_omitted_sample_is_an_error():
    with pytest.raises(ValueError, match='10 samples were evaluated, the data set holds 11'):
        evaluate(range(10))


def test_order_of_evaluation_does_not_matter():
    assert evaluate(range(NUM_VIDEOS)) == evaluate(reversed(range(NUM_VIDEOS)))


def test_unreadable_videos_count_as_wrong_and_are_listed(tmp_path):
    whole = evaluate(range(NUM_VIDEOS), unreadable=())
    broken = evaluate(range(NUM_VIDEOS), unreadable=range(NUM_VIDEOS - 1), output_dir=str(tmp_path))
    assert whole['acc/unreadable'] == 0 and whole['acc/top1_readable'] == whole['acc/top1']
    assert (broken['acc/unreadable'], broken['acc/num_videos']) == (10, 11)
    assert broken['acc/top3'] <= 100 / 11
    assert broken['acc/top1'] == pytest.approx(broken['acc/top1_readable'] / 11)
    lines = (tmp_path / 'unreadable_test_videos.jsonl').read_text().splitlines()
    assert json.loads(lines[3]) == {'path': 'v/3.mp4', 'reason': 'no video stream'}
    evaluate(range(NUM_VIDEOS), unreadable=(), output_dir=str(tmp_path))
    assert not (tmp_path / 'unreadable_test_videos.jsonl').exists()


def test_every_video_unreadable_is_zero_not_an_exception():
    metrics = evaluate(range(NUM_VIDEOS), unreadable=range(NUM_VIDEOS))
    assert metrics['acc/top1'] == metrics['acc/mean_class'] == 0


def test_predictions_are_dumped_with_the_names_of_their_classes(tmp_path):
    metric = AccuracyMetric(dump=str(tmp_path / 'out' / 'predictions.json'))
    metric.dataset_meta = dict(classes=('run', 'jump'))
    sample = dict(path='a.mp4', sample_index=0, gt_label=1)
    metric.process(None, [sample | dict(pred_score=torch.tensor([0.75, 0.25]))])
    metric.process(None, [sample | dict(sample_index=1, unreadable='empty')])
    metric.evaluate(2)
    one, two = json.loads((tmp_path / 'out' / 'predictions.json').read_text())
    assert one == sample | dict(
        gt_name='jump', pred_label=0, pred_name='run', pred_score=[0.75, 0.25], unreadable=None
    )
    assert (two['pred_label'], two['pred_score'], two['unreadable']) == (None, None, 'empty')


def test_mean_class_accuracy_weighs_classes_equally():
    metric = AccuracyMetric()
    for index, (label, guess) in enumerate([(0, 0), (0, 0), (0, 0), (1, 0)]):
        score = torch.eye(2)[guess]
        metric.process(None, [dict(path='a', sample_index=index, gt_label=label, pred_score=score)])
    metrics = metric.evaluate(4)
    assert (metrics['acc/top1'], metrics['acc/mean_class']) == (75.0, 50.0)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(sample_index=None), 'no sample_index'),
        (dict(gt_label=None), 'no gt_label'),
        (dict(pred_score=None), 'no pred_score'),
        (dict(gt_label=7), 'label 7 is outside the 7 classes'),
    ],
)
def test_a_faulty_sample_is_named(change, message):
    sample = make_sample(3).to_dict() | change
    with pytest.raises(ValueError, match=rf'v/3\.mp4: .*{message}'):
        AccuracyMetric().process(None, [sample])


@given(st.lists(st.integers(0, 3), min_size=2, max_size=6), st.data())
def test_ranks_follow_a_stable_descending_sort(scores, data):
    label = data.draw(st.integers(0, len(scores) - 1))
    order = np.argsort(-np.array(scores), kind='stable')
    rank = label_ranks(np.array([scores], dtype=np.float32), np.array([label]))
    assert rank == list(order).index(label)


def test_scores_that_are_no_numbers_never_count_as_right():
    scores = np.array([[np.nan, np.nan, np.nan], [0.5, np.nan, 0.1]])
    assert label_ranks(scores, np.array([0, 0])).tolist() == [2, 1]
