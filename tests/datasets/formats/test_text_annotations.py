"""Annotations of media with texts: formats, sharing between processes, bad files and rows."""

import json
import multiprocessing
import pickle
import sqlite3
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from internvideo.datasets.formats import row_index, text_annotations
from internvideo.datasets.formats.text_annotations import TextAnnotations, path_of

ROWS = [dict(video=f'{i}.mp4', caption=f'caption ü {i}', id=i) for i in range(40)]


def write_table(path: Path, rows: list[dict], deleted: int | None = None) -> Path:
    connection = sqlite3.connect(path)
    connection.execute(
        'CREATE TABLE annos (number INTEGER PRIMARY KEY AUTOINCREMENT, '
        'video TEXT, caption TEXT, id INTEGER)'
    )
    values = [(row['video'], row['caption'], row['id']) for row in rows]
    connection.executemany('INSERT INTO annos (video, caption, id) VALUES (?, ?, ?)', values)
    if deleted is not None:
        connection.execute('DELETE FROM annos WHERE id = ?', (deleted,))
    connection.commit()
    connection.close()
    return path


def write(path: Path, rows: list) -> Path:
    if path.suffix == '.sqlite':
        return write_table(path, rows)
    if path.suffix == '.jsonl':
        path.write_text('\n\n'.join(json.dumps(row) for row in rows))
    else:
        path.write_text(json.dumps(rows, ensure_ascii=False, indent=2), encoding='utf-8')
    return path


def read(annotations: TextAnnotations, row: int) -> tuple:
    info = annotations[row]
    return info['video'], info['caption'], info['id']


FORMATS = ('a.json', 'a.jsonl', 'a.sqlite')


@pytest.mark.parametrize('name', FORMATS)
def test_rows_of_every_format(name, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(text_annotations, 'STRETCH_ROWS', 8)
    annotations = TextAnnotations(write(tmp_path / name, ROWS))
    expected = [tuple(row.values()) for row in ROWS]
    assert [read(annotations, row) for row in range(len(annotations))] == expected
    assert [info['id'] for info in annotations.scan()] == list(range(40))
    assert annotations.where(39).endswith(f'{name}:40')
    with pytest.raises(IndexError):
        annotations[40]


@pytest.mark.parametrize('start', ['fork', 'spawn'])
@pytest.mark.parametrize('name', FORMATS)
def test_processes_share_a_long_file(name, start, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    monkeypatch.setattr(row_index, 'MIN_CACHED_BYTES', 0)
    monkeypatch.setattr(text_annotations, 'CHUNK_BYTES', 64)
    annotations = TextAnnotations(write(tmp_path / name, ROWS))
    assert read(annotations, 3) == tuple(ROWS[3].values())
    assert isinstance(pickle.loads(pickle.dumps(annotations))._parts[0].index, np.memmap)
    with multiprocessing.get_context(start).Pool(2) as pool:
        found = pool.starmap(read, [(annotations, row) for row in range(40)])
    assert found == [tuple(row.values()) for row in ROWS]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)


@settings(max_examples=60)
@given(
    rows=st.lists(st.dictionaries(st.text(max_size=4), VALUES, max_size=3), max_size=6),
    chunk=st.integers(1, 40),
    indent=st.sampled_from([None, 1]),
    is_ascii=st.booleans(),
)
def test_any_list_is_cut_into_its_elements(tmp_path_factory, rows, chunk, indent, is_ascii) -> None:
    path = tmp_path_factory.mktemp('lists') / 'a.json'
    rows = [row | dict(video='a.mp4') for row in rows]
    path.write_text(json.dumps(rows, indent=indent, ensure_ascii=is_ascii), encoding='utf-8')
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text_annotations, 'CHUNK_BYTES', chunk)
        annotations = TextAnnotations(path)
    assert [annotations[row] for row in range(len(annotations))] == rows


def test_several_files_follow_each_other(tmp_path) -> None:
    files = [write(tmp_path / 'a.json', ROWS[:2]), write(tmp_path / 'b.sqlite', ROWS[2:5])]
    annotations = TextAnnotations([str(file) for file in files])
    assert [read(annotations, row)[2] for row in range(5)] == [0, 1, 2, 3, 4]
    assert annotations.where(2).endswith('b.sqlite:1')


def test_gaps_and_lists_of_a_table(tmp_path) -> None:
    rows = [*ROWS[:3], dict(video='x.mp4', caption='["one", "two"]', id=None)]
    rows.append(dict(video='y.mp4', caption='[a sound', id=9))
    annotations = TextAnnotations(write_table(tmp_path / 'a.db', rows, deleted=1))
    assert len(annotations) == 4
    assert annotations[1]['id'] == 2
    assert annotations[2] == dict(number=4, video='x.mp4', caption=['one', 'two'])
    assert annotations[3]['caption'] == '[a sound'


@pytest.mark.parametrize(
    ('name', 'text', 'message'),
    [
        ('a.json', '{"video": 1}', r'holds no JSON list; annotations are .*JSON Lines \(.jsonl\)'),
        ('a.csv', 'path,text', r'a\.csv is no JSON; annotations are'),
        ('a.json', '[', 'is no JSON'),
        ('a.json', '', 'is empty'),
        ('a.json', '[{}', 'a comma is missing at byte 3'),
        ('a.json', '[{} {}]', 'a comma is missing at byte 4'),
        ('a.json', '[{},]', 'is no JSON'),
        ('a.json', '[{}] x', 'something follows the list at byte 5'),
        ('a.jsonl', '', 'is no JSON'),
        ('a.db', 'no database at all, just text', 'a.db'),
    ],
)
def test_unusable_files_are_named(name, text, message, tmp_path) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=message):
        TextAnnotations(tmp_path / name)


@pytest.mark.parametrize(
    ('row', 'message'),
    [
        ('"a.mp4"', r'a\.jsonl:2: no object but'),
        ('{"caption": "x"}', r'a\.jsonl:2: none of video, .* is a path'),
        ('{"video": ""}', r'a\.jsonl:2: none of'),
        ('{"video": "a', r"""a\.jsonl:2: no JSON: Invalid control character at in"""),
        ('{} {}', r'a\.jsonl:2: more than one value'),
    ],
)
def test_bad_rows_are_named_and_passed_over_by_a_scan(row, message, tmp_path) -> None:
    (tmp_path / 'a.jsonl').write_text(f'{json.dumps(ROWS[0])}\n{row}\n{json.dumps(ROWS[1])}\n')
    annotations = TextAnnotations(tmp_path / 'a.jsonl')
    with pytest.raises(ValueError, match=message):
        annotations[1]
    first, error, last = annotations.scan()
    assert (first['id'], last['id'], str(error)[:1]) == (0, 1, '/')


def test_tables_are_one_and_files_are_there(tmp_path) -> None:
    connection = sqlite3.connect(write_table(tmp_path / 'a.db', ROWS))
    connection.execute('CREATE TABLE more (video TEXT)')
    connection.close()
    with pytest.raises(ValueError, match=r"must hold one table, it holds \['annos', 'more'\]"):
        TextAnnotations(tmp_path / 'a.db')
    with pytest.raises(FileNotFoundError, match=r'gone\.json'):
        TextAnnotations(tmp_path / 'gone.json')
    with pytest.raises(ValueError, match='no annotation file'):
        TextAnnotations([])


@pytest.mark.parametrize(
    ('media_type', 'expected'),
    [('video', 'root/a.mp4'), ('audio', 'root/a.wav'), ('audio_video', 'root/a.mp4')],
)
def test_the_path_is_that_of_the_modality(media_type, expected) -> None:
    assert path_of(dict(audio='a.wav', video='a.mp4'), 'root', media_type) == expected
