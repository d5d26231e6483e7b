"""The data set: items, reproducibility, and what broken media lead to."""

import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from internvideo.datasets.bad_samples import TooManyBadSamples
from internvideo.datasets.media_loading import MediaLoading
from internvideo.registry import DATASETS, FUNCTIONS

TRAIN = [
    dict(type='RandAugment'),
    dict(type='RandomResizedCrop', size=32),
    dict(type='RandomFlip'),
    dict(type='PackInputs'),
]
TEST = [
    dict(type='Resize', short_side=32),
    dict(type='UniformCrops', num_crops=3),
    dict(type='PackInputs'),
]


def sample(mode: str, views: int = 1) -> dict:
    return dict(type='UniformSample', num_frames=4, mode=mode, num_views=views)


def build(media: Path, folder: Path, lines: list[str], mode: str = 'train', **fields):
    ann_file = folder / 'list.csv'
    ann_file.write_text('\n'.join(lines) + '\n')
    config = dict(
        type='VideoDataset',
        ann_file=str(ann_file),
        data_prefix=str(media),
        pipeline=TRAIN if mode == 'train' else TEST,
        sampling=sample(mode, views=2 if mode == 'test' else 1),
        test_mode=mode == 'test',
    )
    return DATASETS.build(config | fields)


@pytest.mark.parametrize('backend', ['decord', 'pyav'])
def test_training_item(media: Path, tmp_path: Path, backend: str) -> None:
    item = build(media, tmp_path, ['good.mp4,3'], backend=backend, num_classes=4)[0]
    assert (item['inputs'].dtype, item['inputs'].shape) == (torch.uint8, (1, 3, 4, 32, 32))
    facts = item['data_samples']
    assert facts.path == str(media / 'good.mp4')
    assert (facts.sample_index, int(facts.gt_label)) == (0, 3)


def test_items_depend_on_epoch_and_row_only(media: Path, tmp_path: Path) -> None:
    data = build(media, tmp_path, ['good.mp4 0'] * 3)
    clips = [data[epoch, row]['inputs'] for epoch in (0, 1) for row in (0, 1)]
    random.seed(5)
    np.random.seed(5)
    again = [data[epoch, row]['inputs'] for row in (1, 0) for epoch in (1, 0)][::-1]
    assert all(torch.equal(clips[i], again[j]) for i, j in enumerate((0, 2, 1, 3)))
    assert not torch.equal(clips[0], clips[1]) and not torch.equal(clips[0], clips[2])
    data.set_seed(1)
    assert not torch.equal(clips[0], data[0, 0]['inputs'])


def test_a_copy_in_another_process_gives_the_same_items(media: Path, tmp_path: Path) -> None:
    data = build(media, tmp_path, ['good.mp4 0'])
    (item,) = DataLoader(
        data, None, sampler=[(2, 0)], num_workers=1, multiprocessing_context='spawn'
    )
    assert torch.equal(item['inputs'], data[2, 0]['inputs'])


def test_the_callers_generators_are_left_alone(media: Path, tmp_path: Path) -> None:
    data = build(media, tmp_path, ['good.mp4 0'])
    random.seed(5), np.random.seed(5), torch.manual_seed(5)
    expected = random.random(), np.random.rand(), torch.rand(1)
    random.seed(5), np.random.seed(5), torch.manual_seed(5)
    data[0]
    assert (random.random(), np.random.rand(), torch.rand(1)) == expected


def test_repeated_augmentation_decodes_once(media: Path, tmp_path: Path, monkeypatch) -> None:
    from internvideo.datasets.media.readers import VideoReader

    opened = []
    original = VideoReader.get_batch
    monkeypatch.setattr(
        VideoReader,
        'get_batch',
        lambda self, indices: opened.append(self.path) or original(self, indices),
    )
    first, second = build(media, tmp_path, ['good.mp4 0'], num_repeats=2)[0]
    assert len(opened) == 1
    assert not torch.equal(first['inputs'], second['inputs'])


def test_test_item_is_decoded_once_and_ordered_view_major(media: Path, tmp_path: Path) -> None:
    data = build(media, tmp_path, ['good.mp4 0'], mode='test')
    read = []
    opening = data.sources
    data.loading = MediaLoading(
        'video', sample('test', 2), opener=lambda s: _recording(opening(s), read)
    )
    views = data[0]['inputs']
    assert views.shape == (6, 3, 4, 32, 32)
    assert len(read) == 1 and len(read[0]) == 2 * 4
    # A red mark lies on the left; in the last crop of each view less of it is left.
    red = views[:, 0, :, :8, :8].float().mean(dim=(1, 2, 3))
    assert (red[[0, 3]] > 200).all() and (red[[2, 5]] < 200).all()


def _recording(sample: dict, read: list) -> dict:
    video = sample['video']
    original = video.get_batch
    video.get_batch = lambda indices: read.append(list(indices)) or original(indices)
    return sample


def test_frame_folders(media: Path, tmp_path: Path) -> None:
    fields = dict(
        backend='frames',
        columns=('path', 'total_frames', 'label'),
        sampling=dict(type='SegmentSample', num_frames=4, mode='val', media='frames'),
        pipeline=TEST,
    )
    item = build(media, tmp_path, ['frames 12 2'], **fields)[0]
    assert item['inputs'].shape == (3, 3, 4, 32, 32)


def test_paths_identify_samples_not_stems(media: Path, tmp_path: Path) -> None:
    data = build(media, tmp_path, ['a/x.mp4 0', 'b/x.mp4 0', 'c/x 0'], path_suffix='.mp4')
    names = [data.get_data_info(i)['path'] for i in range(3)]
    assert names == [str(media / name / 'x.mp4') for name in 'abc']


BROKEN = ['audio_only', 'zero_frames', 'text', 'empty', 'truncated', 'nowhere']


@pytest.mark.parametrize('name', BROKEN)
def test_broken_media_are_reported_in_testing(media: Path, tmp_path: Path, name: str) -> None:
    item = build(media, tmp_path, [f'{name}.mp4 1'], mode='test')[0]
    facts = item['data_samples']
    assert item['inputs'] is None and facts.is_unreadable
    assert (facts.path, int(facts.gt_label)) == (str(media / f'{name}.mp4'), 1)


def test_broken_media_are_replaced_and_listed_in_training(media: Path, tmp_path: Path) -> None:
    log = tmp_path / 'work' / 'bad_samples.jsonl'
    lines = ['good.mp4 0'] + [f'{name}.mp4 1' for name in BROKEN]
    data = build(media, tmp_path, lines, max_bad_share=None)
    data.bad_samples_file = log
    first, again = ([data[0, row]['inputs'] for row in range(len(data))] for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    records = [json.loads(line) for line in log.read_text().splitlines()]
    assert {record['path'] for record in records} >= {str(media / f'{n}.mp4') for n in BROKEN}
    assert all(record.keys() == {'path', 'reason'} for record in records)


def test_missing_frame_of_a_folder_is_listed(media: Path, tmp_path: Path) -> None:
    fields = dict(backend='frames', bad_samples_file=tmp_path / 'bad.jsonl', max_bad_share=None)
    data = build(media, tmp_path, ['gap 0', 'frames 0'], sampling=sample('train'), **fields)
    data.loading.sampling.num_frames = 12
    for epoch in range(8):
        data[epoch, 0]
    assert 'img_00006.jpg is missing' in (tmp_path / 'bad.jsonl').read_text()


def test_training_stops_above_the_tolerated_share(media: Path, tmp_path: Path) -> None:
    data = build(media, tmp_path, ['good.mp4 0', 'text.mp4 1'], max_bad_share=0.25)
    with pytest.raises(TooManyBadSamples, match=r'max_bad_share=0\.25; the last: .*text\.mp4'):
        for step in range(300):
            data[step, step % 2]


def test_training_stops_when_nothing_can_be_read(media: Path, tmp_path: Path) -> None:
    data = build(media, tmp_path, ['text.mp4 0'], max_bad_share=None)
    with pytest.raises(TooManyBadSamples, match=r'in a row could not be read; last: .*text\.mp4'):
        data[0]


def test_more_frames_than_exist_repeats_frames(media: Path, tmp_path: Path) -> None:
    data = build(media, tmp_path, ['short.mp4 0'], mode='test')
    data.loading.sampling.num_frames = 16
    assert data[0]['inputs'].shape == (6, 3, 16, 32, 32)


def test_label_out_of_range_is_named_at_load(media: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r'list\.csv:2: label 9 is not in 0\.\.1'):
        build(media, tmp_path, ['good.mp4 0', 'good.mp4 9'], num_classes=2)


def test_class_names(media: Path, tmp_path: Path) -> None:
    names = tmp_path / 'classes.txt'
    names.write_text('push left\npush right\n')
    data = build(media, tmp_path, ['good.mp4 0'], classes=str(names))
    assert data.metainfo == dict(classes=('push left', 'push right'), num_classes=2)
    with pytest.raises(ValueError, match='num_classes=3 but 2 class names'):
        build(media, tmp_path, ['good.mp4 0'], classes=['a', 'b'], num_classes=3)
    with pytest.raises(FileNotFoundError, match=r'no\.txt'):
        build(media, tmp_path, ['good.mp4 0'], classes='no.txt')


@pytest.mark.parametrize('num_workers', [0, 2])
def test_loader_batches(media: Path, tmp_path: Path, num_workers: int) -> None:
    data = build(media, tmp_path, ['text.mp4 0', 'good.mp4 1', 'short.mp4 1'], mode='test')
    collate = FUNCTIONS.get('collate_clips')
    (batch,) = DataLoader(data, 3, num_workers=num_workers, collate_fn=collate)
    assert batch['inputs'].shape == (2, 6, 3, 4, 32, 32) and batch['inputs'].is_contiguous()
    assert [s.sample_index for s in batch['data_samples']] == [1, 2, 0]
    assert torch.equal(batch['inputs'][0], data[1]['inputs'])
