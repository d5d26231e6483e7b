"""VideoMAE's configs carry out what the published scripts say."""

import pytest
import torch
import yaml
from mmengine.config import Config

from internvideo.apis import get_config
from internvideo.engine.learning_rate_scaling import counted_sizes, lr_factor
from internvideo.models.backbones.videomae import VideoMAE
from internvideo.registry import MODELS
from tests.configs.recipe_facts import by_type
from tests.configs.videomae_facts import (
    FACTS,
    PREFIX,
    TABLE,
    UNCUT,
    WITHOUT_MEANING,
    checkpoint_name,
    data_sets,
    derived_facts,
    published,
)
from tests.paths import CONFIGS

FAMILY = CONFIGS / 'internvideo1'
LEAVES = {
    f'{path.parent.name}/{path.stem}': Config.fromfile(path)
    for pattern in ('videomae/*.py', 'pretrain/videomae_*.py')
    for path in sorted(FAMILY.glob(pattern))
    if 'tiny' not in path.name
}
RECIPES = {name: cfg for name, cfg in LEAVES.items() if cfg.recipe}
PARAMETERS = {
    'videomae/b16_k400': 86_534_800,
    'videomae/l16_k400': 304_270_736,
    'videomae/h16_k400': 632_119_440,
    'pretrain/videomae_b16_k400': 94_210_944,
    'pretrain/videomae_l16_k700': 342_996_992,
    'pretrain/videomae_h16_hybrid': 658_266_880,
}
MINIMUM = dict(pretrain=28, finetune=50)
"""Facts that are compared."""


@pytest.mark.parametrize('leaf', RECIPES)
def test_config_equals_the_published_recipe(leaf):
    cfg = RECIPES[leaf]
    program, args, recipe = published(cfg.recipe)
    facts = FACTS[program](cfg)
    unread = set(WITHOUT_MEANING[program]) & set(args)
    assert set(args) == set(facts) | unread and not set(facts) & unread
    args['finetune'] = checkpoint_name(args['finetune'])
    if args['opt_betas'] is None:
        args['opt_betas'] = [0.9, 0.999]
    if args['finetune'] == UNCUT:  # this script does not say what it starts from
        facts['finetune'] = UNCUT
    assert len(facts) >= MINIMUM[program]
    assert facts == {name: args[name] for name in facts}
    assert derived_facts(cfg) == pytest.approx(recipe['derived'], rel=1e-12)
    assert cfg.num_gpus == recipe['launch']['GPUS']


def test_every_published_recipe_has_one_config():
    named = sorted(cfg.recipe for cfg in RECIPES.values())
    assert named == sorted(PREFIX + name for name in TABLE['recipes'])
    assert len(named) == 25


@pytest.mark.parametrize('leaf', RECIPES)
def test_the_runner_scales_rates_as_published(leaf):
    cfg = RECIPES[leaf]
    sizes = counted_sizes(cfg.lr_scaling, cfg.train_dataloader, cfg.num_gpus, 1)
    factor = lr_factor(*sizes, base_batch_size=cfg.lr_scaling.base_batch_size)
    peak = published(cfg.recipe)[2]['derived']['peak_lr']
    assert cfg.optim_wrapper.optimizer.lr * factor == pytest.approx(peak, rel=1e-12)


@pytest.mark.parametrize('leaf', LEAVES)
def test_something_something_alone_is_not_mirrored(leaf):
    parts = data_sets(LEAVES[leaf])
    flips = {bool(by_type(part.pipeline, 'RandomFlip')) for part in parts.values()}
    mirrors = leaf.startswith('videomae/') and 'ssv2' not in leaf
    assert flips == {mirrors}


@pytest.mark.parametrize('leaf', LEAVES)
def test_frames_classes_and_widths_agree(leaf):
    cfg = LEAVES[leaf]
    frames = {part.sampling.num_frames for part in data_sets(cfg).values()}
    assert frames == {cfg.model.backbone.num_frames}
    if 'head' in cfg.model:
        loaders = (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader)
        classes = {loader.dataset.num_classes for loader in loaders}
        assert classes == {cfg.model.head.num_classes}
        width = VideoMAE.ARCHITECTURES[cfg.model.backbone.arch]['embed_dim']
        assert cfg.model.head.in_dim == width


@pytest.mark.parametrize(('leaf', 'published'), PARAMETERS.items())
def test_models_have_the_published_number_of_parameters(leaf, published):
    with torch.device('meta'):
        model = MODELS.build(LEAVES[leaf].model)
    assert sum(parameter.numel() for parameter in model.parameters()) == published


def test_the_mixture_goes_by_its_data_sets():
    parts = data_sets(LEAVES['pretrain/videomae_h16_hybrid'])
    assert {name: part.sampling.stride for name, part in parts.items()} == dict(
        k710=4, ssv2=2, ava=4, webvid=4
    )
    assert parts['ava'].filename_tmpl.format(7) == 'image_000007.jpg'
    assert parts['ssv2'].filename_tmpl.format(7) == 'img_00007.jpg'
    assert {part.num_repeats for part in parts.values()} == {4}


def test_published_figures_name_configs_of_their_frames_and_views():
    rows = yaml.safe_load((FAMILY / 'videomae' / 'metafile.yml').read_text())['Models']
    assert len({row['Name'] for row in rows}) == len(rows)
    figures, page = {}, (CONFIGS.parent / 'docs/internvideo1.md').read_text()
    for row in rows:
        for result in row.get('Results', ()):
            cfg = Config.fromfile(CONFIGS.parent / row['Config'])
            test = cfg.test_dataloader.dataset
            crops = by_type(test.pipeline, 'UniformCrops')['num_crops']
            assert result['Frames'] == test.sampling.num_frames
            assert result['Views'] == f'{test.sampling.num_views}x{crops}'
            figures[row['Name'].rpartition('/')[2]] = list(result['Metrics'].values())
            (line,) = (line for line in page.splitlines() if f'| `{row["Name"]}` |' in line)
            assert all(f'| {figure:.2f} |' in line for figure in result['Metrics'].values())
    assert figures == dict(
        b16_k400=[81.52, 94.88],
        b16_k710=[79.33, 94.03],
        b16_ssv2=[71.22, 93.31],
        h16_k400_f32_r384=[89.54],
    )


@pytest.mark.parametrize(
    ('name', 'millions'),
    [
        ('pretrain_mae_small_patch16_224', 24),
        ('vit_giant_patch14_224', 1012),
    ],
)
def test_published_names_build_their_size(name, millions):
    with torch.device('meta'):
        model = MODELS.build(get_config(name).model)
    assert round(sum(parameter.numel() for parameter in model.parameters()) / 1e6) == millions
