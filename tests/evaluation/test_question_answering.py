"""Accuracy of answers: values, types of questions, unreadable videos, several processes."""

import json

import pytest
import torch
from mmengine.evaluator import Evaluator

from internvideo.evaluation.choice_accuracy import ChoiceAccuracy
from internvideo.evaluation.open_ended_accuracy import (
    OpenEndedAccuracy,
    answer_score,
    normalise_answer,
)
from internvideo.structures import VideoDataSample
from tests.processes import in_processes

KINDS = ('what', 'who', 'how')
SIZE, BROKEN = 11, 4


def facts(index, **fields):
    own = dict(path=f'{index // 2}.mp4', sample_index=index, question_id=f'q{index}')
    return VideoDataSample(metainfo=own | dict(question_type=KINDS[index % 3]) | fields)


def open_sample(index, guess=None, answers=('yes', 'no'), weights=(0.75, 0.25), people=4):
    """Every third guess is wrong; the video of question 4 and 5 is broken."""
    lost = dict(unreadable='no stream') if index // 2 == BROKEN // 2 else {}
    sample = facts(index, answers=answers, weights=weights, num_answers=people, **lost)
    if not lost:
        sample.set_field(guess or ('maybe', 'Yes.', 'NO')[index % 3], 'pred_answer')
    return sample


def choice_sample(index, scores=(0.1, 0.7, 0.2), answer=1):
    lost = dict(unreadable='no stream') if index // 2 == BROKEN // 2 else {}
    sample = facts(index, option=('a', 'b', 'c'), answer=answer, **lost)
    return sample if lost else sample.set_pred_score(torch.tensor(scores))


def evaluate(metric, samples, size=None):
    evaluator = Evaluator(metric)
    for sample in samples:
        evaluator.process([sample])
    return evaluator.evaluate(len(samples) if size is None else size)


@pytest.mark.parametrize(
    ('text', 'normal'),
    [
        ('The Dog!', 'the dog'),
        ('  ice-cream ', 'ice cream'),
        ('café', 'cafe'),
        ("it's", 'its'),
        ('', ''),
    ],
)
def test_answers_are_compared_normalised(text, normal):
    assert normalise_answer(text) == normal


@pytest.mark.parametrize(
    ('guess', 'scores'),
    [('yes', (1, 1)), ('no', (1, 2 / 3)), ('perhaps', (1, 1 / 3)), ('never', (0, 0))],
)
def test_many_answers_count_by_the_people_who_gave_them(guess, scores):
    people = {'yes': 7, 'no': 2, 'Perhaps': 1}
    assert answer_score(guess, people) == pytest.approx(scores)


def test_open_ended_metrics(tmp_path):
    metric = OpenEndedAccuracy(dump=f'{tmp_path}/guesses.json', output_dir=tmp_path)
    metrics = evaluate(metric, [open_sample(i) for i in range(SIZE)])
    right, soft = 5, 3 * 1 + 2 / 3  # of what is readable, three say yes and two no
    assert metrics == pytest.approx(
        {
            'qa/accuracy': 100 * right / SIZE,
            'qa/vqa_accuracy': 100 * soft / SIZE,
            'qa/accuracy_how': 100 * 2 / 3,
            'qa/accuracy_what': 0.0,
            'qa/accuracy_who': 100 * 3 / 4,
            'qa/accuracy_readable': 100 * right / 9,
            'qa/num_questions': SIZE,
            'qa/unreadable': 2,
        }
    )
    guesses = json.loads((tmp_path / 'guesses.json').read_text())
    assert list(guesses) == [f'q{i}' for i in range(SIZE)]
    assert guesses['q1']['prediction'] == 'Yes.' and guesses['q1']['truth'] == dict(yes=3, no=1)
    assert guesses['q4']['unreadable'] == 'no stream' and guesses['q4']['prediction'] is None
    (line,) = (tmp_path / 'unreadable_test_videos.jsonl').read_text().splitlines()
    assert json.loads(line) == dict(path='2.mp4', reason='no stream')


def test_single_answers_have_no_soft_accuracy():
    samples = [open_sample(i, answers=('yes',), weights=(1.0,), people=1) for i in range(3)]
    metrics = evaluate(OpenEndedAccuracy(), samples)
    assert metrics['qa/accuracy'] == pytest.approx(100 / 3)
    assert 'qa/vqa_accuracy' not in metrics


def test_choice_metrics():
    samples = [choice_sample(i, answer=1 if i % 2 else 2) for i in range(SIZE)]
    metrics = evaluate(ChoiceAccuracy(), samples)
    assert metrics['choice/accuracy'] == pytest.approx(100 * 4 / SIZE)
    assert metrics['choice/accuracy_readable'] == pytest.approx(100 * 4 / 9)


@pytest.mark.parametrize('scores', [(0.4, 0.4, 0.2), (float('nan'),) * 3], ids=str)
def test_an_option_as_likely_as_the_right_one_is_a_miss(scores):
    metrics = evaluate(ChoiceAccuracy(), [choice_sample(0, answer=0, scores=scores)])
    assert metrics['choice/accuracy'] == 0.0


def share_of(rank, folder, kind):
    samples = [(open_sample if kind == 'open' else choice_sample)(i) for i in range(SIZE)]
    metric = OpenEndedAccuracy if kind == 'open' else ChoiceAccuracy
    return evaluate(metric(dump=f'{folder}/{kind}.json'), samples[rank::2], SIZE)


@pytest.mark.parametrize('kind', ['open', 'choice'])
def test_metrics_do_not_depend_on_the_number_of_processes(kind, tmp_path):
    samples = [(open_sample if kind == 'open' else choice_sample)(i) for i in range(SIZE)]
    metric = OpenEndedAccuracy if kind == 'open' else ChoiceAccuracy
    alone = evaluate(metric(dump=f'{tmp_path}/alone.json'), samples)
    assert in_processes(2, share_of, tmp_path, kind) == [alone] * 2
    assert (tmp_path / f'{kind}.json').read_text() == (tmp_path / 'alone.json').read_text()


def test_what_is_missing_is_named():
    sample = choice_sample(0)
    del sample.pred_label
    with pytest.raises(ValueError, match=r'0\.mp4: the data sample has no pred_label'):
        evaluate(ChoiceAccuracy(), [sample])
    with pytest.raises(ValueError, match='answer 1 and 2 scores for 3 options'):
        evaluate(ChoiceAccuracy(), [choice_sample(0, scores=(0.5, 0.5))])


def test_predictions_of_equal_ids_would_overwrite_each_other(tmp_path):
    samples = [open_sample(i) for i in range(2)]
    samples[1].set_metainfo(dict(question_id='q0'))
    with pytest.raises(ValueError, match="question_id 'q0' comes twice"):
        evaluate(OpenEndedAccuracy(dump=f'{tmp_path}/x.json'), samples)
