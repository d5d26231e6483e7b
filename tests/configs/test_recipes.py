"""Configs that name a published recipe carry out what its script says."""

import json

import pytest
from mmengine.config import Config

from tests.configs.recipe_facts import PREFIX, TABLE, config_facts, derived_facts, published_recipe
from tests.paths import ROOT

# test_multi_modality_recipes.py compares these.
OTHERS = {'stage2', 'clip', 'retrieval', 'zero_shot', 'qa'}
ALL_LEAVES = sorted(
    path
    for path in (ROOT / 'configs' / 'internvideo2').rglob('*.py')
    if '_base_' not in path.parts and path.parent.name not in OTHERS and 'tiny' not in path.name
)
# test_alignment_recipes.py compares the others.
LEAVES = [path for path in ALL_LEAVES if path.parent.name not in ('pretrain', 'distill')]
RECIPES = [
    (path.relative_to(ROOT / 'configs'), key)
    for path in LEAVES
    for key in [Config.fromfile(path).get('recipe')]
    if key
]


def test_every_size_and_frame_count_has_a_config():
    names = {
        f'{size}_k400{frames}'
        for size in ('S14', 'B14', 'L14', '1B', '6B')
        for frames in ('', '_f16')
    }
    assert names <= {path.stem for path in LEAVES}


@pytest.mark.parametrize(('leaf', 'key'), RECIPES, ids=[str(leaf) for leaf, _ in RECIPES])
def test_config_equals_the_published_recipe(leaf, key):
    cfg = Config.fromfile(ROOT / 'configs' / leaf)
    recipe = published_recipe(key)
    facts = config_facts(cfg)
    expected = {name: recipe['args'][name] for name in facts if name in recipe['args']}
    assert len(expected) >= 30
    assert {name: facts[name] for name in expected} == expected
    assert derived_facts(cfg) == pytest.approx(recipe['derived'])
    assert cfg.num_gpus == recipe['gpus']


def test_every_published_recipe_has_one_config():
    published = json.loads(TABLE.read_text())['recipes']
    named = [Config.fromfile(path).get('recipe') for path in ALL_LEAVES]
    assert sorted(key for key in named if key) == sorted(PREFIX + name for name in published)


@pytest.mark.parametrize('leaf', LEAVES, ids=lambda path: path.stem)
def test_frame_counts_and_classes_agree_inside_a_config(leaf):
    cfg = Config.fromfile(leaf)
    loaders = [cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader]
    assert {loader.dataset.sampling.num_frames for loader in loaders} == {
        cfg.model.backbone.num_frames
    }
    assert {loader.dataset.num_classes for loader in loaders} == {cfg.model.head.num_classes}
