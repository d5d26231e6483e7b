import json
from pathlib import Path

from internvideo.cli import recognize
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
    assert 'video not found: gone.mp4' in capsys.readouterr().err
