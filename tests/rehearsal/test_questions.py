"""Questions under rehearsal: generated annotations, shapes of batches, rules."""

import copy
import json

import pytest
from mmengine.config import Config
from mmengine.registry import init_default_scope

from internvideo.datasets import item_counts
from internvideo.rehearsal.batches import observe
from internvideo.rehearsal.config_rules import parts
from internvideo.rehearsal.examples import (
    ConfigExamples,
    MediaCache,
    with_example_vocabularies,
    with_examples,
)
from internvideo.rehearsal.fake_model import FakeModel
from internvideo.rehearsal.rehearsed_config import RehearsedConfig
from internvideo.rehearsal.shrink import shrink_model, small_pictures
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
    preprocessor = with_example_vocabularies(config['model']['data_preprocessor'], cache)
    fake = FakeModel(model, preprocessor=preprocessor)
    examples = ConfigExamples(model, cache, tmp_path, 4)
    dataset = with_examples(small_pictures(loader['dataset']), examples).config
    observed = observe(dict(loader, dataset=dataset), True, fake.prepare)
    assert observed.shape == (3, 4, 56, 56) and observed.is_random
    (template,) = observed.templates
    batch = template.batch(2)
    count, options = len(batch['data_samples']), 0 if leaf == '1B_msrvtt' else 5
    assert count == 2 * 4
    texts = batch['inputs']['option' if options else 'question']['input_ids']
    own = config['model']['data_preprocessor']
    longest = own.get('max_question_length') or own['tokenizer']['max_length']
    assert texts.shape == (count * max(options, 1), longest)
    assert fake.trace(template, 2).flops.backward > 0
    assert item_counts.questions(dataset).by_kind == {'': 4}


def test_public_figures_stand_in_for_absent_annotations():
    dataset = dict(ann_file='data/msvd/qa_train.json', questions_per_clip=2)
    count = item_counts.questions(dataset)
    assert (count.total, count.is_counted) == (15_450, False)


def findings(config):
    rehearsed = RehearsedConfig(config, 1)
    return [str(found) for found in parts(rehearsed) if '.dataset' in found.field
            or '.collate_fn' in found.field]  # fmt: skip


@pytest.fixture(scope='module')
def valid(cache, tmp_path_factory):
    """A config whose generated files are all there."""
    config, folder = config_of('1B_msrvtt'), tmp_path_factory.mktemp('lists')
    for name in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        loader = config[name]
        examples = ConfigExamples(config['model'], cache, folder, 3)
        loader['dataset'] = with_examples(loader['dataset'], examples).config
    return config


def test_nothing_is_said_against_a_valid_config(valid):
    assert findings(valid) == []


def change(config, **fields):
    config = copy.deepcopy(config)
    config['test_dataloader']['dataset'].update(fields)
    return config


def test_mistakes_are_found_and_named(valid, tmp_path):
    wrong_rows = tmp_path / 'rows.json'
    wrong_rows.write_text(json.dumps([dict(video='clip_0.mp4', question='what')]))
    mistakes = {
        "task: 'multiple_choice' are no questions": change(valid, task='multiple_choice'),
        'ann_file: none.json does not exist': change(valid, ann_file='none.json'),
        'answers: none.json does not exist': change(valid, answers='none.json'),
        'no answer but None': change(valid, ann_file=str(wrong_rows)),
        'cannot be read': change(valid, data_prefix=str(tmp_path)),
        'no CandidateAnswersHook': dict(valid, custom_hooks=[]),
        'need collate_questions': dict(
            valid, val_dataloader=dict(valid['val_dataloader'], collate_fn=dict(type='x'))
        ),
    }
    for reason, config in mistakes.items():
        assert any(reason in found for found in findings(config)), (reason, findings(config))
