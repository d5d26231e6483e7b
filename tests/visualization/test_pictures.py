"""Pictures of a run: what they hold, and that they are written."""

import numpy as np
import pytest
from PIL import Image

from internvideo.visualization.confusion_matrix import confusion_counts, draw_confusion_matrix
from internvideo.visualization.contact_sheet import (
    RIGHT,
    UNREADABLE,
    WRONG,
    Strip,
    choose_rows,
    draw_contact_sheet,
)
from internvideo.visualization.curves import draw_curves, read_scalars


def picture(path):
    """Pixels of a PNG that is neither empty nor of one colour."""
    pixels = np.asarray(Image.open(path).convert('RGB'))
    assert min(pixels.shape[:2]) > 200 and pixels.std() > 1
    return pixels


def test_confusion_counts_have_a_row_per_true_class():
    counts = confusion_counts([0, 0, 2], [0, 1, 2], 3)
    assert counts.tolist() == [[1, 1, 0], [0, 0, 0], [0, 0, 1]]


@pytest.mark.parametrize('num_classes', [2, 8, 30, 400])
def test_a_confusion_matrix_of_any_size_is_drawn(tmp_path, num_classes):
    counts = np.eye(num_classes, dtype=int)
    draw_confusion_matrix(counts, [f'c{i}' for i in range(num_classes)], tmp_path / 'm.png')
    assert max(picture(tmp_path / 'm.png').shape) < 2000


def test_scalars_of_a_resumed_run_are_joined(tmp_path):
    for folder, steps, value in [('first', range(3), 1.0), ('second', range(2, 5), 2.0)]:
        file = tmp_path / folder / 'vis_data' / 'scalars.json'
        file.parent.mkdir(parents=True)
        file.write_text(''.join(f'{{"loss": {value}, "step": {step}}}\n' for step in steps))
    scalars = read_scalars(tmp_path)
    assert scalars['loss'] == {0: 1.0, 1: 1.0, 2: 2.0, 3: 2.0, 4: 2.0}


def test_curves_are_drawn_even_where_nothing_was_logged(tmp_path):
    draw_curves({'loss': {i: 1 / (i + 1) for i in range(90)}}, tmp_path / 'c.png',
                {'loss': 'loss', 'acc/top1': 'top-1 (%)'})  # fmt: skip
    picture(tmp_path / 'c.png')


def test_a_contact_sheet_tells_right_from_wrong(tmp_path):
    frames = np.random.default_rng(0).integers(0, 255, (4, 20, 30, 3)).astype(np.uint8)
    strips = [
        Strip(frames, 'left', 'left', 0.9),
        Strip(frames, 'left', 'right', 0.6),
        Strip(None, 'up', None, note='no video stream'),
    ]
    assert [strip.colour for strip in strips] == [RIGHT, WRONG, UNREADABLE]
    assert strips[1].caption == 'true: left\npredicted: right (60 %)'
    draw_contact_sheet(strips, tmp_path / 's.png')
    picture(tmp_path / 's.png')


@pytest.mark.parametrize(
    ('num_right', 'num_wrong', 'shown_wrong'), [(90, 10, 6), (98, 2, 2), (3, 20, 9), (0, 5, 5)]
)
def test_the_sheet_shows_both_kinds(num_right, num_wrong, shown_wrong):
    correct = [True] * num_right + [False] * num_wrong
    rows = choose_rows(correct, 12)
    assert len(rows) == len(set(rows)) == min(12, len(correct))
    assert sum(not correct[row] for row in rows) == shown_wrong
