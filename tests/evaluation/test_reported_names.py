"""Metrics say which names they may report."""

import pytest

from internvideo.evaluation.reported_names import is_reported, names_of
from internvideo.registry import METRICS

SETS = dict(msrvtt='retrieval', msvd='retrieval', k400='action', mc='choice')


def names(*configs):
    return names_of([METRICS.build(dict(config)) for config in configs], SETS)


ALL = [dict(type=t) for t in ('RetrievalMetric', 'ZeroShotMetric', 'MultipleChoiceMetric')]


@pytest.mark.parametrize(
    ('name', 'expected'),
    [
        ('t2v_r1', True),
        ('msvd/t2v_r1', True),
        ('msvd_match/t2v_r1', True),
        ('msvdx/t2v_r1', False),
        ('didemo/t2v_r1', False),
        ('msvd/top1', False),
        ('k400/top1', True),
        ('k400_match/top1', False),
        ('mc_match/accuracy', True),
    ],
)
def test_a_name_is_of_a_set_and_of_the_metric_that_scores_it(name, expected):
    assert is_reported(name, names(*ALL)) is expected


def test_sets_and_labels_narrow_what_is_reported():
    found = names(dict(type='RetrievalMetric', sets=['msvd'], label='tokens'))
    assert is_reported('msvd_tokens_match/r_mean', found)
    assert not is_reported('msvd_match/r_mean', found)
    assert not is_reported('msrvtt_tokens_match/r_mean', found)


@pytest.mark.parametrize(
    ('metric', 'name', 'expected'),
    [
        (dict(type='AccuracyMetric', topk=(1, 3)), 'acc/top3', True),
        (dict(type='AccuracyMetric', topk=(1, 3)), 'acc/top5', False),
        (dict(type='AccuracyMetric', prefix='val'), 'val/mean_class', True),
        (dict(type='MeanAveragePrecision'), 'mAP', True),
        (dict(type='OpenEndedAccuracy'), 'qa/accuracy_colour', True),
        (dict(type='ChoiceAccuracy'), 'qa/accuracy', False),
    ],
)
def test_metrics_of_samples_say_theirs(metric, name, expected):
    assert is_reported(name, names(metric)) is expected


def test_nothing_is_known_where_a_metric_does_not_say():
    assert (
        names(dict(type='AccuracyMetric'), dict(type='DumpResults', out_file_path='x.pkl')) is None
    )
