import json

import pytest
from mmengine.config import ConfigDict

from internvideo.structures.frame_sampling import FrameSampling, evaluation_dataset

VAL = dict(
    sampling=dict(type='UniformSample', num_frames=8, mode='val'),
    pipeline=[
        dict(type='Resize', short_side=224),
        dict(type='CenterCrop', size=224),
        dict(type='PackInputs'),
    ],
    backend='pyav',
)
TEST = dict(
    sampling=dict(type='UniformSample', num_frames=8, mode='test', num_views=4),
    pipeline=[
        dict(type='Resize', short_side=224),
        dict(type='UniformCrops', size=224, num_crops=3),
        dict(type='PackInputs'),
    ],
)


def changed(dataset, sampling=None, resize=None, crop=None):
    """``dataset`` with some fields of its parts replaced."""
    first, second, packing = dataset['pipeline']
    return dict(
        dataset,
        sampling=dataset['sampling'] | (sampling or {}),
        pipeline=[first | (resize or {}), second | (crop or {}), packing],
    )


def of(dataset):
    return FrameSampling.of_dataset(ConfigDict(dataset))


def test_it_comes_back_from_plain_values():
    record = of(VAL)
    plain = json.loads(json.dumps(record.to_dict()))
    assert FrameSampling.from_dict(plain) == record
    assert (record.num_frames, record.size, record.backend) == (8, [224, 224], 'pyav')


def test_views_crops_and_modes_are_no_differences():
    assert of(VAL).differences(of(TEST)) == {}
    assert of(VAL).over(TEST) == dict(sampling=TEST['sampling'], pipeline=TEST['pipeline'])


def test_defaults_and_pairs_are_no_differences():
    spelled = changed(VAL, dict(allow_short=False), dict(size=None), dict(size=(224, 224)))
    assert of(VAL).differences(of(spelled)) == {}


@pytest.mark.parametrize(
    ('change', 'field', 'values'),
    [
        (dict(sampling=dict(num_frames=16)), 'sampling.num_frames', (8, 16)),
        (dict(resize=dict(short_side=256)), 'Resize.short_side', (224, 256)),
        (dict(crop=dict(size=192)), 'crop.size', (224, 192)),
    ],
)
def test_what_differs_is_named_and_taken_over_in_the_protocol(change, field, values):
    other = changed(TEST, **change)
    assert of(VAL).differences(of(other)) == {field: values}
    assert of(VAL).over(other) == dict(sampling=TEST['sampling'], pipeline=TEST['pipeline'])


def test_another_rule_is_one_difference_and_keeps_the_views():
    dense = dict(TEST, sampling=dict(TEST['sampling'], type='DenseSample', stride=4))
    assert of(dense).differences(of(TEST)) == {'sampling.type': ('DenseSample', 'UniformSample')}
    assert of(dense).over(TEST)['sampling'] == dense['sampling']
    processor = dict(VAL, sampling=dict(type='ProcessorSample', processor='qwen3_vl'))
    assert of(processor).over(TEST)['sampling'] == processor['sampling']
    clips = dict(VAL, sampling=dict(type='ClipsAtIndices', num_frames=8, num_views=3))
    assert of(VAL).over(clips)['sampling'] == VAL['sampling']


def test_other_steps_are_one_difference():
    square = dict(VAL, pipeline=[dict(type='ResizeSquare', size=224), dict(type='PackMedia')])
    assert of(VAL).differences(of(square)) == {'pipeline': ('Resize, crop', 'ResizeSquare')}
    assert [step['type'] for step in of(VAL).over(square)['pipeline']] == [
        'Resize',
        'CenterCrop',
        'PackMedia',
    ]


def test_the_shape_of_pixels_is_a_difference():
    stretched = of(dict(VAL, pipeline=[dict(type='SquarePixels'), *VAL['pipeline']]))
    assert 'pipeline' in stretched.differences(of(TEST))
    assert stretched.over(TEST)['pipeline'][0] == dict(type='SquarePixels')


def test_validation_data_come_first_and_parts_are_looked_into():
    loaders = dict(val_dataloader=dict(dataset=VAL), test_dataloader=dict(dataset=TEST))
    assert FrameSampling.of_config(loaders) == of(VAL)
    shard = dict(type='DatasetShard', index=0, count=2, dataset=TEST)
    assert evaluation_dataset(dict(test_dataloader=dict(dataset=shard)), 'test') is TEST
    assert FrameSampling.of_config(dict(test_dataloader=dict(dataset=TEST))) == of(TEST)
    loaders['test_dataloader']['dataset'] = changed(TEST, dict(num_frames=16))
    record = FrameSampling.of_config(loaders)
    assert (record.of_split('val').num_frames, record.of_split('test').num_frames) == (8, 16)
    assert FrameSampling.from_dict(record.to_dict()) == record
    for nothing in (None, dict(dataset=dict(type='Own')), dict(dataset=dict(VAL, sampling=len))):
        assert FrameSampling.of_config(dict(val_dataloader=nothing)) is None


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(sampling=dict(type='os.system', command='true')), "names 'os.system'"),
        (dict(sampling=dict(type='Compose')), "names 'Compose'"),
        (dict(sampling=dict(VAL['sampling'], inner=[dict(type='os.system')])), "names 'os.system'"),
        (dict(pipeline=[]), r'pipeline is \[\]'),
        (dict(sampling=None), 'None in place of a transform'),
        (dict(code='x'), 'not the fields'),
        (dict(test=dict(sampling=None, pipeline=VAL['pipeline'])), 'None in place of a transform'),
    ],
)
def test_what_is_no_choice_of_frames_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        FrameSampling.from_dict(of(VAL).to_dict() | change)
