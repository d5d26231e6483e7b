"""Questions about videos: rows, lists of answers, decodes that are shared, bad input."""

import json
from pathlib import Path

import pytest
import torch

from internvideo.datasets.collate import collate_questions
from internvideo.datasets.formats.question_rows import choice_question, closed_list, open_question
from internvideo.datasets.question_answers import QuestionAnswers

PIPELINE = [dict(type='ResizeSquare', size=16), dict(type='PackMedia')]
SAMPLING = dict(type='IntervalSample', num_frames=4, mode='middle')


def ask(video='good.mp4', **fields):
    return dict(video=video, question='What is it?', answer='A box') | fields


def build(media, folder, rows, **fields):
    path = folder / 'rows.json'
    path.write_text(json.dumps(rows))
    return QuestionAnswers(path, SAMPLING, PIPELINE, data_prefix=media, **fields)


@pytest.mark.parametrize(
    ('answer', 'answers', 'weights', 'count'),
    [
        ('Yes!', ('yes',), (1.0,), 1),
        (2, ('2',), (1.0,), 1),
        (['red', 'Blue', 'red.', 'RED'], ('red', 'blue'), (0.75, 0.25), 4),
        (['', 'no'], ('no',), (1.0,), 1),
    ],
)
def test_answers_weigh_what_their_share_is(answer, answers, weights, count):
    facts = open_question(ask(answer=answer))
    found = (facts['answers'], facts['weights'], facts['num_answers'])
    assert found == (answers, weights, count)
    assert facts['question'] == 'what is it'


@pytest.mark.parametrize(
    ('info', 'reason'),
    [
        (ask(answer=None), 'no answer but None'),
        (ask(answer=[]), r'no answer but \[\]'),
        (ask(answer=' ?'), 'no answer'),
        (ask(question='?!'), "no question: '\\?!'"),
        (ask(question=''), 'question is empty'),
    ],
)
def test_open_rows_that_cannot_be_used(info, reason):
    with pytest.raises(ValueError, match=reason):
        open_question(info)


@pytest.mark.parametrize(
    ('fields', 'reason'),
    [
        (dict(option=['a', 'b'], answer=2), 'answer 2 is none of 0..1'),
        (dict(option=['a', 'b'], answer=True), 'answer True'),
        (dict(option=['a'], answer=0), '1 options'),
        (dict(option='a', answer=0), 'no list of texts'),
        (dict(option=['a', ''], answer=0), 'option is empty'),
    ],
)
def test_choices_that_cannot_be_used(fields, reason):
    with pytest.raises(ValueError, match=reason):
        choice_question(ask(**fields))


def test_captions_may_be_the_options():
    facts = choice_question(dict(video='a.mp4', caption=['A dog.', 'a cat'], answer=1))
    assert facts == dict(question='', option=('a dog', 'a cat'), answer=1)


@pytest.mark.parametrize(
    ('name', 'content'),
    [
        ('list.json', '["Yes", "no", "yes!"]'),
        ('index.json', '{"yes": 0, "no": 1}'),
        ('list.txt', 'yes\nno\n\n'),
        ('rows.json', json.dumps([ask(answer=a) for a in ('no', 'yes', ['yes', 'yes'])])),
    ],
)
def test_closed_lists_come_from_many_files(name, content, tmp_path):
    (tmp_path / name).write_text(content)
    assert closed_list(tmp_path / name) == ('yes', 'no')
    assert closed_list(tmp_path / name, most=1) == ('yes',)


@pytest.mark.parametrize('content', ['[]', '["?"]', '{}'])
def test_an_empty_closed_list_is_an_error(content, tmp_path):
    (tmp_path / 'list.json').write_text(content)
    with pytest.raises(ValueError, match=r'is empty|none of'):
        closed_list(tmp_path / 'list.json')


def test_questions_about_a_video_share_its_decode(media, tmp_path, monkeypatch):
    rows = [ask('good.mp4'), ask('short.mp4'), ask('good.mp4', question='which'), ask('short.mp4')]
    dataset = build(media, tmp_path, rows, test_mode=True)
    decoded, load = [], dataset.loading
    monkeypatch.setattr(
        dataset, 'loading', lambda s: decoded.append(Path(s['path']).name) or load(s)
    )
    items = [dataset[0, number] for number in range(4)]
    assert decoded == ['good.mp4', 'short.mp4']
    assert [item['data_samples'].sample_index for item in items] == [0, 2, 1, 3]
    batch = collate_questions(items)
    assert batch['inputs']['video'].shape == (2, 3, 4, 16, 16)
    assert [sample.clip for sample in batch['data_samples']] == [0, 0, 1, 1]
    assert torch.equal(batch['inputs']['video'][1], items[2]['inputs']['video'])


def test_training_asks_several_questions_about_one_crop(media, tmp_path):
    rows = [ask(question=f'q{n}', question_id=n, question_type='what') for n in range(5)]
    dataset = build(media, tmp_path, rows, questions_per_clip=3)
    assert len(dataset) == 2
    groups = [[item['data_samples'] for item in dataset[0, number]] for number in range(2)]
    assert [[sample.question for sample in group] for group in groups] == [
        ['q0', 'q1', 'q2'],
        ['q3', 'q4'],
    ]
    assert groups[1][0].question_type == 'what' and groups[1][0].question_id == 3


def test_broken_videos_are_replaced_in_training_and_said_in_testing(media, tmp_path):
    rows = [ask('text.mp4', question_id='x'), ask(question_id='y')]
    log = tmp_path / 'bad.jsonl'
    training = build(media, tmp_path, rows, bad_samples_file=log, max_bad_share=None)
    assert training[0, 0]['data_samples'].question_id == 'y'
    assert json.loads(log.read_text().splitlines()[0])['path'].endswith('text.mp4')
    testing = build(media, tmp_path, rows, test_mode=True)
    batch = collate_questions([testing[0], testing[1]])
    assert [sample.question_id for sample in batch['data_samples']] == ['y', 'x']
    assert batch['data_samples'][1].unreadable and len(batch['inputs']['video']) == 1
    assert collate_questions([testing[0]])['inputs'] is None


def test_training_leaves_out_what_testing_refuses(media, tmp_path):
    rows = [ask(), ask(answer=[])]
    assert len(build(media, tmp_path, rows)) == 1
    with pytest.raises(ValueError, match=r'rows\.json:2: no answer'):
        build(media, tmp_path, rows, test_mode=True)
    with pytest.raises(ValueError, match=r'none of 1 rows can be used, such as .*rows\.json:1'):
        build(media, tmp_path, rows[1:])


def test_a_question_id_comes_once_in_a_test(media, tmp_path):
    rows = [ask(question_id='a'), ask(question_id='b'), ask(question_id='a')]
    assert len(build(media, tmp_path, rows)) == 3
    with pytest.raises(ValueError, match=r"rows\.json:3: question_id 'a' as in .*rows\.json:1"):
        build(media, tmp_path, rows, test_mode=True)


@pytest.mark.parametrize(
    ('fields', 'reason'),
    [
        (dict(task='essay'), 'task must be one of open_ended, multiple_choice'),
        (dict(questions_per_clip=0), 'must be positive'),
        (dict(questions_per_clip=2, test_mode=True), 'and 1 with test_mode'),
    ],
)
def test_settings_are_checked(fields, reason, media, tmp_path):
    with pytest.raises(ValueError, match=reason):
        build(media, tmp_path, [ask()], **fields)
