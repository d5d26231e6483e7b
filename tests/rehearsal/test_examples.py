"""Generated rows for lists of many sources and for mixes of lists."""

from pathlib import Path

from mmengine.config import Config

from internvideo.registry import DATASETS
from internvideo.rehearsal.examples import ConfigExamples, MediaCache, with_examples
from tests.paths import CONFIGS

KMASH = CONFIGS / '_base_/datasets/kmash_1.1M.py'


def test_a_mix_of_lists_of_many_sources_is_generated(tmp_path: Path) -> None:
    part = Config.fromfile(KMASH).train_dataloader.dataset
    mix = dict(type='MixedDataset', datasets=[part, part], weights=[0.75, 0.25])
    (tmp_path / 'lists').mkdir()
    examples = ConfigExamples({}, MediaCache(tmp_path), tmp_path / 'lists', 8)
    config = with_examples(mix, examples).config
    data = DATASETS.build(config)
    assert len(data) == 16 and data.rows.sizes == [12, 4]
    assert data[1, 15]['inputs'].shape == (1, 3, 16, 224, 224)
