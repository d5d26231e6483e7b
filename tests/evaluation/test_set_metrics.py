"""Scoring of encoded sets: variants, unreadable media, several captions, choices."""

import pytest
import torch

from internvideo.evaluation.reported_names import is_reported
from internvideo.registry import METRICS
from internvideo.structures.encoded_sets import EncodedSet


def unit(rows):
    return torch.nn.functional.normalize(torch.tensor(rows, dtype=torch.float), dim=-1)


AXES = [[1, 0, 0], [0, 1, 0], [0, 0, 1]]


def encoded(samples=AXES, texts=AXES, rows=None, ground_truth=([0], [1], [2]), **fields):
    rows = list(range(len(samples))) if rows is None else rows
    base = dict(name='set', files='a.json', samples=unit(samples), rows=torch.tensor(rows))
    base |= dict(
        size=len(ground_truth), texts=unit(texts), ground_truth=list(ground_truth), temperature=0.1
    )
    return EncodedSet(**base | fields)


def score(kind, case, **options):
    metric = METRICS.build(dict(type=kind, **options))
    case.task = metric.task
    metric.process(case, [])
    metrics = metric.evaluate(case.size)
    (report,) = metric.reports
    names = metric.reported_names({case.name: case.task})
    assert all(is_reported(name, names) for name in metrics)
    return report, metrics


def test_models_without_a_matching_head_have_two_variants():
    report, metrics = score('RetrievalMetric', encoded())
    assert [each.prefix for each in report.variants] == ['set_emb', 'set']
    assert [each.dual_softmax for each in report.variants] == [False, True]
    assert metrics['set_emb/v2t_r1'] == metrics['set/t2v_r1'] == 100.0
    assert report.facts['captions_per_video'] == '1'


@pytest.mark.parametrize('k_test', [3, 128])
def test_the_matching_head_has_the_last_word(k_test):
    asked = []

    def reversed_order(pairs):
        asked.extend(map(tuple, pairs.tolist()))
        return ((pairs[:, 0] + pairs[:, 1]) == 2).float()

    report, metrics = score('RetrievalMetric', encoded(match=reversed_order), k_test=k_test)
    assert [each.prefix for each in report.variants] == ['set_sim', 'set_dsl', 'set_match']
    assert len(asked) == len(set(asked)) == 9  # every pair once, though both directions want it
    assert metrics['set_sim/v2t_r1'] == 100.0
    assert metrics['set_match/v2t_r1'] == metrics['set_match/t2v_r1'] == pytest.approx(33.33)
    assert report.variants[2].reranked == 3


def test_only_the_best_candidates_are_judged():
    media, texts = unit([[1, 0.2, 0], [0.3, 1, 0]]), unit(AXES)
    case = encoded(match=lambda pairs: pairs[:, 1].float())
    case.samples, case.texts = media, texts
    metric = METRICS.build(dict(type='RetrievalMetric', k_test=1))
    tops, scores = metric.judged(case)
    assert tops[0].tolist() == [[0], [1]] and scores[0].tolist() == [[0.0], [1.0]]
    assert tops[1].tolist()[:2] == [[0], [1]]


def test_unreadable_media_are_not_found():
    case = encoded(samples=AXES[:2], rows=[0, 2], ground_truth=[[0], [2], [1]],
                   unreadable=[dict(path='b.mp4', reason='broken')])  # fmt: skip
    report, metrics = score('RetrievalMetric', case)
    assert metrics['set_emb/v2t_r1'] == metrics['set_emb/t2v_r1'] == pytest.approx(66.67)
    assert metrics['set_emb/v2t_r10'] == pytest.approx(66.67)
    assert (report.facts['videos'], report.facts['unreadable']) == (3, 1)


def test_nothing_readable_is_nothing_found():
    case = encoded(rows=[0], ground_truth=[[0], [1], [2]])
    case.samples, case.rows = torch.zeros(0, 3), torch.zeros(0, dtype=torch.long)
    case.match = lambda pairs: torch.zeros(len(pairs))
    _, metrics = score('RetrievalMetric', case)
    assert set(metrics.values()) == {0.0}


def test_several_captions_of_a_video_and_several_videos_of_a_caption():
    case = encoded(samples=[[1, 0, 0], [1, 0.1, 0], [0, 0, 1]], ground_truth=[[0, 1], [0], [2]])
    report, metrics = score('RetrievalMetric', case)
    assert report.facts['captions_per_video'] == '1..2 (mean 1.3)'
    assert report.facts['videos_per_caption'] == '1..2 (mean 1.3)'
    assert metrics['set_emb/v2t_r1'] == 100.0
    assert metrics['set_emb/t2v_r1'] == pytest.approx(66.67)  # text 1 looks like video 1, is of 0


def test_actions_are_counted_with_their_mean():
    case = encoded(
        samples=[*AXES, [1, 0, 0]], texts=AXES, ground_truth=[0, 1, 0, 0], rows=[0, 1, 2, 3]
    )
    _, metrics = score('ZeroShotMetric', case)
    assert metrics == {'set/top1': 75.0, 'set/top5': 100.0, 'set/avg': 87.5}


def test_the_mean_of_actions_is_taken_before_rounding():
    texts = [[1, 0, 0], [1, 0.1, 0], [1, 0.2, 0], [1, 0.3, 0], [1, 0.4, 0], [0, 1, 0]]
    _, metrics = score('ZeroShotMetric', encoded([AXES[0]] * 3, texts, ground_truth=[1, 5, 5]))
    assert metrics == {'set/top1': 0.0, 'set/top5': 33.33, 'set/avg': 16.67}


def test_a_choice_is_right_or_wrong():
    ground_truth = dict(samples=[0, 1, 2], options=[[0, 1], [1, 2], [0, 2]], answers=[0, 1, 1])
    case = encoded(samples=AXES[:2], rows=[0, 1], ground_truth=[[0], [0], [0]])
    case.ground_truth = ground_truth
    report, metrics = score('MultipleChoiceMetric', case)
    assert metrics == {'set/accuracy': pytest.approx(33.33)}  # right, wrong, unreadable
    assert report.facts['options'] == 2
    case.match = lambda pairs: (pairs[:, 1] == 2).float()
    _, metrics = score('MultipleChoiceMetric', case)
    assert metrics['set_match/accuracy'] == pytest.approx(33.33)


def test_questions_about_one_video_are_asked_of_its_one_feature():
    case = encoded(samples=AXES[::2], rows=[0, 2], ground_truth=[[0]] * 3)
    options = [[0, 1], [2, 1], [0, 2], [2, 0], [0, 1]]
    case.ground_truth = dict(samples=[0, 2, 0, 1, 2], options=options, answers=[0, 0, 1, 0, 0])
    judged = []
    case.match = lambda pairs: judged.extend(map(tuple, pairs.tolist())) or pairs[:, 1].float()
    report, metrics = score('MultipleChoiceMetric', case)
    # Right, right, wrong, unreadable, and a tie, which never helps.
    assert metrics == {'set/accuracy': 40.0, 'set_match/accuracy': 40.0}
    assert (report.facts['videos'], report.facts['questions']) == (3, 5)
    assert judged == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]  # (1, 0): of two questions


def test_choices_with_several_answers_have_a_mean_average_precision():
    ground_truth = dict(
        samples=[0, 1, 2], options=[[0, 1, 2]] * 3, answers=[[1, 0, 0], [0, 1, 0], [1, 0, 1]]
    )
    case = encoded(ground_truth=[[0], [0], [0]])
    case.ground_truth = ground_truth
    _, metrics = score('MultipleChoiceMetric', case)
    # The first option is true of the first video and of the third, which ties with the second.
    assert metrics == {'set/mAP': pytest.approx(100 * (5 / 6 + 1 + 1) / 3, abs=0.01)}


def test_a_video_without_features_comes_last_among_those_of_an_option():
    case = encoded(samples=[AXES[0], AXES[1], [float('nan')] * 3], ground_truth=[[0], [0], [0]])
    answers = [[1, 0], [0, 1], [1, 0]]
    case.ground_truth = dict(samples=[0, 1, 2], options=[[0, 1]] * 3, answers=answers)
    _, metrics = score('MultipleChoiceMetric', case)
    assert metrics == {'set/mAP': pytest.approx(100 * ((1 + 2 / 3) / 2 + 1) / 2, abs=0.01)}


def test_options_of_unreadable_videos_alone_find_nothing():
    case = encoded(samples=AXES[:1], rows=[0], ground_truth=[[0], [0]])
    case.samples, case.rows = torch.zeros(0, 3), torch.zeros(0, dtype=torch.long)
    case.size = 2
    case.ground_truth = dict(samples=[0, 1], options=[[0, 1]] * 2, answers=[[1, 0], [1, 1]])
    _, metrics = score('MultipleChoiceMetric', case)
    assert metrics == {'set/mAP': 0.0}


def test_k_test_must_not_be_negative():
    with pytest.raises(ValueError, match='k_test'):
        METRICS.build(dict(type='RetrievalMetric', k_test=-1))
