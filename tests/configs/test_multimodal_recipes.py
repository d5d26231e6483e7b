"""Configs of the first InternVideo's multimodal model against the facts of its demo and read-me."""

import pytest
import torch
import yaml
from mmengine.config import Config

from internvideo.registry import MODELS
from tests.paths import CONFIGS

FOLDER = CONFIGS / 'internvideo1'
MEAN = [0.48145466, 0.4578275, 0.40821073]
STD = [0.26862954, 0.26130258, 0.27577711]
SIZES = dict(b16=178_066_433, l14=478_127_105)
DECODERS = dict(l14=106_953_472)
TABLE = {  # zero-shot, in %: B/16 and L/14
    'k400': (56.65, 64.25),
    'msrvtt_mc': (91.31, 93.44),
    'lsmdc_mc': (73.96, 77.26),
}


def config(name):
    return Config.fromfile(FOLDER / f'{name}.py')


def count(model):
    with torch.device('meta'):
        return sum(p.numel() for p in MODELS.build(dict(model, init_cfg=None)).parameters())


@pytest.mark.parametrize('size', SIZES)
@pytest.mark.parametrize('task', TABLE)
def test_tests_see_what_the_demo_sees(size, task):
    leaf = config(f'multimodal/{size}_{task}')
    dataset = leaf.test_dataloader.dataset
    assert dataset.sampling == dict(type='IntervalSample', num_frames=8, mode='ends')
    resize, crop, _ = dataset.pipeline
    assert (resize.short_side, resize.antialias, crop.size) == (256, True, 224)
    pixels = leaf.model.data_preprocessor
    assert [value / 255 for value in pixels.mean] == pytest.approx(MEAN)
    assert [value / 255 for value in pixels.std] == pytest.approx(STD)
    assert set(dataset.sets) <= set(dataset.table)


@pytest.mark.parametrize('size', SIZES)
def test_sizes_are_the_published_ones(size):
    assert count(config(f'multimodal/{size}_k400').model) == SIZES[size]
    model = config(f'pretrain/multimodal_{size}').model
    decoder = count(model.caption_decoder)
    assert decoder == DECODERS.get(size, decoder)
    assert count(model) == SIZES[size] + decoder
    assert model.get('loss_weights') is None  # 1 and 1


def test_the_zoo_lists_the_published_results():
    rows = yaml.safe_load((FOLDER / 'multimodal/metafile.yml').read_text())['Models']
    found = {row['Name']: row for row in rows}
    for task, results in TABLE.items():
        for size, wanted in zip(SIZES, results, strict=True):
            (result,) = found[f'internvideo1/multimodal/{size}_{task}']['Results']
            assert result['Metrics'] == {'Top 1 Accuracy': wanted} and result['Frames'] == 8
    assert all((CONFIGS.parent / row['Config']).is_file() for row in rows)
