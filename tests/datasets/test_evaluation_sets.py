"""Evaluation sets: media once each, their texts and what is right."""

import pytest

from internvideo.datasets.evaluation_sets import EvaluationSets
from internvideo.datasets.formats.prompts import prompt_templates
from internvideo.registry import DATASETS
from tests.datasets.media_world import write_media, write_rows

SAMPLING = dict(type='IntervalSample', num_frames=4, mode='middle')
PIPELINE = (dict(type='ResizeSquare', size=16), dict(type='PackMedia'))


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp('media')
    write_media(folder, 3)
    (folder / 'broken.mp4').write_bytes(b'nothing')
    return folder


def build(kind, root, rows, **fields):
    config = dict(type=kind, name='set', ann_file=write_rows(root / 'rows.json', rows))
    config |= dict(data_prefix=str(root), sampling=SAMPLING, pipeline=PIPELINE)
    return DATASETS.build(config | fields)


def test_rows_of_one_video_are_its_captions(root):
    rows = [
        dict(video='0.mp4', caption=['A cat.', 'One animal']),
        dict(video='1.mp4', caption='Rain'),
        dict(video='0.mp4', caption='a pet'),
    ]
    made = build('RetrievalSet', root, rows, max_text_length=12)
    assert made.texts == ['a cat', 'one animal', 'rain', 'a pet']
    assert (len(made), made.ground_truth, made.max_text_length) == (2, [[0, 1, 3], [2]], 12)
    item = made[1]
    assert item['inputs']['video'].shape == (3, 4, 16, 16)
    facts = item['data_samples']
    assert (facts.set_name, facts.sample_index, facts.get('caption')) == ('set', 1, None)


def test_a_caption_of_several_videos_is_one_text_where_the_set_says_so(root):
    rows = [dict(video=f'{i}.mp4', caption=c) for i, c in enumerate(('Up', 'up', 'down'))]
    assert build('RetrievalSet', root, rows, multi_vision=True).ground_truth == [[0], [0], [1]]
    assert build('RetrievalSet', root, rows).ground_truth == [[0], [1], [2]]


def test_captions_of_one_kind_are_the_texts(root):
    rows = [dict(video='0.mp4', video_caption='a cat', avs_captions=['a cat purrs', 'purring'])]
    found = build('RetrievalSet', root, rows, caption_key='avs_captions')
    assert found.texts == ['a cat purrs', 'purring']
    with pytest.raises(ValueError, match='no caption'):
        build('RetrievalSet', root, rows, caption_key='audio_caption')


def test_paragraphs_are_one_text(root):
    rows = [dict(video='0.mp4', caption=['a cat sits.', 'It runs'])]
    assert build('RetrievalSet', root, rows, paragraph=True).texts == ['a cat sits it runs']


def test_actions_are_sorted_and_put_into_every_sentence(root):
    rows = [dict(video=f'{i}.mp4', caption=c) for i, c in enumerate(('run', 'air-drum', 'run'))]
    made = build('ActionSet', root, rows)
    count = len(prompt_templates('kinetics_action_clip'))
    assert (made.classes, made.ground_truth, made.num_prompts) == (
        ['air-drum', 'run'],
        [1, 0, 1],
        count,
    )
    assert len(made.texts) == 2 * count
    assert all('air drum' in text for text in made.texts[:count])
    wider = build('ActionSet', root, rows, classes=['run', 'air-drum', 'swim', 'bake'])
    assert wider.ground_truth == [2, 0, 2]


def test_equal_options_are_one_text(root):
    rows = [
        dict(video='0.mp4', option=['Up', 'down'], answer=1),
        dict(video='0.mp4', caption=['left', 'up'], answer=0),
    ]
    made = build('ChoiceSet', root, rows)
    assert made.texts == ['up', 'down', 'left']
    assert (len(made), made.ground_truth) == (
        1,
        dict(samples=[0, 0], options=[[0, 1], [2, 0]], answers=[1, 0]),
    )
    several = build('ChoiceSet', root, [dict(rows[0], answer=[1, 1])])
    assert several.ground_truth['answers'] == [[1, 1]]


def test_questions_about_a_video_share_it(root):
    asked = [0, 1, 0, 2, 1, 0]
    rows = [dict(video=f'{i}.mp4', option=['up', 'down'], answer=0) for i in asked]
    made = build('ChoiceSet', root, rows)
    paths = [made[number]['data_samples'].path for number in range(len(made))]
    assert paths == [str(root / f'{number}.mp4') for number in range(3)]
    assert made.ground_truth['samples'] == asked


def test_audio_and_videos_that_cannot_be_read(root):
    audio = build('RetrievalSet', root, [dict(audio='0.wav', caption='a beep')], media_type='audio',
                  audio=dict(max_seconds=1))  # fmt: skip
    assert list(audio[0]['inputs']) == ['audio']
    item = build('RetrievalSet', root, [dict(video='broken.mp4', caption='x y')])[0]
    assert item['inputs'] is None and item['data_samples'].unreadable


VIDEO = dict(video='0.mp4')
BAD = {
    'no_caption': ('RetrievalSet', [VIDEO], 'rows.json:1: no caption'),
    'empty_caption': ('RetrievalSet', [dict(VIDEO, caption=' . ')], 'caption is empty'),
    'empty_set': ('RetrievalSet', [], 'the set is empty'),
    'no_path': ('RetrievalSet', [dict(caption='a')], 'is a path'),
    'no_class': ('ActionSet', [dict(VIDEO, caption=['a'])], 'no class name'),
    'two_classes': (
        'ActionSet', [dict(VIDEO, caption='a'), dict(VIDEO, caption='b')], "is 'b' here and 'a'"
    ),
    'no_options': ('ChoiceSet', [dict(VIDEO, option='a', answer=0)], 'no list of texts'),
    'one_option': ('ChoiceSet', [dict(VIDEO, option=['a'], answer=0)], 'expected at least 2'),
    'answer_outside': ('ChoiceSet', [dict(VIDEO, option=['a', 'b'], answer=2)], 'none of 0..1'),
    'answer_of_flags': (
        'ChoiceSet', [dict(VIDEO, option=['a', 'b'], answer=[1, 2])], 'a 0 or 1 for each of 2'
    ),
    'answer_of_lists': (
        'ChoiceSet', [dict(VIDEO, option=['a', 'b'], answer=[[1], 0])], 'rows.json:1: answer must'
    ),
    'other_options': (
        'ChoiceSet',
        [dict(VIDEO, option=['a', 'b'], answer=0), dict(VIDEO, option=['a', 'b', 'c'], answer=0)],
        'rows.json:2: 3 options, expected 2',
    ),
}  # fmt: skip


@pytest.mark.parametrize('fault', BAD)
def test_rows_that_cannot_be_used_are_named(root, fault):
    kind, rows, reason = BAD[fault]
    with pytest.raises(ValueError, match=reason):
        build(kind, root, rows)


def test_sets_follow_each_other(root):
    files = [write_rows(root / f'{n}.json', [dict(video=f'{i}.mp4', caption='a') for i in range(n)])
             for n in (2, 3)]  # fmt: skip
    table = {
        name: dict(type='RetrievalSet', ann_file=file, data_prefix=str(root))
        for name, file in zip(('first', 'second'), files, strict=True)
    }
    made = EvaluationSets(table, ['second', 'first'], SAMPLING, PIPELINE)
    found = [made[i]['data_samples'] for i in range(len(made))]
    names = [(each.set_name, each.sample_index) for each in found]
    assert names == [('second', i) for i in range(3)] + [('first', i) for i in range(2)]


def test_sets_that_say_no_length_of_texts_have_the_common_one(root):
    row = dict(type='RetrievalSet', data_prefix=str(root))
    row['ann_file'] = write_rows(root / 'rows.json', [dict(video='0.mp4', caption='a cat')])
    table = dict(short=row, long=row | dict(max_text_length=64))
    for common in (32, None):
        made = EvaluationSets(table, list(table), SAMPLING, PIPELINE, max_text_length=common)
        assert [part.max_text_length for part in made.sets] == [common, 64]


@pytest.mark.parametrize(
    ('table', 'sets', 'reason'),
    [
        ({}, [], 'chooses nothing'),
        (dict(msrvtt={}), ['msrvt'], 'did you mean msrvtt'),
        (dict(a=dict(type='RetrievalSet', ann_file='none.json')), ['a'], 'table.a: .*none.json'),
        (dict(a=dict(ann_file='a.json')), ['a'], 'table.a: type is missing'),
        (
            dict(a=dict(type='ActionSet', ann_file='a.json', clases=[])),
            ['a'],
            "unknown field 'clases'; did you mean classes",
        ),
    ],
    ids=['nothing', 'unknown', 'no_file', 'no_type', 'field'],
)
def test_sets_that_cannot_be_built_are_named(table, sets, reason):
    with pytest.raises((ValueError, FileNotFoundError), match=reason):
        EvaluationSets(table, sets, SAMPLING, PIPELINE)
