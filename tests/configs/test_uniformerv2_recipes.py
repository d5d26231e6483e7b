"""UniFormerV2 configs carry out the published settings, its data rules give published numbers."""

import functools
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from mmengine.config import Config
from torch import nn

from internvideo.datasets.transforms import frame_sampling
from internvideo.datasets.transforms.geometry import UniformCrops
from internvideo.datasets.transforms.sampling import SpanSample, UniformSample
from internvideo.engine.optimizers.constructors import LayerDecayConstructor
from internvideo.engine.schedulers.step_schedules import EpochCosine, Horizon, cosine_by_epoch_value
from internvideo.registry import MODELS
from internvideo.rehearsal.shrink import shrink_model
from tests.configs.uniformerv2_facts import (
    FOLDERS,
    PREFIX,
    WITHOUT_MEANING,
    config_facts,
    derived_facts,
    published,
    table,
)
from tests.paths import CONFIGS

FOLDER = CONFIGS / 'internvideo1' / 'uniformerv2'
LEAVES = sorted(path for path in FOLDER.glob('*.py') if 'tiny' not in path.name)


@functools.cache
def parsed(path: Path) -> Config:
    """A leaf; no test changes it."""
    return Config.fromfile(path)


@pytest.fixture(params=LEAVES, ids=lambda path: path.stem)
def cfg(request) -> Config:
    return parsed(request.param)


def expected(key: str) -> dict:
    """Published settings with a meaning, in the words of this repository."""
    ignored = {name for names in WITHOUT_MEANING.values() for name in names}
    settings = {name: value for name, value in published(key).items() if name not in ignored}
    # The name of the published file; scripts have a plus where it has an underline.
    start = Path(settings['UNIFORMERV2.PRETRAIN']).name.replace('+', '_')
    data = Path(settings['DATA.PATH_TO_DATA_DIR']).name
    used = settings['MODEL.CHECKPOINT_NUM'][0] * settings['MODEL.USE_CHECKPOINT']
    return settings | {
        'UNIFORMERV2.PRETRAIN': start,
        'DATA.PATH_TO_DATA_DIR': FOLDERS.get(data, data),
        'MODEL.CHECKPOINT_NUM': [used],
    }


def test_config_equals_the_published_recipe(cfg):
    facts, wanted = config_facts(cfg), expected(cfg.recipe)
    assert set(facts) == set(wanted)
    for name, value in wanted.items():
        close = pytest.approx(value) if isinstance(value, float | list) else value
        assert facts[name] == close, name
    derived = table()['recipes'][cfg.recipe.removeprefix(PREFIX)]['derived']
    assert derived_facts(cfg) == derived


def test_every_published_recipe_has_one_config():
    named = [parsed(path).get('recipe') for path in LEAVES]
    assert sorted(key for key in named if key) == sorted(PREFIX + key for key in table()['recipes'])


def test_reasons_are_of_settings_that_exist():
    known = {name for key in table()['recipes'] for name in published(key)}
    named = [name for names in WITHOUT_MEANING.values() for name in names]
    assert len(named) == len(set(named)) and set(named) <= known


def test_loaders_agree_with_model_and_each_other(cfg):
    train, *tests = (
        loader.dataset for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader)
    )
    # Published: ActivityNet tests with a data set that is not registered, Moments in Time with a
    # copy of the training one, and validation turns the views of the test into one.
    for dataset in tests:
        assert dataset.type == train.type and dataset.sampling.type == train.sampling.type
        assert dataset.num_classes == train.num_classes == cfg.model.head.num_classes
        assert dataset.sampling.num_frames == train.sampling.num_frames
        assert dataset.backend == train.backend and dataset.delimiter == train.delimiter
        assert dataset.ann_file != train.ann_file
    assert train.sampling.num_frames == cfg.model.backbone.num_frames
    sizes = {part.size for part in train.pipeline if part.type == 'RandomResizedCrop'}
    for dataset in tests:
        sizes |= {part.size for part in dataset.pipeline if part.type == 'UniformCrops'}
        sizes |= {part.short_side for part in dataset.pipeline if part.type == 'Resize'}
    assert sizes == {cfg.model.backbone.get('img_size', 224)}
    assert [dataset.sampling.mode for dataset in (train, *tests)] == ['train', 'val', 'test']


ROWS = [
    row
    for row in yaml.safe_load((FOLDER / 'metafile.yml').read_text())['Models']
    if '_base_' not in row['Config']
]


def test_every_config_is_in_the_metafile():
    assert sorted(row['Name'].rpartition('/')[2] for row in ROWS) == [p.stem for p in LEAVES]
    assert all(row['Name'] + '.py' == row['Config'].removeprefix('configs/') for row in ROWS)


@pytest.mark.parametrize('row', ROWS, ids=lambda row: row['Name'].rpartition('/')[2])
def test_figures_are_of_what_the_config_tests(row):
    cfg = parsed(CONFIGS.parent / row['Config'])
    text = (CONFIGS.parent / 'docs' / 'internvideo1.md').read_text()
    frames, size = cfg.model.backbone.num_frames, cfg.model.backbone.get('img_size', 224)
    if 'Weights' in row:
        assert row['Weights'].endswith(f'_{frames}x{size}.pyth')
    for result in row.get('Results', ()):
        (line,) = (line for line in text.splitlines() if f'`{row["Name"]}`' in line)
        figures = f'{frames}, {result["Views"]} | {result["Metrics"]["Top 1 Accuracy"]:.1f}'
        assert result['Frames'] == frames and figures in line
        views = derived_facts(cfg)['test_views'].replace(' clips x ', 'x').removesuffix(' crops')
        # Where the published table and the published scripts differ.
        if frames >= 32 and result['Dataset'].startswith('Kinetics'):
            assert (views, result['Views']) in [('4x3', '2x3'), ('3x1', '4x3')]
        else:
            assert views == result['Views']


def small_model(name: str) -> dict:
    """The model of a leaf as a rehearsal shrinks it, from random weights."""
    return shrink_model(parsed(FOLDER / f'{name}.py').model) | dict(init_cfg=None)


def test_frozen_configs_freeze_what_the_published_code_trains():
    config = small_model('l14_frozen_k400_r336')
    model, published_model = MODELS.build(config), MODELS.build(config | dict(freeze=None))
    learning = {name for name, p in model.named_parameters() if p.requires_grad}
    path = ('backbone.transformer.temporal_cls_token', 'backbone.transformer.dpe.')
    path += ('backbone.transformer.dec.', 'head.')
    assert learning == {name for name, _ in model.named_parameters() if name.startswith(path)}
    assert all(p.requires_grad for p in published_model.parameters())


def test_position_table_query_and_convolutions_decay_and_vectors_do_not():
    model = MODELS.build(small_model('b16_ssv2_f16'))
    cfg = parsed(FOLDER / 'b16_ssv2_f16.py')
    names = {id(p): name for name, p in model.named_parameters()}
    wrapper = LayerDecayConstructor(
        dict(type='OptimWrapper', optimizer=cfg.optim_wrapper.optimizer),
        cfg.optim_wrapper.paramwise_cfg,
    )(model)
    decays = {
        names[id(p)]: group['weight_decay']
        for group in wrapper.optimizer.param_groups
        for p in group['params']
    }
    for name, parameter in model.named_parameters():
        assert decays[name] == (0.0 if parameter.ndim == 1 else 0.05), name
    assert decays['backbone.positional_embedding'] and decays['backbone.transformer.dpe.0.weight']
    assert decays['backbone.transformer.temporal_cls_token']
    assert {group['lr'] for group in wrapper.optimizer.param_groups} == {4e-5}


@pytest.mark.parametrize('name', ['l14_anet_f16', 'l14_hacs_f32'])
def test_segments_are_trained_on_and_whole_videos_tested(name):
    cfg = parsed(FOLDER / f'{name}.py')
    train, test = cfg.train_dataloader.dataset, cfg.test_dataloader.dataset
    assert train.columns == ('path', 'duration', 'start', 'end', 'label')
    assert 'start' not in test.columns and len(test.columns) == len(train.columns)


@pytest.mark.parametrize('version', [1, 2])
def test_lists_of_something_something_are_those_of_the_splits(version):
    name = f'b16_ssv{version}_f16'
    cfg, settings = parsed(FOLDER / f'{name}.py'), published(f'ssv{version}_b16_f16x224')
    template = settings['DATA.LABEL_PATH_TEMPLATE']
    lists = [
        Path(loader.dataset.ann_file).name
        for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader)
    ]
    assert lists == [template.format(s) for s in ('train', 'validation', 'validation')]
    for loader in (cfg.train_dataloader, cfg.test_dataloader):
        assert loader.dataset.filename_tmpl == settings['DATA.IMAGE_TEMPLATE']
        assert loader.dataset.columns == ('path', 'total_frames', 'label')


# --- data facts -----------------------------------------------------------------------------------


@pytest.mark.parametrize('fact', table()['data']['sparse_test_frames'], ids=str)
def test_sparse_frames(fact):
    sample = UniformSample(fact['frames'], 'test', fact['clips'])
    found = sample(dict(total_frames=fact['video_size']))['frame_inds']
    assert found[fact['clip']].tolist() == fact['indices']


@pytest.mark.parametrize('fact', table()['data']['sth_test_frames'], ids=str)
def test_frames_of_something_something(fact):
    sample = UniformSample(fact['frames'], 'test', fact['views'])
    found = sample(dict(total_frames=fact['video_length']))['frame_inds']
    assert (found[fact['view']] + 1).tolist() == fact['one_based_indices']


@pytest.mark.parametrize('total', [5, 45, 300])
def test_training_frames_lie_between_the_edges_of_their_segment(total):
    draws = [UniformSample(8)(dict(total_frames=total)) for _ in range(99)]
    drawn = np.array([draw['frame_inds'][0] for draw in draws])
    edges = [round((total - 1) / 8 * i) for i in range(9)]
    assert (drawn.min(axis=0) >= edges[:-1]).all() and (drawn.max(axis=0) <= edges[1:]).all()


@pytest.mark.parametrize('fact', table()['data']['dense_test_range'], ids=str)
def test_dense_spans(fact):
    arguments = (fact[name] for name in ('video_size', 'clip_size', 'clip', 'clips', 'use_offset'))
    first, last = frame_sampling.span_test(*arguments)
    assert [first, last] == fact['start_end']
    sample = SpanSample(8, fact['clip_size'] // 8, 'test', fact['clips'], offset=fact['use_offset'])
    frames = sample(dict(total_frames=fact['video_size']))['frame_inds'][fact['clip']]
    points = torch.linspace(first, last, 8).clamp(0, fact['video_size'] - 1).long()
    assert frames.tolist() == points.tolist()


@pytest.mark.parametrize('fact', table()['data']['uniform_crop'], ids=str)
def test_crops(fact):
    height, width = fact['size']
    places = np.arange(height * width, dtype=np.int64).reshape(1, height, width, 1)
    sample = dict(imgs=places.repeat(3, axis=3), num_views=1)
    crop = UniformCrops(3, size=fact['crop'], round_up=True)(sample)['imgs'][fact['index']]
    assert divmod(int(crop[0, 0, 0]), width) == tuple(fact['top_left'])
    assert crop.shape[:2] == (fact['crop'], fact['crop'])


@pytest.mark.parametrize('fact', table()['data']['lr'], ids=lambda fact: f'{fact["base"]:g}')
def test_learning_rates(fact):
    shape = (fact['warmup_epochs'], fact['max_epoch'], fact['cosine_after_warmup'])
    ends = (fact['base'], fact['end'], fact['warmup_start'])
    for epoch, rate in fact['at'].items():
        assert cosine_by_epoch_value(float(epoch), *ends, *shape) == pytest.approx(rate, rel=1e-9)
    optimizer = torch.optim.AdamW([nn.Parameter(torch.ones(1))], lr=fact['base'])
    schedule = EpochCosine(
        optimizer,
        Horizon(20, fact['max_epoch']),
        warmup_epochs=fact['warmup_epochs'],
        warmup_lr=fact['warmup_start'],
        min_lr=fact['end'],
        cosine_after_warmup=fact['cosine_after_warmup'],
    )
    for epoch, rate in fact['at'].items():
        schedule.seek(round(20 * float(epoch)))
        assert optimizer.param_groups[0]['lr'] == pytest.approx(rate, rel=1e-9)
