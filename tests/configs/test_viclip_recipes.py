"""ViCLIP's configs carry out what the published configs and launch scripts say."""

import json
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from internvideo.datasets.evaluation_sets import ActionSet
from internvideo.datasets.formats.captions import normalise_caption
from internvideo.datasets.formats.prompts import prompt_templates
from internvideo.datasets.transforms.interval_sampling import (
    frames_per_second,
    interval_middle,
    interval_start,
)
from internvideo.engine.schedulers.step_schedules import linear_warmup_cosine_factor
from internvideo.evaluation.ranks import ranks_of_true, recalls_of_ranks
from internvideo.hub.model_zoo import find_entry
from internvideo.registry import MODELS
from tests.configs.viclip_facts import PREFIX, TABLE, config_facts, published_recipe, unexplained
from tests.paths import CONFIGS, ROOT

FAMILY = CONFIGS / 'internvideo1' / 'viclip'
DATA = json.loads(Path(__file__).with_name('internvideo1_viclip_data.json').read_text())
RESOLVED = {path: Config.fromfile(path) for path in sorted(FAMILY.glob('*.py'))}
UNMASKED = {path: cfg for path, cfg in RESOLVED.items() if path.stem.endswith('_unmasked')}
LEAVES = {path: cfg for path, cfg in RESOLVED.items() if cfg.get('recipe')}


def recipe_of(leaf):
    """Published recipe of a leaf or, of a variant, of the leaf whose name it bears."""
    main = leaf.with_name(leaf.name.replace('_unmasked', ''))
    return published_recipe(LEAVES[main].recipe.removeprefix(PREFIX), main != leaf)


@pytest.mark.parametrize('leaf', [*LEAVES, *UNMASKED], ids=lambda leaf: leaf.stem)
def test_config_equals_the_published_recipe(leaf):
    cfg, recipe = RESOLVED[leaf], recipe_of(leaf)
    facts = config_facts(cfg)
    values = dict(recipe.values)
    if values.get('model.vision_encoder.pretrained') is True:  # the authors' copy of the same file
        values['model.vision_encoder.pretrained'] = facts.get('model.vision_encoder.pretrained')
    if values['test_types'] == ['test']:  # named in the script alone, with its file
        (own,) = facts['test_types']
        published = TABLE[cfg.recipe.removeprefix(PREFIX)]['test_set']
        assert f'/{own}.json' in published
        values['test_types'] = [own]
    expected = {name: value for name, value in values.items() if name in facts}
    assert {name: facts[name] for name in expected} == expected
    assert unexplained(values, facts) == []
    assert len(expected) >= 22
    assert recipe.gpus in (cfg.num_gpus, None)
    if recipe.total_batch:
        assert cfg.train_dataloader.batch_sampler.batch_size * cfg.num_gpus == recipe.total_batch


def test_every_published_recipe_has_one_config():
    named = sorted(cfg.recipe for cfg in LEAVES.values())
    assert named == sorted(f'{PREFIX}{name}' for name in TABLE if 'common' not in name)


def test_tuning_on_all_patches_goes_on_with_the_same_pairs():
    assert len(UNMASKED) == 11
    for leaf, cfg in UNMASKED.items():
        main = RESOLVED[leaf.with_name(leaf.name.replace('_unmasked', ''))]
        assert cfg.train_dataloader.dataset == main.train_dataloader.dataset
        assert Path(cfg.model.init_cfg.checkpoint).stem == main.filename.split('/')[-1][:-3]


@pytest.mark.parametrize(
    ('leaf', 'total'), [('B16_internvid', 149_603_841), ('L14_webvid_10m', 427_590_145)]
)
def test_models_have_the_published_parameters(leaf, total):
    model = RESOLVED[FAMILY / f'{leaf}.py'].model
    with torch.device('meta'):
        built = MODELS.build(model | dict(data_preprocessor=None, init_cfg=None))
    assert sum(p.numel() for p in built.parameters()) == total
    learning = {name.split('.')[0] for name, p in built.named_parameters() if p.requires_grad}
    assert learning == {'vision_encoder', 'temp'}


def test_pixels_and_pairs_are_prepared_as_published():
    cfg = RESOLVED[FAMILY / 'L14_webvid_10m.py']
    crop, flip, _ = cfg.train_dataloader.dataset.pipeline
    assert (crop.type, tuple(crop.scale), crop.interpolation) == (
        *('RandomResizedCrop', (0.5, 1.0), 'bicubic'),
    )
    assert flip.type == 'RandomFlip'
    resize, _ = cfg.test_dataloader.dataset.pipeline
    assert (resize.type, resize.interpolation) == ('ResizeSquare', 'bicubic')
    preprocessor = cfg.model.data_preprocessor
    assert preprocessor.mean == [123.675, 116.28, 103.53]  # ImageNet's, not CLIP's
    assert preprocessor.std == [58.395, 57.12, 57.375]


def test_short_captions_are_left_out_of_internvid_and_webvid():
    for cfg in LEAVES.values():
        loader = cfg.get('train_dataloader')
        for name in loader.dataset.mix if loader else ():
            if name not in ('coco', 'vg'):
                assert loader.dataset.table[name].get('filter_captions', True)


@pytest.mark.parametrize('case', DATA['viclip_frame_indices'], ids=lambda case: case['sample'])
def test_frames_are_the_published_ones(case):
    total, wanted = case['vlen'], case['num_frames']
    if case['sample'].startswith('fps'):
        rate, most = float(case['sample'][3:]), case['max_num_frames']
        found = frames_per_second(total, case['input_fps'], rate, most)
    elif case['fix_start'] is not None:
        found = interval_start(total, wanted, case['fix_start'])
    else:
        found = interval_middle(total, wanted)
    assert list(found) == case['indices']


@pytest.mark.parametrize('case', DATA['viclip_pre_text'], ids=lambda case: case['text'][:12])
def test_captions_are_cleaned_as_published(case):
    assert normalise_caption(case['text']) == case['out']
    assert normalise_caption(case['text'], 3) == case['out_max3']


@pytest.mark.parametrize('case', DATA['viclip_lr_multiplier'], ids=lambda c: str(c['total_steps']))
def test_rates_follow_the_published_schedule(case):
    warmup, total, floor = case['warmup_steps'], case['total_steps'], case['min_lr_multi']
    found = [
        linear_warmup_cosine_factor(step, warmup, total, floor)
        for step in range(len(case['multiplier']))
    ]
    assert found == pytest.approx(case['multiplier'])


def test_prompts_are_the_published_ones():
    templates = prompt_templates('kinetics_action_clip')
    assert list(templates) == DATA['zero_shot_action_prompts_16']


def test_classes_are_sorted(tmp_path):
    rows = [dict(video=f'{n}.mp4', caption=n) for n in ('running', 'archery', 'diving')]
    (tmp_path / 'rows.json').write_text(json.dumps(rows))
    found = ActionSet('actions', tmp_path / 'rows.json', sampling=len, pipeline=[])
    assert found.classes == ['archery', 'diving', 'running']
    assert found.ground_truth == [2, 0, 1]


def test_retrieval_is_scored_as_published():
    case = DATA['viclip_retrieval_metrics']
    scores = torch.tensor(case['scores_video_to_text'])
    is_true = torch.zeros(scores.shape, dtype=torch.bool)
    for video, texts in enumerate(case['texts_of_video']):
        is_true[video, texts] = True
    found = recalls_of_ranks(ranks_of_true(scores, is_true), ranks_of_true(scores.T, is_true.T))
    sides = dict(txt='v2t', img='t2v')  # published: what is found
    for name, value in case['result'].items():
        side, _, rest = name.partition('_')
        assert found[f'{sides[side]}_{rest}' if side in sides else name] == pytest.approx(value)


@pytest.mark.parametrize(
    ('name', 'figures'),
    [
        ('viclip_b16_internvid_10m_flt', [(58.52, 71.11), (55.37, 68.27), (47.09, 59.98)]),
        ('viclip_b16_internvid_200m', [(56.58, 69.20), (53.57, 66.20), (45.82, 58.28)]),
        ('viclip_l14_webvid_10m', [(59.88, 71.03), (58.66, 69.84), (50.23, 61.86)]),
        ('viclip_l14_internvid_10m_div', [(63.00, 74.15), (60.68, 72.07), (52.50, 64.59)]),
        ('viclip_l14_internvid_10m_flt', [(64.80, 75.70), (62.20, 73.53), (54.30, 66.38)]),
        ('viclip_l14_internvid_200m', [(59.80, 71.09), (57.80, 69.34), (49.30, 61.25)]),
    ],
)
def test_the_zoo_and_its_page_hold_the_published_figures(name, figures):
    entry = find_entry(name)
    assert [tuple(result['Metrics'].values()) for result in entry.results] == figures
    page = (ROOT / 'docs' / 'internvideo1.md').read_text()
    row = ' | '.join(f'{top:.2f} / {mean:.2f}' for top, mean in figures)
    assert f'| `{name}` | {row} |' in page
    arch = 'base' if '_b16_' in name else 'large'
    assert Config.fromfile(entry.config).model.vision_encoder.arch == arch
