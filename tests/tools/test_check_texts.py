"""tools/data/check.py on annotations of media with texts, one fault of each kind."""

import dataclasses
import json
import sqlite3
import wave
from pathlib import Path

import pytest
from PIL import Image

from internvideo.cli import check_data as check
from internvideo.datasets.checking.lists import identity_of
from internvideo.datasets.formats.text_annotations import TextAnnotations
from internvideo.datasets.formats.text_checks import text_faults
from internvideo.datasets.synthetic.media import write_video as write_with_sound
from tests.apis.tiny import exit_code, moving_frames, write_video

GOOD = 'a red ball moves'


@pytest.fixture
def media(tmp_path: Path) -> Path:
    """Videos with and without sound, a picture, a sound, and a broken one of each."""
    import numpy as np

    write_with_sound(tmp_path / 'a.mp4', moving_frames(12), np.zeros(16000, np.int16), 10)
    write_video(tmp_path / 'mute.mp4', moving_frames(12))
    Image.new('RGB', (8, 8)).save(tmp_path / 'a.jpg')
    with wave.open(str(tmp_path / 'a.wav'), 'wb') as file:
        file.setparams((1, 2, 16000, 0, 'NONE', ''))
        file.writeframes(bytes(3200))
    for name in ('broken.mp4', 'broken.jpg', 'broken.wav'):
        (tmp_path / name).write_bytes(b'nothing')
    return tmp_path


def run(folder: Path, rows: list, *flags: str) -> list[tuple[int, str]]:
    (folder / 'rows.json').write_text(json.dumps(rows))
    return found_in(folder, folder / 'rows.json', *flags)


def found_in(folder: Path, source: Path, *flags: str) -> list[tuple[int, str]]:
    report = folder / 'report.jsonl'
    flags = (str(source), '--root', str(folder), '--report', str(report), '--workers', '1', *flags)
    code = exit_code(check.main, check.build_parser(), *flags)
    problems = [json.loads(line) for line in report.read_text().splitlines()]
    assert bool(code) == bool(problems)
    return [(int(p['where'].rpartition(':')[2]), p['kind']) for p in problems]


def test_every_kind_of_problem_is_named(media: Path, capsys) -> None:
    rows = [
        dict(video='a.mp4', caption=GOOD, id=1),
        dict(video='gone.mp4', caption=GOOD, id=2),
        dict(video='broken.mp4', caption=[GOOD], id=1),
        dict(video='a.mp4', caption=' . '),
        dict(video='a.mp4', caption='word ' * 40),
        dict(video='a.mp4'),
        dict(caption=GOOD),
        'a.mp4',
    ]
    assert run(media, rows) == [
        (2, 'missing'), (3, 'duplicate'), (3, 'broken'), (4, 'caption'), (5, 'caption'),
        (6, 'caption'), (7, 'malformed'), (8, 'malformed'),
    ]  # fmt: skip
    assert '8 rows: 2 malformed, 1 duplicate, 3 caption, 1 missing' in capsys.readouterr().out
    assert run(media, rows[4:5], '--max-text-length', '42') == []


@pytest.mark.parametrize(
    ('kind', 'names', 'expected'),
    [
        ('image', ('a.jpg', 'broken.jpg'), [(2, 'broken')]),
        ('audio', ('a.wav', 'broken.wav', 'mute.mp4'), [(2, 'broken'), (3, 'silent')]),
        ('audio_video', ('a.mp4', 'mute.mp4'), [(2, 'silent')]),
        ('video', ('a.mp4', 'mute.mp4'), []),
    ],
)
def test_media_of_every_type_are_opened(kind, names, expected, media, capsys) -> None:
    rows = [{kind.split('_')[0]: name, 'caption': GOOD} for name in names]
    assert run(media, rows, '--media-type', kind) == expected


def test_sqlite_tables_are_read_row_by_row(media: Path, capsys) -> None:
    connection = sqlite3.connect(media / 'annos.sqlite')
    connection.execute('CREATE TABLE annos (id INTEGER, filename TEXT, caption TEXT)')
    rows = [(7, 'a.mp4', GOOD), (7, 'a.mp4', ''), (8, 'gone.mp4', GOOD)]
    connection.executemany('INSERT INTO annos VALUES (?, ?, ?)', rows)
    connection.commit()
    connection.close()
    found = found_in(media, media / 'annos.sqlite')
    assert sorted(found) == [(2, 'caption'), (2, 'duplicate'), (3, 'missing')]


@pytest.mark.parametrize(
    ('name', 'text', 'message'),
    [
        ('a.json', '{"video": 1}', 'holds no JSON list'),
        ('a.json', '[', 'is no JSON'),
        ('a.sqlite', 'no database at all, just text', 'a.sqlite'),
    ],
)
def test_unusable_files_are_named(name, text, message, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=message):
        TextAnnotations(tmp_path / name)


@pytest.mark.parametrize(('paragraph', 'faults'), [(False, 0), (True, 1)])
def test_a_paragraph_is_as_long_as_its_captions_together(paragraph, faults) -> None:
    info = dict(video='a.mp4', caption=[GOOD] * 3)
    assert len(list(text_faults(info, 10, paragraph))) == faults


def test_an_evaluation_set_has_every_file_once(media: Path, capsys) -> None:
    rows = [dict(video='a.mp4', caption=GOOD)] * 2
    (media / 'rows.json').write_text(json.dumps(rows))
    texts = check.TextList(str(media / 'rows.json'), str(media))
    assert not list(check.find_conflicts(texts))
    (problem,) = check.find_conflicts(dataclasses.replace(texts, is_set=True))
    assert (problem.kind, problem.where[-1]) == ('duplicate', '2')


def test_files_of_an_entry_are_one_list(media: Path, tmp_path: Path) -> None:
    rows = [dict(video='a.mp4', caption=GOOD, id=7)]
    for name in ('first', 'second'):
        (media / f'{name}.json').write_text(json.dumps(rows))
    files = tuple(str(media / f'{name}.json') for name in ('first', 'second'))
    (problem,) = check.find_conflicts(check.TextList(files, str(media)))
    assert problem.where == f'{files[1]}:1'
    assert problem.detail == f'id 7 as in {files[0]}:1'
    assert len(identity_of(check.TextList(files))) == 3


def test_entries_of_the_tables_are_found_by_name(monkeypatch) -> None:
    monkeypatch.setenv('INTERNVIDEO2_DATA_PATH', '/copies')
    (texts,) = check.find_lists(check.build_parser().parse_args(['didemo_ret_test']))
    assert texts.ann_file.startswith('/copies')
    assert (texts.max_text_length, texts.paragraph, texts.is_set) == (64, True, True)
