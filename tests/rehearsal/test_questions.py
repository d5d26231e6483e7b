"""Questions under rehearsal: generated annotations, shapes of batches, rules."""

import copy
import json

import pytest
from mmengine.config import Config
from mmengine.registry import init_default_scope

from internvideo.rehearsal.dry_model import DryModel
from internvideo.rehearsal.generated_data import MediaCache, generated_dataset
from internvideo.rehearsal.question_items import count_items, question_shape
from internvideo.rehearsal.question_rules import QUESTION_RULES
from internvideo.rehearsal.shrink import shrink_model
from internvideo.rehearsal.subject import Subject, load_item
from tests.checkpoint.adapters.test_question_answering import FAMILY


@pytest.fixture(scope='module', autouse=True)
def scope():
    init_default_scope('internvideo')


@pytest.fixture(scope='module')
def cache(tmp_path_factory):
    return MediaCache(tmp_path_factory.mktemp('media'))


def config_of(leaf):
    return Config.fromfile(FAMILY / f'{leaf}.py').to_dict()


@pytest.mark.parametrize('leaf', ['1B_msrvtt', '6B_tgif_action'])
def test_generated_questions_fit_the_shrunken_model(leaf, cache, tmp_path):
    config = config_of(leaf)
    loader, model = config['train_dataloader'], shrink_model(config['model'])
    dataset = generated_dataset(loader['dataset'], model, 6, cache, tmp_path)
    item = load_item(dataset)
    assert item.shape == (1, 3, 4, 224, 224) and item.is_random
    shape = question_shape(dataset, model, (3, 4, 56, 56))
    assert (shape.questions, shape.options) == (4, 0 if leaf == '1B_msrvtt' else 5)
    trace = DryModel(model).trace(shape, 2)
    assert trace.flops.backward > 0
    assert count_items(dataset) == (2, True)


def test_public_figures_stand_in_for_absent_annotations():
    dataset = dict(ann_file='data/msvd/qa_train.json', questions_per_clip=2)
    assert count_items(dataset) == (15_450, False)


def findings(config):
    subject = Subject(config, 1)
    return [str(found) for rule in QUESTION_RULES for found in rule(subject)]


@pytest.fixture(scope='module')
def sound(cache, tmp_path_factory):
    """A config whose generated files are all there."""
    config, folder = config_of('1B_msrvtt'), tmp_path_factory.mktemp('lists')
    for name in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        loader = config[name]
        loader['dataset'] = generated_dataset(loader['dataset'], config['model'], 3, cache, folder)
    return config


def test_nothing_is_said_against_a_sound_config(sound):
    assert findings(sound) == []


def change(config, **fields):
    config = copy.deepcopy(config)
    config['test_dataloader']['dataset'].update(fields)
    return config


def test_mistakes_are_found_and_named(sound, tmp_path):
    wrong_rows = tmp_path / 'rows.json'
    wrong_rows.write_text(json.dumps([dict(video='clip_0.mp4', question='what')]))
    mistakes = {
        "task: 'multiple_choice' are no questions": change(sound, task='multiple_choice'),
        'ann_file: none.json does not exist': change(sound, ann_file='none.json'),
        'answers: none.json does not exist': change(sound, answers='none.json'),
        'no answer but None': change(sound, ann_file=str(wrong_rows)),
        'cannot be read': change(sound, data_prefix=str(tmp_path)),
        'no CandidateAnswersHook': dict(sound, custom_hooks=[]),
        'need collate_questions': dict(
            sound, val_dataloader=dict(sound['val_dataloader'], collate_fn=dict(type='x'))
        ),
    }
    for reason, config in mistakes.items():
        assert any(reason in found for found in findings(config)), (reason, findings(config))
