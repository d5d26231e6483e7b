"""Frame manifests as files: what is written is read, and what is no manifest is refused."""

import json
import sys

import numpy as np
import pytest

from internvideo.fileio import manifests
from internvideo.fileio.manifests import (
    manifest_header,
    open_manifest,
    read_manifest,
    write_manifest,
)

RECORDS = [
    dict(
        sample_index=0,
        path='videos/ä.mp4',
        file_hash='ab',
        frame_inds=np.array([[0, 3], [1, 4]]),
        frame_times=np.array([[0.0, 0.1], [1 / 30, 2 / 3]]),
        repeated=[[4, 3]],
        pipeline=['Resize(28)', 'PackInputs()'],
        audio_seconds=(0.5, None),
    ),
    dict(
        sample_index=1, path='gone.mp4', unreadable='file not found', repeated=[], orientation=None
    ),
]
PLAIN = [
    dict(
        sample_index=0,
        path='videos/ä.mp4',
        file_hash='ab',
        frame_inds=[[0, 3], [1, 4]],
        frame_times=[[0.0, 0.1], [1 / 30, 2 / 3]],
        repeated=[[4, 3]],
        pipeline=['Resize(28)', 'PackInputs()'],
        audio_seconds=[0.5, None],
    ),
    dict(sample_index=1, path='gone.mp4', unreadable='file not found'),
]


@pytest.fixture(params=['.jsonl', '.parquet'])
def target(request, tmp_path):
    return tmp_path / f'new/manifest{request.param}'


def test_what_is_written_is_read(target):
    header = manifest_header(dict(model=dict(type='X')), checkpoint='x.pth', shard=None)
    write_manifest(target, header, RECORDS)
    found = read_manifest(target)
    assert found.header == header
    assert {'internvideo', 'av', 'torch', 'opencv'} <= header['versions'].keys()
    assert header['checkpoint'] == 'x.pth' and 'shard' not in header
    assert [dict(sorted(record.items())) for record in found.records] == [
        dict(sorted(record.items())) for record in PLAIN
    ]


def test_many_records_keep_their_order(target):
    rows = range(manifests.ROWS_AT_ONCE + 3)
    write_manifest(target, manifest_header(), (dict(sample_index=n, path=f'{n}') for n in rows))
    assert [record['sample_index'] for record in read_manifest(target).records] == [*rows]


def test_an_error_leaves_the_file_that_was_there(target):
    write_manifest(target, manifest_header(), RECORDS)
    with (
        pytest.raises(ValueError, match="no field 'frames'"),
        open_manifest(target, {}) as manifest,
    ):
        manifest.add(dict(frames=3))
    assert len(read_manifest(target).records) == 2
    assert list(target.parent.iterdir()) == [target]


def test_the_hash_of_a_config_leaves_out_where_it_runs():
    config = dict(model=dict(type='X'), work_dir='a')
    header = manifest_header(config)
    assert header['config_hash'] == manifest_header(config | dict(work_dir='b'))['config_hash']
    assert header['config_hash'] != manifest_header(config | dict(model={}))['config_hash']


HEADER = json.dumps(dict(manifest=1))


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('', 'does not begin with the header'),
        ('{"path": "x.mp4"}\n', 'does not begin with the header'),
        ('[1]\n', 'does not begin with the header'),
        ('{"manifest": 99}\n', 'of format 99'),
        (f'{HEADER}\n{{"path": "x.m', 'line 2 is cut off'),
        (f'{HEADER}\nx\n{{"path": "x"}}\n', 'line 2 is no JSON record'),
        (f'{HEADER}\n{{"row": 3}}\n', 'sample 1 is no record of a sample'),
        (f'{HEADER}\n{{"path": "x", "frame_inds": 3}}\n', 'frame_inds is no table of numbers'),
        (f'{HEADER}\n{{"path": 3}}\n', 'path is no text'),
    ],
)
def test_text_that_is_no_manifest(tmp_path, text, message):
    path = tmp_path / 'x.jsonl'
    path.write_text(text)
    with pytest.raises(ValueError, match=message) as caught:
        read_manifest(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize('name', ['x.jsonl', 'x.parquet', 'x.json'])
def test_bytes_that_are_no_manifest(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(b'\xff\xfe' * 40)
    with pytest.raises(ValueError, match=str(path)):
        read_manifest(path)


def test_parquet_of_something_else(tmp_path):
    arrow, parquet = manifests.import_pyarrow()
    path = tmp_path / 'x.parquet'
    parquet.write_table(arrow.table(dict(path=['x.mp4'])), path)
    with pytest.raises(ValueError, match='no frame manifest'):
        read_manifest(path)


def test_a_folder_is_no_target(tmp_path):
    (tmp_path / 'x.jsonl').mkdir()
    with pytest.raises(ValueError, match=r'x\.jsonl is a folder'):
        open_manifest(tmp_path / 'x.jsonl', {})


def test_parquet_without_its_library(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'pyarrow', None)
    with pytest.raises(ImportError, match=r"pip install 'internvideo\[manifest\]'"):
        open_manifest(tmp_path / 'x.parquet', {})
