from pathlib import Path

import pytest
from mmengine.config import Config

from internvideo.datasets.collate import collate_clips
from internvideo.datasets.synthetic import make_world
from internvideo.registry import DATASETS, MODELS
from tests.paths import CONFIGS

CONFIG = CONFIGS / 'internvideo2' / 'tiny_synthetic.py'


@pytest.fixture(scope='module')
def root(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp('data')
    make_world(folder / 'synthetic', num_train=8, num_val=8, num_test=8, workers=0)
    return folder


@pytest.fixture
def config(root, monkeypatch) -> Config:
    monkeypatch.setenv('INTERNVIDEO2_DATA_PATH', str(root))
    return Config.fromfile(CONFIG)


def test_a_training_batch_gives_a_loss_near_that_of_guessing(config):
    dataset = DATASETS.build(config.train_dataloader.dataset)
    model = MODELS.build(config.model).train()
    batch = model.data_preprocessor(collate_clips([dataset[0], dataset[1]]), training=True)
    assert batch['inputs'].shape == (4, 1, 3, 8, 32, 32)
    loss = model(**batch, mode='loss')['loss']
    assert loss.item() == pytest.approx(2.08, abs=0.3)


@pytest.mark.parametrize(('part', 'views'), [('val', 1), ('test', 2)])
def test_held_out_clips_are_classified(config, part, views):
    dataset = DATASETS.build(config[f'{part}_dataloader'].dataset)
    model = MODELS.build(config.model).eval()
    batch = model.data_preprocessor(collate_clips([dataset[0]]))
    assert batch['inputs'].shape == (1, views, 3, 8, 32, 32)
    (sample,) = model(**batch, mode='predict')
    assert sample.pred_score.sum().item() == pytest.approx(1.0, abs=1e-5)
    assert sample.gt_label.item() in range(len(dataset.metainfo['classes']))
