"""Sixty mistakes that people make in configs, each found and named."""

import tempfile
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope, init_default_scope

from internvideo.rehearsal.examples import ConfigExamples, MediaCache, with_examples
from internvideo.rehearsal.faults import find_faults
from internvideo.rehearsal.rehearsal import leaves
from internvideo.rehearsal.schema import check_schema, fits
from internvideo.rehearsal.shrink import shrink_model
from tests.paths import ROOT

CONFIGS = ROOT / 'configs'
LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')
FLIP = dict(type='RandomFlip', prob=0.5)
PACK = dict(type='PackInputs')
TRAIN, VAL, TEST = (f'{name}.dataset' for name in LOADERS)

# (what is changed, the field that must be named)
MISTAKES = {
    'unknown_model_type': ({'model.backbone.type': 'InternVideo'}, 'model.backbone.type'),
    'unknown_model_argument': ({'model.backbone.num_frame': 16}, 'model.backbone.num_frame'),
    'unknown_head_argument': ({'model.head.drop': 0.1}, 'model.head.drop'),
    'unknown_transform': ({f'{TRAIN}.pipeline.0.type': 'RandAug'}, 'pipeline.0.type'),
    'unknown_transform_argument': ({f'{TRAIN}.pipeline.1.scales': 1}, 'pipeline.1.scales'),
    'unknown_loader_argument': ({'train_dataloader.batchsize': 8}, 'batchsize'),
    'unknown_optimizer': ({'optim_wrapper.optimizer.type': 'AdamV'}, 'optimizer.type'),
    'unknown_paramwise_option': ({'optim_wrapper.paramwise_cfg.decay': 0.8}, 'optim_wrapper'),
    'unknown_hook': ({'custom_hooks': [dict(type='EMAHok')]}, 'custom_hooks.0.type'),
    'misspelt_key': ({'optim_wraper': dict(type='OptimWrapper')}, 'optim_wrapper'),
    'number_as_text': ({'model.backbone.drop_path_rate': '0.1'}, 'drop_path_rate'),
    'heads_do_not_divide': ({'model.backbone.num_heads': 5}, 'model'),
    'size_not_divisible': ({'model.backbone.img_size': 60}, 'model'),
    'frames_differ': ({'model.backbone.num_frames': 16}, TRAIN),
    'test_frames_differ': ({f'{TEST}.sampling.num_frames': 4}, TEST),
    'resolution_differs': ({f'{TRAIN}.pipeline.1.size': 70}, TRAIN),
    'val_resolution_differs': ({f'{VAL}.pipeline.1.size': 42}, VAL),
    'crop_above_picture': ({f'{VAL}.pipeline.0.short_side': 42}, VAL),
    'head_width': ({'model.head.in_dim': 768}, TRAIN),
    'too_many_recomputed': (
        {'model.backbone.use_checkpoint': True, 'model.backbone.checkpoint_num': 40},
        'checkpoint_num',
    ),
    'recomputed_in_vain': (
        {'model.backbone.use_checkpoint': False, 'model.backbone.checkpoint_num': 2},
        'checkpoint_num',
    ),
    'class_count': ({'model.head.num_classes': 4}, 'num_classes'),
    'mixing_class_count': (
        {'model.data_preprocessor.batch_augments.1.num_classes': 7},
        'batch_augments.1.num_classes',
    ),
    'topk_above_classes': ({'val_evaluator.topk': (1, 50)}, 'val_evaluator.topk'),
    'odd_batch': ({'train_dataloader.batch_size': 3, f'{TRAIN}.num_repeats': 1}, 'batch_size'),
    'odd_last_batch': ({'train_dataloader.batch_size': 4, f'{TRAIN}.num_repeats': 1}, 'drop_last'),
    'test_mode_in_training': ({f'{TRAIN}.test_mode': True}, f'{TRAIN}.test_mode'),
    'train_mode_in_testing': ({f'{TEST}.test_mode': False}, f'{TEST}.test_mode'),
    'views_in_training': (
        {f'{TRAIN}.sampling.mode': 'test', f'{TRAIN}.sampling.num_views': 4},
        f'{TRAIN}.sampling.mode',
    ),
    'crops_in_training': (
        {f'{TRAIN}.pipeline': [
            dict(type='Resize', short_side=56), dict(type='UniformCrops', num_crops=3), PACK,
        ]},
        TRAIN,
    ),
    'draws_in_evaluation': (
        {f'{VAL}.pipeline': [dict(type='RandomResizedCrop', size=56), PACK]}, f'{VAL}.pipeline'
    ),
    'repeats_without_draws': (
        {f'{TRAIN}.pipeline': [dict(type='Resize', size=56), PACK],
         f'{TRAIN}.sampling.mode': 'val'},
        f'{TRAIN}.num_repeats',
    ),
    'repeats_in_evaluation': ({f'{VAL}.num_repeats': 2}, f'{VAL}.num_repeats'),
    'not_packed': ({f'{VAL}.pipeline': [dict(type='Resize', size=56)]}, VAL),
    'evaluation_shuffles': (
        {'val_dataloader.sampler.type': 'EpochSampler'}, 'val_dataloader.sampler'
    ),
    'training_in_order': ({'train_dataloader.sampler.shuffle': False}, 'train_dataloader.sampler'),
    'long_warmup': ({'param_scheduler.warmup_epochs': 40}, 'param_scheduler'),
    'start_above_rate': ({'param_scheduler.warmup_lr': 0.1}, 'warmup_lr'),
    'unscaled_rate': ({'lr_scaling': None}, 'lr_scaling'),
    'decimal_point': ({'optim_wrapper.optimizer.lr': 2.0}, 'optimizer.lr'),
    'decay_above_one': ({'optim_wrapper.paramwise_cfg.layer_decay_rate': 1.5}, 'optim_wrapper'),
    'clipping_without_norm': ({'optim_wrapper.clip_grad': dict(norm=1.0)}, 'clip_grad'),
    'batch_above_data': (
        {'train_dataloader.batch_size': 64, 'optim_wrapper.accumulative_counts': 4},
        'train_dataloader.batch_size',
    ),
    'no_epochs': ({'train_cfg.max_epochs': 0}, 'max_epochs'),
    'best_of_nothing': ({'default_hooks.checkpoint.save_best': 'acc/top3'}, 'save_best'),
    'keeps_no_checkpoint': ({'default_hooks.checkpoint.max_keep_ckpts': 0}, 'checkpoint'),
    'single_device_on_many': ({'strategy': dict(type='SingleDevice')}, 'strategy'),
    'evaluator_missing': ({'val_evaluator': None}, 'val_evaluator'),
    'pixels_on_unit_scale': (
        {'model.data_preprocessor.mean': [0.485, 0.456, 0.406]}, 'data_preprocessor.mean'
    ),
    'trained_on_validation': ({f'{TRAIN}.ann_file': '{val}'}, f'{VAL}.ann_file'),
    'wrong_prefix': ({f'{TRAIN}.data_prefix': '/nowhere'}, f'{TRAIN}.data_prefix'),
    'wrong_delimiter': ({f'{TRAIN}.delimiter': ' '}, f'{TRAIN}.ann_file'),
    'label_out_of_range': ({f'{TRAIN}.ann_file': '{labels}'}, f'{TRAIN}.ann_file'),
    'fields_missing': ({f'{TRAIN}.ann_file': '{no_labels}'}, f'{TRAIN}.ann_file'),
    'columns_without_label': ({f'{TRAIN}.columns': ('path', '_')}, f'{TRAIN}.columns'),
    'interval_without_duration': (
        {f'{TRAIN}.columns': ('path', 'label', 'start', 'end')}, TRAIN
    ),
    'list_missing': ({f'{VAL}.ann_file': 'gone.csv'}, f'{VAL}.ann_file'),
    'checkpoint_missing': ({'model.init_cfg.checkpoint': 'gone.pth'}, 'init_cfg.checkpoint'),
    'checkpoint_of_another_size': ({'model.init_cfg.checkpoint': '{weights}'}, 'model.init_cfg'),
    'unknown_adapter_option': ({'model.init_cfg.heads': 'keep'}, 'model.init_cfg.heads'),
}  # fmt: skip


@pytest.fixture(autouse=True, scope='module')
def scope():
    init_default_scope('internvideo')
    yield
    DefaultScope._instance_dict.popitem()


@pytest.fixture(scope='module')
def world(tmp_path_factory):
    """Cache of media, and the files that some mistakes name."""
    folder = tmp_path_factory.mktemp('rehearsal')
    cache = MediaCache(folder / 'media')
    cache.root.mkdir()
    bad = folder / 'bad'
    bad.mkdir()
    (bad / 'labels.csv').write_text('clip_0.mp4,1\nclip_1.mp4,99\n')
    (bad / 'no_labels.csv').write_text('clip_0.mp4\nclip_1.mp4\n')
    torch.save({'cls_token': torch.zeros(1, 1, 8)}, bad / 'weights.pth')
    return cache, bad


def valid_config(cache, folder, mistakes=None):
    """A leaf with a tiny encoder, its lists and media in place, changed by ``mistakes``."""
    config = Config.fromfile(CONFIGS / 'internvideo2' / 'S14_k400.py')
    config.model = shrink_model(config.model)
    config.model.head.num_classes = 8
    config.model.init_cfg = dict(type='Published', adapter='internvideo2_single')
    config.num_gpus = 4
    files = {}
    for key, rows in zip(LOADERS, (204, 8, 8), strict=True):
        loader = config[key]
        loader.batch_size = 2
        loader.dataset.num_classes = 8
        examples = ConfigExamples(config.model, cache, folder, rows)
        loader.dataset = with_examples(loader.dataset, examples).config
        for step in loader.dataset.pipeline:
            step.update({k: 56 for k in ('size', 'short_side') if k in step})
        files[key] = loader.dataset.ann_file
    named = dict(val=files['val_dataloader'])
    for key, value in (mistakes or {}).items():
        if isinstance(value, str) and value.startswith('{'):
            name = value.strip('{}')
            suffix = '.pth' if name == 'weights' else '.csv'
            value = named.get(name) or str(cache.root.parent / 'bad' / f'{name}{suffix}')
        config.merge_from_dict({key: value})
    return config


def faults_of(world, mistakes=None):
    with tempfile.TemporaryDirectory() as lists, tempfile.TemporaryDirectory() as own:
        config = valid_config(world[0], Path(own), mistakes)
        return find_faults(config, config.num_gpus, world[0], Path(lists))[0]


def test_a_valid_config_has_no_fault(world):
    assert faults_of(world) == []


def test_rates_may_be_said_to_be_final(world):
    assert faults_of(world, {'lr_scaling': False}) == []


@pytest.mark.parametrize('mistake', MISTAKES)
def test_mistake_is_found_and_named(world, mistake):
    changes, field = MISTAKES[mistake]
    found = faults_of(world, changes)
    named = [f for f in found if field is None or field in f.field or field in f.reason]
    assert named, f'found only {[str(f) for f in found]}'
    assert all('\n' not in str(finding) for finding in found)


def test_a_rate_is_judged_by_the_samples_that_its_rule_counts(world):
    # Two samples on four processes, each augmented twice: 0.4 becomes 0.025 or 0.0125.
    rules = (dict(with_repeats=True), dict(with_repeats=False))
    found = [
        faults_of(world, {'optim_wrapper.optimizer.lr': 0.4, 'lr_scaling': rule}) for rule in rules
    ]
    assert ['no rate' in str(faults) for faults in found] == [True, False]


def test_mirrored_something_something_is_found(world):
    config = Config.fromfile(CONFIGS / 'internvideo2' / 'S14_ssv2.py')
    config.train_dataloader.dataset.pipeline.insert(0, FLIP)
    config.model = shrink_model(config.model)
    with tempfile.TemporaryDirectory() as lists:
        found, _ = find_faults(config, 8, world[0], Path(lists))
    assert any('left into right' in finding.reason for finding in found)


@pytest.mark.parametrize('leaf', leaves(CONFIGS), ids=lambda p: str(p.relative_to(CONFIGS)))
def test_every_part_of_every_leaf_takes_its_arguments(leaf):
    assert list(check_schema(Config.fromfile(leaf))) == []


@pytest.mark.parametrize(
    ('value', 'wanted', 'expected'),
    [
        ('1', int, False), (1, float, True), (1.0, int, True), (1.5, int, False),
        (None, int | None, True), (None, int, False), ('auto', bool | str, True),
        ((1, 2), int, True), (True, int, False), ('x', int | tuple, False),
    ],
)  # fmt: skip
def test_values_fit_annotations(value, wanted, expected):
    assert fits(value, wanted) is expected
