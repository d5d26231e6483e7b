"""A head that is larger than its data is warned of; one that fits is not."""

from types import SimpleNamespace

import pytest

from internvideo.datasets.formats.annotations import AnnotationList
from internvideo.engine.hooks.class_count_hook import ClassCountHook, num_classes


def warnings_of(own, dataset):
    said = []
    runner = SimpleNamespace(
        cfg=dict(model=dict(head=dict(num_classes=own))),
        logger=SimpleNamespace(warning=said.append),
        train_loop=SimpleNamespace(dataloader=SimpleNamespace(dataset=dataset)),
    )
    ClassCountHook().before_train(runner)
    return said


@pytest.mark.parametrize(('own', 'warned'), [(400, True), (6, True), (5, False)])
def test_a_head_that_is_too_large_is_named(own, warned):
    said = warnings_of(own, SimpleNamespace(largest_label=4, metainfo=dict(num_classes=400)))
    assert bool(said) == warned
    assert all(f'{own} classes (model.head.num_classes)' in line for line in said)


def test_what_says_how_many_classes_there_are():
    assert num_classes(SimpleNamespace()) is None
    assert num_classes(SimpleNamespace(metainfo=dict(num_classes=3))) == 3
    assert num_classes(SimpleNamespace(metainfo=dict(num_classes=9), largest_label=2)) == 3


@pytest.mark.parametrize(
    ('text', 'columns', 'largest'),
    [
        ('a.mp4,3\nb c.mp4,11\n', ('path', 'label'), 11),
        ('a 4 2\nb 5 7\n', ('path', 'total_frames', 'label'), 7),
        ('a.mp4\n', ('path',), None),
    ],
)
def test_largest_label_of_a_list(text, columns, largest, tmp_path):
    (tmp_path / 'train.csv').write_text(text)
    assert AnnotationList(tmp_path / 'train.csv', columns).largest_label() == largest
