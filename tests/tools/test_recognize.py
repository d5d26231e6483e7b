import json
import re
from pathlib import Path

import pytest

from internvideo.cli import recognize
from internvideo.datasets.media.content_hashes import array_hash, clip_hash
from internvideo.datasets.media.readers import open_video
from internvideo.fileio.manifests import read_manifest
from tests.apis.tiny import exit_code, moving_frames, write_checkpoint, write_config, write_video


def run(*flags: str) -> int:
    return exit_code(recognize.main, recognize.build_parser(), *flags)


def test_folder_to_json_and_drawn_copies(tmp_path: Path, capsys) -> None:
    config = write_config(tmp_path)
    checkpoint = write_checkpoint(config, tmp_path / 'tiny.pth')
    write_video(tmp_path / 'videos' / 'a.mp4', moving_frames(12))
    (tmp_path / 'videos' / 'broken.mp4').write_bytes(b'not a video')
    flags = ['--checkpoint', str(checkpoint), '--device', 'cpu', '--topk', '2']
    flags += ['--json', str(tmp_path / 'out.json'), '--draw', str(tmp_path / 'drawn')]
    assert run(str(config), str(tmp_path / 'videos'), *flags) == 1
    good, broken = json.loads((tmp_path / 'out.json').read_text())
    assert len(good['names']) == 2 and 'cannot be opened' in broken['error']
    assert [path.name for path in (tmp_path / 'drawn').iterdir()] == ['a.mp4']
    assert good['names'][0] in capsys.readouterr().out


def test_missing_video_ends_in_one_line(tmp_path: Path, capsys) -> None:
    config = str(write_config(tmp_path))
    assert run(config, 'gone.mp4', '--random-weights', '--device', 'cpu') == 1
    assert 'no such video, folder or list: gone.mp4' in capsys.readouterr().err


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_config(tmp_path)
    write_video(tmp_path / 'videos' / 'sub' / 'a.mp4', moving_frames(30))
    return tmp_path


def run_tiny(folder: Path, *flags: str) -> int:
    return run(str(folder / 'tiny.py'), '--random-weights', '--device', 'cpu', *flags)


def test_windows_have_their_seconds_in_all_outputs(folder: Path, capsys) -> None:
    (folder / 'videos' / 'b.mp4').write_bytes(b'not a video')
    flags = [
        '--window',
        '1.2s',
        '--stride',
        '0.8s',
        '--topk',
        '1',
        '--json',
        str(folder / 'x.json'),
    ]
    flags += ['--subtitles', str(folder / 'texts'), '--draw', str(folder / 'drawn')]
    assert run_tiny(folder, str(folder / 'videos'), *flags) == 1
    broken, *windows = json.loads((folder / 'x.json').read_text())
    assert broken['source'].endswith('b.mp4') and broken['error'] and 'start' not in broken
    spans = [(window['start'], window['end']) for window in windows]
    assert spans == [(0, 1.2), (0.8, 2), (1.6, 2.8), (2.4, 3)]
    assert [(window['first_frame'], window['last_frame']) for window in windows][1] == (8, 19)
    lines = (folder / 'texts' / 'sub' / 'a.srt').read_text().splitlines()
    assert lines[1] == '00:00:00,000 --> 00:00:00,800'
    assert lines[2].startswith(windows[0]['names'][0])
    assert lines[-2] == '00:00:02,400 --> 00:00:03,000'
    assert 'a.mp4 0.80-2.00 s: ' in capsys.readouterr().out
    assert [path for path in folder.glob('drawn/**/*') if path.is_file()] == [
        folder / 'drawn' / 'sub' / 'a.mp4'
    ]


def test_windows_of_frames_at_a_rate(folder: Path) -> None:
    flags = ['--window', '8', '--fps', '5', '--json', str(folder / 'x.json')]
    flags += ['--subtitles', str(folder / 'texts'), '--subtitle-format', 'vtt']
    assert run_tiny(folder, str(folder / 'videos' / 'sub' / 'a.mp4'), *flags) == 0
    windows = json.loads((folder / 'x.json').read_text())
    assert [(window['start'], window['end']) for window in windows][:2] == [(0, 1.6), (0.8, 2.4)]
    assert (folder / 'texts' / 'a.vtt').read_text().startswith('WEBVTT')


def test_list_with_a_missing_file_goes_on(folder: Path, capsys) -> None:
    (folder / 'list.csv').write_text('sub/a.mp4,0\nsub/gone.mp4,1\n')
    flags = [str(folder / 'list.csv'), '--root', str(folder / 'videos')]
    assert run_tiny(folder, *flags) == 1
    first, second = capsys.readouterr().out.splitlines()[-2:]
    assert 'a.mp4: ' in first and second.endswith('gone.mp4: file not found')


@pytest.mark.parametrize('place', ['videos', 'linked', 'videos/../videos'])
def test_an_input_is_never_written_over(folder: Path, place: str, capsys) -> None:
    (folder / 'linked').symlink_to(folder / 'videos')
    before = (folder / 'videos' / 'sub' / 'a.mp4').read_bytes()
    assert run_tiny(folder, str(folder / 'videos'), '--draw', str(folder / place)) == 2
    assert 'is an input and would be overwritten' in capsys.readouterr().err
    assert (folder / 'videos' / 'sub' / 'a.mp4').read_bytes() == before


@pytest.mark.parametrize(
    ('flags', 'text'),
    [
        (['--window', 'long'], "--window, --stride: 'long' is no length"),
        (['--window', '2s', '--stride', '4'], 'both in seconds'),
        (['--fps', '8'], '--fps is positive, and that of a --window'),
        (['--window', '8', '--fps', '0'], '--fps is positive'),
        (['--subtitles', 'x'], '--subtitles needs --window'),
        (['--window', '2s', '--backend', 'decord'], '--window decodes in order: --backend auto'),
        (['--deadline', '0'], '--deadline must be positive'),
    ],
)
def test_flags_that_make_no_sense_end_in_one_line(folder: Path, flags, text, capsys) -> None:
    assert run_tiny(folder, str(folder / 'videos'), *flags) == 2
    assert text in capsys.readouterr().err


@pytest.mark.parametrize('flags', [[], ['--window', '8']])
def test_decoding_beyond_the_deadline_names_the_video(folder: Path, flags, capsys) -> None:
    assert run_tiny(folder, str(folder / 'videos'), '--deadline', '1e-4', *flags) == 1
    assert re.search(r'a\.mp4: decoding took longer than .*deadline', capsys.readouterr().out)


@pytest.mark.parametrize('flags', [['--window', '2s'], ['--window', '8', '--fps', '5']])
def test_cameras_count_frames(folder: Path, flags: list[str], capsys) -> None:
    assert run_tiny(folder, '--camera', '0', *flags) == 2
    assert '--camera counts frames' in capsys.readouterr().err


def test_windows_say_which_frames_they_saw(folder: Path) -> None:
    (folder / 'videos' / 'b.mp4').write_bytes(b'not a video')
    flags = ['--window', '1.2s', '--stride', '0.8s', '--manifest', str(folder / 'seen.jsonl')]
    assert run_tiny(folder, str(folder / 'videos'), *flags) == 1
    broken, *windows = read_manifest(folder / 'seen.jsonl').records
    assert broken['unreadable'] and broken['sample_index'] == 0
    assert [window['window'] for window in windows] == [0, 1, 2, 3]
    for window in windows:
        (frames,), (times,) = window['frame_inds'], window['frame_times']
        assert times == pytest.approx([frame / 10 for frame in frames])
    decoded = open_video(str(folder / 'videos/sub/a.mp4'), 'pyav').get_batch(frames)
    assert window['clip_hash'] == clip_hash(map(array_hash, decoded)) and frames[-1] > 24


@pytest.mark.parametrize(
    ('flags', 'text'),
    [
        (['videos', '--manifest', 'x.json'], '--manifest x.json: the file must end in .jsonl'),
        (['--camera', '0', '--manifest', 'x.jsonl'], '--manifest is of files'),
    ],
)
def test_manifests_that_cannot_be_written(folder: Path, flags: list[str], text, capsys) -> None:
    assert run_tiny(folder, *flags) == 2
    assert text in capsys.readouterr().err
