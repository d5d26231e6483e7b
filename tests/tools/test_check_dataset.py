"""tools/data/check.py on a small copy with one fault of each kind."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from internvideo.cli import check_data as check
from internvideo.datasets.checking.file_facts import FileFacts
from tests.apis.tiny import exit_code, moving_frames, write_video


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A list of three good videos and one problem of each kind."""
    for name, count in (('a', 12), ('b', 12), ('c', 12), ('short', 3)):
        write_video(tmp_path / f'{name}.mp4', moving_frames(count))
    (tmp_path / 'broken.mp4').write_bytes(b'not a video')
    rows = ['a.mp4,0', 'b.mp4,1', 'c.mp4,2', 'gone.mp4,0', 'broken.mp4,0', 'short.mp4,1']
    rows += ['a.mp4,7', 'b.mp4', 'c.mp4,1']
    (tmp_path / 'train.csv').write_text('\n'.join(rows) + '\n')
    return tmp_path


def run(copy: Path, *flags: str) -> tuple[int, list[dict]]:
    report = copy / 'report.jsonl'
    flags = ('--root', str(copy), '--num-classes', '3', '--min-frames', '8', *flags)
    flags = (str(copy / 'train.csv'), *flags, '--report', str(report), '--workers', '2')
    code = exit_code(check.main, check.build_parser(), *flags)
    return code, [json.loads(line) for line in report.read_text().splitlines()]


@pytest.mark.parametrize('flags', [(), ('--full', '--backend', 'pyav')])
def test_every_kind_of_problem_is_named(copy: Path, flags: tuple[str, ...], capsys) -> None:
    code, problems = run(copy, *flags)
    found = {(int(p['where'].rpartition(':')[2]), p['kind']) for p in problems}
    assert code == 1
    assert found == {
        (4, 'missing'), (5, 'broken'), (6, 'short'),
        (7, 'mislabelled'), (8, 'malformed'), (9, 'mislabelled'),
    }  # fmt: skip
    assert '9 rows: 1 malformed, 3 mislabelled, 1 missing, 1 broken' in capsys.readouterr().out
    assert not (copy / 'report.jsonl.progress').exists()


def test_clean_copy_exits_with_zero(copy: Path, capsys) -> None:
    (copy / 'train.csv').write_text('a.mp4,0\nb.mp4,1\n')
    assert run(copy) == (0, [])


def test_stopped_check_goes_on_where_it_was(copy: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(check, 'CHUNK_ROWS', 3)
    args = check.build_parser().parse_args(
        [str(copy / 'train.csv'), '--root', str(copy), '--min-frames', '8']
    )
    args.num_classes = 3
    lists = check.find_lists(args)
    first, *_ = check.make_chunks(lists)
    report = check.Report(copy / 'report.jsonl', lists, restart=False)
    report.add([check.Problem(f'{copy}/train.csv:1', 'a', 'broken', 'from before')], first)
    code, problems = run(copy)
    assert (code, len(problems)) == (1, 8)
    assert '3 of 9 rows were checked before' in capsys.readouterr().out


def test_unfinished_check_of_another_list_is_not_mixed_in(copy: Path, capsys) -> None:
    lists = [check.MediaList(str(copy / 'train.csv'))]
    check.Report(copy / 'report.jsonl', lists, restart=False)
    code, _ = run(copy)
    assert code == 1
    assert '--restart' in capsys.readouterr().err
    assert run(copy, '--restart')[0] == 1


def test_frame_folders_are_counted(tmp_path: Path) -> None:
    from PIL import Image

    (tmp_path / 'clip').mkdir()
    for number in (1, 2, 3):
        image = Image.fromarray(np.zeros((8, 8, 3), np.uint8))
        image.save(tmp_path / 'clip' / f'img_{number:05}.jpg')
    (tmp_path / 'train.csv').write_text('clip 4 0\n')
    columns = ('path', 'total_frames', 'label')
    media = check.MediaList(str(tmp_path / 'train.csv'), str(tmp_path), columns, backend='frames')
    (problem,) = check.check_rows(media, 0, 1)
    assert (problem.kind, problem.detail) == ('short', '3 of 4 frames')


def test_lists_of_many_sources_are_resolved_row_by_row(copy: Path) -> None:
    (copy / 'mix.csv').write_text('one a 0\ntwo a.mp4 0\nthree a 0\n')
    config = copy / 'mix.py'
    config.write_text(
        f"""train_dataloader = dict(dataset=dict(
            ann_file='{copy}/mix.csv', columns=('source', 'path', 'label'), path_suffix='.mp4',
            sources=dict(one=dict(data_prefix='{copy}'), two=dict(data_prefix='/nowhere'))))"""
    )
    (media,) = check.find_lists(check.build_parser().parse_args([str(config)]))
    found = [(p.where[-1], p.kind, p.detail) for p in check.check_rows(media, 0, 3)]
    unknown = "unknown source 'three'; known: one, two (`sources` of the data set)"
    assert found == [('2', 'missing', 'no such file or folder'), ('3', 'malformed', unknown)]


@pytest.mark.parametrize('name', ['k400', 'mit', 'ssv1', 'anet', 'hmdb51', 'ucf101'])
def test_known_data_sets_are_found_by_name(name: str, monkeypatch) -> None:
    monkeypatch.setenv('INTERNVIDEO2_DATA_PATH', '/copies')
    lists = check.find_lists(check.build_parser().parse_args([name]))
    assert [Path(media.ann_file).stem for media in lists] == ['train', 'val', 'test']
    assert lists[0].ann_file.startswith('/copies')


def test_unknown_source_names_the_data_sets(capsys) -> None:
    assert exit_code(check.main, check.build_parser(), 'kinetics9000') == 1
    assert 'data sets: anet' in capsys.readouterr().err


def check_files(folder: Path, *flags: str) -> int:
    flags = ('--report', str(folder / 'report.jsonl'), '--workers', '1', *flags)
    return exit_code(check.main, check.build_parser(), *flags)


def test_folders_and_files_are_told_file_by_file(copy: Path, capsys) -> None:
    (copy / 'note.doc').touch()
    flags = ('--json', str(copy / 'files.json'), '--speed')
    assert check_files(copy, str(copy), str(copy / 'a.mp4'), *flags) == 1
    records = {
        Path(each['path']).name: each for each in json.loads((copy / 'files.json').read_text())
    }
    assert sorted(records) == ['a.mp4', 'b.mp4', 'broken.mp4', 'c.mp4', 'short.mp4']
    assert records['broken.mp4']['problem'] == 'broken' and records['a.mp4']['problem'] is None
    assert records['a.mp4']['exact_with'][:2] == ['auto', 'pyav']
    output = capsys.readouterr().out
    assert '5 rows: 1 broken, 0 short, 0 silent' in output
    assert 'broken.mp4: broken: ' in output and 'decoded frames a second: median' in output
    assert not (copy / 'report.jsonl.files').exists()


def test_warnings_count_when_asked(tmp_path: Path, capsys) -> None:
    from tests.datasets.checking.test_rows import write_transport_stream

    path = str(write_transport_stream(tmp_path / 'a.ts'))
    assert check_files(tmp_path, path) == 0
    assert re.search(r'transport_stream +1  .*a\.ts', capsys.readouterr().out)
    assert check_files(tmp_path, path, '--strict') == 1


def test_report_never_replaces_what_is_checked(copy: Path, capsys) -> None:
    assert check_files(copy, str(copy / 'a.mp4'), '--json', str(copy / 'a.mp4')) == 2
    assert 'would be overwritten' in capsys.readouterr().err


def test_stopped_check_keeps_what_it_knows_of_files(copy: Path, capsys) -> None:
    args = check.build_parser().parse_args([str(copy / 'a.mp4'), str(copy / 'b.mp4')])
    lists = check.find_lists(args)
    report = check.Report(copy / 'report.jsonl', lists, restart=False)
    known = FileFacts(str(copy / 'a.mp4'), codec='known before')
    report.add([], check.make_chunks(lists)[0], {known.path: known})
    flags = (str(copy / 'a.mp4'), str(copy / 'b.mp4'), '--json', str(copy / 'files.json'))
    assert check_files(copy, *flags) == 0
    assert json.loads((copy / 'files.json').read_text())[0]['codec'] == 'known before'
