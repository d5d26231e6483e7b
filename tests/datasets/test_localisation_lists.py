"""Localisation lists of the generated world through the base, transforms and packing.

The two classes are what a data set of one's own takes; localisation has none here yet.
"""

import csv
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from internvideo.datasets.base import BaseDataset
from internvideo.datasets.collate import collate_clips
from internvideo.datasets.synthetic.boxes import box_table
from internvideo.datasets.synthetic.parameters import WorldParameters
from internvideo.datasets.synthetic.render import actor_boxes
from internvideo.datasets.synthetic.world import make_world
from internvideo.datasets.transforms.frame_sampling import uniform_test
from internvideo.registry import DATASETS

WORLD = dict(num_train=1, num_val=1, num_test=1, motions=('left', 'right', 'up'))
CLIP = dict(type='UniformSample', num_frames=8, mode='test', num_views=2)
PIPELINE = [
    dict(type='Resize', size=(48, 96)),
    dict(type='UniformCrops', num_crops=3),
    dict(type='RandomFlip', prob=1.0),
    dict(type='ClipBoxes', drop=False),
    dict(type='PackInputs'),
]


@DATASETS.register_module(force=True)
class BoxVideos(BaseDataset):
    """Videos with a box per sprite and frame, from an AVA style list."""

    def __init__(self, ann_file: str, num_frames: int, fps: int, **options: Any) -> None:
        tubes = defaultdict(lambda: np.full((num_frames, 2, 4), np.nan))
        labels = defaultdict(lambda: [0, 0])
        lines = Path(ann_file).read_text().splitlines()
        for name, second, *box, action, entity in csv.reader(lines):
            tubes[name][round(float(second) * fps), int(entity)] = box
            labels[name][int(entity)] = int(action) - 1
        rows = [
            dict(path=f'{name}.mp4', gt_boxes=boxes, box_unit='share', gt_box_labels=labels[name])
            for name, boxes in tubes.items()
        ]
        super().__init__(rows, **options)


@DATASETS.register_module(force=True)
class SegmentVideos(BaseDataset):
    """Videos with the time of their actions, from an ActivityNet style file."""

    def __init__(self, ann_file: str, subset: str, **options: Any) -> None:
        database = json.loads(Path(ann_file).read_text())['database']
        rows = [
            dict(path=f'{name}.mp4', annotations=entry['annotations'])
            for name, entry in database.items()
            if entry['subset'] == subset
        ]
        super().__init__(rows, **options)

    def get_data_info(self, item: int) -> dict:
        info = super().get_data_info(item)
        actions, classes = info.pop('annotations'), self.metainfo['classes']
        labels = [classes.index(action['label']) for action in actions]
        segments = [action['segment'] for action in actions]
        return info | dict(gt_segments=segments, gt_segment_labels=labels)


@pytest.fixture(scope='module')
def world(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp('world')
    make_world(root, tasks=('boxes', 'segments'), workers=1, **WORLD)
    return root


def test_boxes_of_a_list_reach_the_data_sample(world) -> None:
    parameters = WorldParameters(**WORLD)
    data = DATASETS.build(
        dict(
            type='BoxVideos',
            ann_file=str(world / 'boxes' / 'test_frames.csv'),
            data_prefix=str(world / 'boxes' / 'videos'),
            num_frames=2 * parameters.num_frames,
            fps=parameters.fps,
            sampling=CLIP,
            pipeline=PIPELINE,
            test_mode=True,
        )
    )
    item = data[0]
    sample = item['data_samples']
    assert item['inputs'].shape == (6, 3, 8, 48, 48)  # two times three crops of 48 of 96
    assert sample.gt_boxes.shape == (6, 8, 2, 4) and sample.gt_boxes_valid.any()
    spec = box_table(parameters, 'test', len(data))[0]
    assert sample.gt_box_labels.tolist() == [
        parameters.motions.index(actor.actions[0].motion) for actor in spec.actors
    ]
    frames = uniform_test(spec.num_frames, CLIP['num_frames'], CLIP['num_views'])
    for entity, boxes in enumerate(actor_boxes(spec)):
        for view in range(6):
            for place, frame in enumerate(frames[view // 3]):
                expected = _expected(boxes.get(frame), 24 * (view % 3))
                valid = bool(sample.gt_boxes_valid[view, place, entity])
                assert valid == (expected is not None)
                if valid:
                    found = sample.gt_boxes[view, place, entity]
                    torch.testing.assert_close(found, torch.tensor(expected), atol=2e-3, rtol=0)


def _expected(box: tuple | None, left: int) -> list[float] | None:
    """A box (shares of the frame) stretched to 48x96, cut at ``left``, mirrored."""
    if box is None:
        return None
    x1, x2 = (min(max(96 * side - left, 0.0), 48.0) for side in (box[0], box[2]))
    y1, y2 = (min(max(48 * side, 0.0), 48.0) for side in (box[1], box[3]))
    return [48 - x2, y1, 48 - x1, y2] if x2 > x1 and y2 > y1 else None


def test_segments_of_a_list_reach_the_data_sample(world) -> None:
    folder = world / 'segments'
    data = DATASETS.build(
        dict(
            type='SegmentVideos',
            ann_file=str(folder / 'segments.json'),
            subset='validation',
            data_prefix=str(folder / 'videos'),
            classes=str(folder / 'classes.txt'),
            sampling=dict(type='UniformSample', num_frames=16, mode='val'),
            pipeline=[dict(type='Resize', short_side=32), dict(type='PackInputs')],
        )
    )
    samples = collate_clips([data[0, row] for row in range(len(data))])['data_samples']
    database = json.loads((folder / 'segments.json').read_text())['database']
    for sample in samples:
        entry = database[Path(sample.path).stem]
        segments = sample.gt_segments[0]
        assert [data.metainfo['classes'][label] for label in sample.gt_segment_labels] == [
            action['label'] for action in entry['annotations']
        ]
        # A clip over the whole video stretches its time evenly, within a frame of the clip.
        expected = (
            16
            / entry['duration']
            * torch.tensor([action['segment'] for action in entry['annotations']])
        )
        assert sample.gt_segments_valid.all()
        torch.testing.assert_close(segments, expected, atol=1.0, rtol=0)
