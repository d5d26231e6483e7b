"""The data set of one's own in the documentation, as it is printed there."""

import re

import pytest
import torch

from internvideo.registry import DATASETS
from tests.datasets.media_world import write_media
from tests.paths import ROOT

SECTION = re.compile(r'## Your own data set\n(.*?)\n## ', re.DOTALL)
BLOCK = re.compile(r'```python\n(.*?)```', re.DOTALL)


@pytest.fixture(scope='module')
def blocks() -> list[str]:
    (section,) = SECTION.findall((ROOT / 'docs' / 'datasets.md').read_text(encoding='utf-8'))
    return BLOCK.findall(section)


@pytest.fixture
def config(blocks, tmp_path, monkeypatch):
    """Config of the second block, with its class registered and its files written."""
    names: dict = {}
    # The class is registered by every test, which the registry refuses unless the name is free.
    monkeypatch.setattr(DATASETS, '_module_dict', dict(DATASETS.module_dict))
    DATASETS.module_dict.pop('BoxVideos', None)
    exec(blocks[0], names)
    exec(blocks[1].replace('/data/mine', str(tmp_path)), names)
    write_media(tmp_path, 2)
    (tmp_path / 'classes.txt').write_text('fall\nrise\n')
    lines = ('0.mp4,1,2,3,30,20', '1.mp4,0,0,0,32,32', 'gone.mp4,1,0,0,9,9')
    (tmp_path / 'train.csv').write_text('\n'.join(lines))
    return names['train_dataloader']['dataset']


def test_it_trains(config, tmp_path) -> None:
    data = DATASETS.build(config | dict(max_bad_share=None))
    data.bad_samples_file = tmp_path / 'bad.jsonl'
    assert len(data) == 3 and data.metainfo['classes'] == ('fall', 'rise')
    item, again, other = data[0, 0], data[0, 0], data[1, 0]
    assert item['inputs'].shape == (1, 3, 8, 224, 224) and int(item['data_samples'].gt_label) == 1
    assert torch.equal(item['inputs'], again['inputs'])
    assert not torch.equal(item['inputs'], other['inputs'])
    assert data[0, 1]['data_samples'].gt_boxes.tolist() == [[[0, 0, 224, 224]]]  # all of the frame
    assert data[0, 2]['data_samples'].sample_index in (0, 1)
    assert 'gone.mp4' in (tmp_path / 'bad.jsonl').read_text()


def test_it_is_tested(config) -> None:
    item = DATASETS.build(config | dict(test_mode=True))[2]
    sample = item['data_samples']
    assert item['inputs'] is None and sample.is_unreadable and int(sample.gt_label) == 1
