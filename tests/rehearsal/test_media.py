"""Media with texts under rehearsal: shrunken towers, small vocabularies, rules, plans."""

import copy
import json
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope

from internvideo.datasets import item_counts
from internvideo.registry import MODELS, TASK_UTILS
from internvideo.rehearsal.config_rules import parts
from internvideo.rehearsal.examples import (
    ConfigExamples,
    MediaCache,
    with_example_vocabularies,
    with_examples,
)
from internvideo.rehearsal.fake_model import FakeModel, model_activations, without_init
from internvideo.rehearsal.hardware import GPUS
from internvideo.rehearsal.rehearsed_config import RehearsedConfig
from internvideo.rehearsal.run_length import ItemCost, run_length
from internvideo.rehearsal.run_rules import best_checkpoint
from internvideo.rehearsal.shrink import shrink, shrink_model
from tests.paths import CONFIGS
from tests.rehearsal.templates import media_template

MODELS_FOLDER = CONFIGS / '_base_/models'
TOWERS = ('stage2_1B', 'stage2_6B', 'clip_1B', 'clip_S14')


@pytest.fixture(scope='module', autouse=True)
def scope():
    init_default_scope('internvideo')


@pytest.fixture(scope='module')
def cache(tmp_path_factory):
    return MediaCache(tmp_path_factory.mktemp('media'))


def published(name):
    return Config.fromfile(MODELS_FOLDER / f'internvideo2_{name}.py').model


def small(name, cache):
    return with_example_vocabularies(shrink_model(published(name)), cache)


@pytest.mark.parametrize('name', TOWERS)
def test_a_shrunken_model_trains_on_texts_of_its_own_vocabulary(name, cache):
    config = small(name, cache)
    tokens = TASK_UTILS.build(config.pop('data_preprocessor')['tokenizer'])(['a red ball', ''])
    model = MODELS.build(config)
    video = media_template('video', (3, config['vision_encoder']['num_frames'], 56, 56), length=0)
    batch = video.batch(2)
    inputs, samples = batch['inputs'], batch['data_samples']
    inputs['text'] = {'avs_captions': tokens} if config.get('loss_captions') else tokens
    losses = model({**inputs, 'video': torch.rand_like(inputs['video'])}, samples, mode='loss')
    sum(losses.values()).backward()
    assert sum(p.numel() for p in model.parameters()) < 4_000_000
    assert model.temp.grad is not None


@pytest.mark.parametrize('name', TOWERS)
def test_a_fake_model_is_traced_on_every_modality(name, cache):
    config = small(name, cache)
    fake, kinds = FakeModel(config), ('avs_captions',) * bool(config.get('loss_captions'))
    video = (3, config['vision_encoder']['num_frames'], 56, 56)
    shapes = [
        media_template('video', video, kinds=kinds),
        media_template('image', (3, 1, 56, 56), None, 32, kinds),
    ]
    if config.get('audio_encoder'):
        shapes.append(media_template('audio_video', video, (998, 64), kinds=kinds))
    peaks = [model_activations(fake, shape)[0].peak(8) for shape in shapes]
    assert peaks[1] < peaks[0] <= peaks[-1] or len(peaks) == 2
    assert fake.predict(media_template('video', video, length=0), 4).flops.backward == 0


def test_the_traced_step_skips_no_layer(cache):
    config = small('stage2_6B', cache)
    config.update(freeze=[])
    config['audio_encoder'].update(encoder_layerdrop=0.9)
    fake, audio = FakeModel(config), media_template('audio', audio=(998, 64))
    assert len({len(fake.trace(audio, clips).moments) for clips in range(1, 9)}) == 1


def test_a_fake_model_needs_no_tokenizer():
    assert without_init(published('clip_1B'))['data_preprocessor'] is None
    assert without_init(dict(data_preprocessor=dict(type='X', mean=[1])))['data_preprocessor']


def test_batches_that_differ_in_text_alone_are_known_as_one():
    first, second = (media_template('image', (3, 1, 8, 8), length=n) for n in (32, 64))
    audio = media_template('audio', audio=(998, 64))
    assert first.signature == second.signature != audio.signature
    assert first.numel < second.numel


@pytest.mark.parametrize(
    ('tokenizer', 'size'),
    [
        (dict(type='WordPieceTokenizer', source='bert-large-uncased'), 30522),
        (dict(type='LlamaTokenizer', source='/models/chinese_alpaca_lora_7b'), 49954),
        (dict(type='LlamaTokenizer', source='org/another'), None),
        (dict(type='CLIPTokenizer'), 49408),
    ],
)
def test_vocabularies_are_known_without_their_files(tokenizer, size):
    assert TASK_UTILS.get(tokenizer['type']).count_tokens(tokenizer) == size


def test_a_leaf_shrinks_with_its_mixture_and_its_sets(cache, tmp_path):
    config = Config.fromfile(MODELS_FOLDER.parents[1] / 'internvideo2/stage2/6B.py')
    made = shrink(config, tmp_path, cache, 'small')
    loader, val = made['train_dataloader'], made['val_dataloader']
    assert loader['batch_sampler']['batch_size'] == val['batch_size'] == 2
    assert loader['dataset']['mix'] == config.train_dataloader.dataset.mix
    rows = [json.loads(Path(loader['dataset']['table'][name]['ann_file']).read_text())
            for name in loader['dataset']['mix']]  # fmt: skip
    assert [len(each) for each in rows] == [2, 2, 2]
    assert 'image' in rows[0][0] and 'video' in rows[1][0] and 'avs_captions' in rows[2][0]
    assert made['model']['text_encoder']['arch']['hidden_size'] == 48
    assert made['train_cfg']['max_epochs'] == 1
    test = shrink(dict(config, train_dataloader=None, train_cfg=None, optim_wrapper=None),
                  tmp_path, cache, 'test')  # fmt: skip
    assert test['train_cfg'] is None


# ----------------------------------------------------------------- rules


def corpus(media, **fields):
    return dict(media_type=media, ann_file='data/none.json', data_prefix='', **fields)


@pytest.fixture(scope='module')
def valid_config(cache):
    """A config of the shape that recipes have, with nothing wrong but missing files."""
    model = dict(shrink_model(published('stage2_6B')))
    model['data_preprocessor'] = published('stage2_6B').data_preprocessor
    table = dict(
        cc3m=corpus('image'),
        webvid=corpus('video'),
        spoken=corpus('audio_video', pad_missing_audio=True),
    )
    sets = dict(msrvtt_1k_test=dict(type='RetrievalSet', ann_file='data/none.json'))
    return dict(
        model=model,
        train_dataloader=dict(
            dataset=dict(type='MediaMixture', table=table, mix=['cc3m', 'webvid', 'spoken']),
            batch_sampler=dict(type='MediaBatchSampler', batch_size=8),
        ),
        val_dataloader=dict(
            batch_size=4, dataset=dict(type='EvaluationSets', table=sets, sets=['msrvtt_1k_test'])
        ),
        train_cfg=dict(max_epochs=2),
        optim_wrapper=dict(),
        default_hooks=dict(checkpoint=dict(save_best='msrvtt_1k_test_match/t2v_r1')),
    )


def findings(config):
    rehearsed = RehearsedConfig(config, 1)
    rehearsed.fake = FakeModel(config['model'])
    found = [*parts(rehearsed), *best_checkpoint(rehearsed)]
    return [finding for finding in found if not finding.is_missing_file]


def changed(config, path, value):
    config = copy.deepcopy(config)
    *parents, last = path.split('.')
    part = config
    for name in parents:
        part = part[name]
    if value is None:
        part.pop(last, None)
    else:
        part[last] = value
    return config


TRAIN = 'train_dataloader.dataset'
MISTAKES = {
    'unknown_corpus': (f'{TRAIN}.mix', ['webvid', 'cc3n', 'spoken'], 'did you mean cc3m'),
    'empty_mix': (f'{TRAIN}.mix', [], 'nothing is chosen'),
    'unknown_set': ('val_dataloader.dataset.sets', ['msrvtt'], "'msrvtt' is not in the table"),
    'no_batch_sampler': ('train_dataloader.batch_sampler', None, 'MediaBatchSampler'),
    'no_batch_size': ('train_dataloader.batch_sampler.batch_size', None, 'absent'),
    'medium_without_batch_size': (
        'train_dataloader.batch_sampler.batch_size', dict(image=8, video=4), 'holds audio_video'
    ),
    'long_text': (f'{TRAIN}.table.webvid.max_text_length', 600, '512 positions'),
    'long_texts_of_sets': ('val_dataloader.dataset.max_text_length', 513, '512 positions'),
    'long_texts': ('model.data_preprocessor.tokenizer.max_length', 513, '512 positions'),
    'foreign_vocabulary': (
        'model.data_preprocessor.tokenizer',
        dict(type='CLIPTokenizer', max_length=32),
        '49408 tokens, the text encoder has embeddings for 30522',
    ),
    'no_tokenizer': ('model.data_preprocessor', None, 'captions need a tokenizer'),
    'deaf_model': ('model.audio_encoder', None, 'no audio_encoder'),
    'no_sound': (f'{TRAIN}.mix', ['cc3m', 'webvid'], 'no corpus has audio, which avtc'),
    'undecided_silence': (f'{TRAIN}.table.spoken.pad_missing_audio', None, 'True pads'),
    'best_of_another_set': (
        'default_hooks.checkpoint.save_best', 'didemo_ret_test_match/t2v_r1', 'none of the sets'
    ),
}  # fmt: skip


def test_nothing_is_said_against_a_valid_config(valid_config):
    assert findings(valid_config) == []


@pytest.mark.parametrize('mistake', MISTAKES)
def test_mistakes_are_found_and_named(mistake, valid_config):
    path, value, reason = MISTAKES[mistake]
    config = changed(valid_config, path, value)
    if mistake == 'deaf_model':
        config['model'].update(freeze=[], loss_weights=dict(vtc=1.0))
    assert any(reason in finding.reason for finding in findings(config)), findings(config)


def test_chosen_corpora_are_generated_and_the_others_left(valid_config, cache, tmp_path):
    dataset = valid_config['train_dataloader']['dataset'] | dict(mix=['webvid', 'spoken'])
    examples = ConfigExamples(valid_config['model'], cache, tmp_path, 3)
    made = with_examples(dataset, examples).config['table']
    assert made['cc3m'] == dataset['table']['cc3m']
    rows = json.loads(Path(made['spoken']['ann_file']).read_text())
    assert len(rows) == 3 and rows[0]['avs_captions']
    assert (Path(made['spoken']['data_prefix']) / rows[0]['video']).is_file()


def test_a_mixture_is_as_long_as_its_media(tmp_path):
    table = {}
    for media, count in (('image', 103), ('video', 41)):
        (tmp_path / f'{media}.json').write_text(json.dumps([dict(video='a.mp4')] * count))
        table[media] = dict(media_type=media, ann_file=str(tmp_path / f'{media}.json'))
    loader = dict(
        dataset=dict(table=table, mix=['image', 'video']),
        batch_sampler=dict(batch_size=dict(image=10, video=4)),
    )
    config = dict(train_dataloader=loader, train_cfg=dict(max_epochs=3), optim_wrapper={})
    costs = dict(image=ItemCost(10, 1e12, 256), video=ItemCost(4, 4e12, 1024))
    count = item_counts.tabled(loader['dataset'])
    length = run_length(config, 2, costs, count, GPUS['A100-80'], 0.4)
    assert (length.samples, length.samples_known) == (144, True)
    assert length.steps_per_epoch == 5 + 5
    assert length.clips == 3 * 2 * (5 * 10 + 5 * 4)
    assert length.exaflops == pytest.approx(3 * 2 * (50 * 1e12 + 20 * 4e12) / 1e18)
