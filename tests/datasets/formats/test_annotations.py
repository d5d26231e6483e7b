"""Annotation lists: layouts, messages, sharing."""

import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from internvideo.datasets.formats import annotations, row_index
from internvideo.datasets.formats.annotations import AnnotationList


def write(folder: Path, text: str) -> Path:
    path = folder / 'list.csv'
    path.write_bytes(text.encode())
    return path


@pytest.mark.parametrize(
    ('line', 'columns', 'row'),
    [
        ('a/b.mp4,3', ('path', 'label'), dict(path='a/b.mp4', label=3)),
        ('a b.mp4 3', ('path', 'label'), dict(path='a b.mp4', label=3)),
        ('"a b, c.mp4",3', ('path', 'label'), dict(path='a b, c.mp4', label=3)),
        ('a.mp4\t3', ('path', 'label'), dict(path='a.mp4', label=3)),
        ('dir 30 7', ('path', 'total_frames', 'label'), dict(path='dir', total_frames=30, label=7)),
        ('dir 0 30 7', ('path', '_', 'total_frames', 'label'), dict(total_frames=30, label=7)),
        (
            'ssv2,x,y.mp4,-1,1.5,2.5,0',
            ('source', 'path', 'duration', 'start', 'end', 'label'),
            dict(source='ssv2', path='x,y.mp4', duration=-1.0, start=1.5, end=2.5, label=0),
        ),
    ],
)
def test_layouts(tmp_path: Path, line: str, columns: tuple, row: dict) -> None:
    parsed = AnnotationList(write(tmp_path, f'{line}\n'), columns)[0]
    assert row.items() <= parsed.items()


def test_blank_lines_and_carriage_returns_are_passed_over(tmp_path: Path) -> None:
    rows = AnnotationList(write(tmp_path, '\na.mp4 1\r\n\r\n  \nb.mp4 2\r\n\nc.mp4 3'))
    rows.check(4)
    assert [rows[i]['label'] for i in range(len(rows))] == [1, 2, 3]
    assert rows.where(1).endswith('list.csv:5')


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r'nowhere\.csv'):
        AnnotationList(tmp_path / 'nowhere.csv')


@pytest.mark.parametrize('text', ['', '\n\n', ' \n'])
def test_empty_list(tmp_path: Path, text: str) -> None:
    with pytest.raises(ValueError, match=r'list\.csv'):
        AnnotationList(write(tmp_path, text))


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('a.mp4 0\nb.mp4 5\n', r'list\.csv:2: label 5 is not in 0\.\.4'),
        ('a.mp4 0\nb.mp4 -1\n', r'list\.csv:2: label -1 '),
        ('a.mp4 0\n\nb.mp4\n', r'list\.csv:3: expected 2 columns .*b\.mp4'),
        ('a.mp4 0\nb.mp4 x\n', r"list\.csv:2: column 'label' is not a number: 'x'"),
        ('a.mp4 0\n 1\n', r"list\.csv:2: column 'path' is empty"),
    ],
)
def test_bad_lines_are_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AnnotationList(write(tmp_path, text)).check(num_classes=5)


def test_unknown_column_and_unfit_delimiter(tmp_path: Path) -> None:
    path = write(tmp_path, 'a.mp4;3\n')
    with pytest.raises(ValueError, match='lable'):
        AnnotationList(path, ('path', 'lable'))
    with pytest.raises(ValueError, match='set `columns`'):
        AnnotationList(path)
    assert AnnotationList(path, delimiter=';')[0]['label'] == 3


@settings(max_examples=50)
@given(labels=st.lists(st.integers(-3, 10**6), min_size=1), limit=st.integers(1, 10**6))
def test_fast_check_agrees_with_parsing(tmp_path_factory, labels: list[int], limit: int) -> None:
    path = write(tmp_path_factory.mktemp('x'), ''.join(f'v 1,{n}\n' for n in labels))
    rows = AnnotationList(path, delimiter=',')
    if all(0 <= label < limit for label in labels):
        rows.check(limit)
    else:
        with pytest.raises(ValueError, match='is not in'):
            rows.check(limit)


def test_long_lists_share_one_index_file(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(row_index, 'MIN_CACHED_BYTES', 10)
    monkeypatch.setattr(annotations, 'CHUNK_BYTES', 16)
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    path = write(tmp_path, ''.join(f'video{i}.mp4 {i}\n' for i in range(50)))
    rows = AnnotationList(path)
    again = pickle.loads(pickle.dumps(rows))
    assert isinstance(again._starts, np.memmap)
    assert len(pickle.dumps(rows)) < 1000
    assert [again[i]['label'] for i in range(50)] == list(range(50))


def test_rewritten_list_is_indexed_anew(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(row_index, 'MIN_CACHED_BYTES', 2)
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    assert len(AnnotationList(write(tmp_path, 'a 1\nb 2\n'))) == 2
    assert AnnotationList(write(tmp_path, 'aaa 7\nb 2\nc 3\n'))[2] == dict(path='c', label=3)
