"""Comparison of manifests: which samples belong together, and where they part."""

import json

import pytest

from internvideo.cli import compare_manifests as COMPARE
from internvideo.fileio.manifests import manifest_header, write_manifest
from tests.apis.tiny import exit_code

FRAMES = dict(frame_inds=[[0, 4], [2, 6]], frame_times=[[0.0, 0.4], [0.2, 0.6]])


def record(row, **changes):
    facts = dict(
        sample_index=row, path=f'/data/{row}.mp4', file_hash=f'file {row}', backend='pyav 18.1.0',
        frame_size=[48, 64], sampling='UniformSample(2)', pipeline=['Resize(28)', 'PackInputs()'],
        clip_hash=f'clip {row}', input_shape=[2, 3, 2, 28, 28], input_hash=f'input {row}',
    )  # fmt: skip
    return {k: v for k, v in (facts | FRAMES | changes).items() if v is not None}


def lost(row, **changes):
    return dict(sample_index=row, path=f'{row}.mp4', unreadable='no frame') | changes


def call(*arguments):
    return exit_code(COMPARE.main, COMPARE.build_parser(), *map(str, arguments))


def compared(tmp_path, capsys, first, second):
    """(exit status, what is printed, the JSON) of a comparison."""
    for name, records in (('a', first), ('b', second)):
        write_manifest(tmp_path / f'{name}.jsonl', manifest_header(), records)
    files = [tmp_path / name for name in ('a.jsonl', 'b.jsonl')]
    status = call(*files, '--json', tmp_path / 'out.json')
    return status, capsys.readouterr().out, json.loads((tmp_path / 'out.json').read_text())


def test_the_same_files_elsewhere_in_another_order_are_the_same(tmp_path, capsys):
    first = [record(row) for row in range(4)]
    second = [record(row, path=f'other/{row}.mp4', sample_index=3 - row) for row in range(4)]
    status, said, found = compared(tmp_path, capsys, first, second[::-1])
    assert status == 0 and 'no sample differs' in said
    assert found['counts']['same'] == 4 and found['samples'] == []


PARTED = [
    (dict(file_hash='x'), 'other file', 'content differs'),
    (dict(frame_inds=[[0, 4], [3, 6]]), 'other frames', '1 of 2 x 2 frames, first A 2 (0.200 s)'),
    (dict(frame_inds=[[0, 4]]), 'other frames', 'A 2 x 2 frames, B 1 x 2 frames'),
    (
        dict(frame_inds=[[1, 4], [2, 6]], sampling='DenseSample(2)'),
        'other frames',
        'sampling: A UniformSample(2), B DenseSample(2)',
    ),
    (dict(frame_times=[[0.0, 0.4], [0.2, 0.7]]), 'other times', 'up to 0.1 s'),
    (
        dict(clip_hash='x', input_hash='y', backend='decord 0.6.0'),
        'other pixels',
        'backend: A pyav 18.1.0, B decord 0.6.0',
    ),
    (dict(clip_hash='x', repeated=[[6, 5]]), 'other pixels', 'repeated: A None, B [[6, 5]]'),
    (
        dict(input_hash='x', pipeline=['Resize(32)', 'PackInputs()']),
        'other geometry',
        'A Resize(28), B Resize(32)',
    ),
    (dict(audio_hash='x'), 'other audio', 'other audio input'),
    (dict(backend='decord 0.6.0'), 'other reader, same pixels', 'A pyav 18.1.0, B decord 0.6.0'),
    (dict(frame_times=None), 'same', ''),
]


@pytest.mark.parametrize(('changes', 'verdict', 'detail'), PARTED)
def test_where_two_samples_part(tmp_path, capsys, changes, verdict, detail):
    status, said, found = compared(tmp_path, capsys, [record(0)], [record(0, **changes)])
    assert found['counts'][verdict] == 1 and sum(found['counts'].values()) == 1
    assert status == (verdict not in COMPARE.HARMLESS)
    if verdict != 'same':
        assert detail in found['samples'][0]['detail']
    if status:
        assert f'/data/0.mp4 (row 0): {verdict}' in said and '1 of 1 samples differ' in said


def test_samples_of_one_side_and_unreadable_ones(tmp_path, capsys):
    first = [record(0), lost(1), lost(2, file_hash='file 2'), record(3)]
    second = [record(0), lost(1, path='else/1.mp4'), record(2), record(4)]
    status, said, found = compared(tmp_path, capsys, first, second)
    verdicts = {each['row']: each['verdict'] for each in found['samples']}
    assert status == 1
    assert verdicts.pop(1) == 'unreadable in both'
    assert verdicts == {2: 'unreadable', 3: 'only in A', 4: 'only in B'}
    assert 'A no frame, B readable' in said and '4 samples, 0 with damaged frames, 2 unread' in said


def test_a_video_of_several_rows_and_sets_meets_itself_row_by_row(tmp_path, capsys):
    def rows(*numbers):
        return [record(0, sample_index=n, set_name=s, input_hash=f'{n} {s}')
                for s in ('x', 'y') for n in numbers]  # fmt: skip

    assert compared(tmp_path, capsys, rows(0, 1, 2), rows(2, 0, 1))[0] == 0


def test_a_long_report_says_how_much_it_leaves_out(tmp_path, capsys):
    count = COMPARE.ROWS_SHOWN + 5
    first = [record(row) for row in range(count)]
    _, said, found = compared(tmp_path, capsys, first, [record(0)])
    assert said.count(': only in A\n') == COMPARE.ROWS_SHOWN
    assert '... and 4 more' in said and len(found['samples']) == count - 1


def test_other_versions_are_told_and_harmless(tmp_path, capsys):
    files = [tmp_path / 'a.jsonl', tmp_path / 'b.jsonl']
    for path, version in zip(files, ('18.1.0', '17.0.0'), strict=True):
        header = manifest_header()
        header['versions'] = header['versions'] | dict(av=version)
        write_manifest(path, header, [record(0)])
    assert call(*files) == 0
    said = capsys.readouterr().out
    assert 'versions.av: A 18.1.0, B 17.0.0\n' in said and 'torch' not in said


@pytest.mark.parametrize('name', ['gone.jsonl', 'cut.jsonl', 'predictions.json', 'folder.jsonl'])
def test_bad_input_is_named(tmp_path, capsys, name):
    good = tmp_path / 'good.jsonl'
    write_manifest(good, manifest_header(), [record(0)])
    (tmp_path / 'cut.jsonl').write_text(good.read_text()[:-9])
    (tmp_path / 'folder.jsonl').mkdir()
    assert call(good, tmp_path / name) == 2
    assert name in capsys.readouterr().err
