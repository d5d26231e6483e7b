"""tools/extract_features.py: resuming, sharing, failures, and the memory of an hour of video."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from internvideo.cli import extract_features
from internvideo.datasets.media.content_hashes import array_hash, clip_hash
from internvideo.datasets.media.readers import open_video
from internvideo.fileio.manifests import read_manifest
from tests.apis.tiny import exit_code, moving_frames, write_checkpoint, write_config, write_video
from tests.datasets.damaged_video import write_damaged_video
from tests.paths import ROOT

PEAK = """
import resource, sys
from internvideo.cli.extract_features import build_parser, main
main(build_parser().parse_args())
print('peak', resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024, 'MB')
"""


@pytest.fixture(scope='module')
def tiny(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The arguments that name a tiny encoder and its weights."""
    folder = tmp_path_factory.mktemp('tiny')
    config = write_config(folder)
    return [str(config), '--checkpoint', str(write_checkpoint(config, folder / 'tiny.pth'))]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for index in range(3):
        write_video(tmp_path / 'videos' / f'{index}.mp4', moving_frames(12, seed=index))
    return tmp_path


def run(tiny: list[str], folder: Path, *flags: str) -> int:
    flags = ('--device', 'cpu', '--out', str(folder / 'out'), *flags)
    parser = extract_features.build_parser()
    return exit_code(extract_features.main, parser, *tiny, str(folder / 'videos'), *flags)


def made(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in (folder / 'out').glob('*.npy')}


def test_second_run_skips_what_is_there(tiny: list[str], folder: Path, capsys) -> None:
    assert run(tiny, folder) == 0
    first = made(folder)
    (folder / 'out' / '1.json').unlink()
    write_video(folder / 'videos' / '2.mp4', moving_frames(16))
    assert run(tiny, folder) == 0
    second = made(folder)
    assert {name for name in first if first[name] == second[name]} == {'0.npy'}
    assert '2 extracted, 1 already there, 0 failed' in capsys.readouterr().out


def test_other_settings_need_overwrite(tiny: list[str], folder: Path, capsys) -> None:
    assert run(tiny, folder) == 0
    assert run(tiny, folder, '--stride', '2') == 1
    assert 'made with other settings' in capsys.readouterr().err
    assert run(tiny, folder, '--stride', '2', '--overwrite') == 0
    assert np.load(folder / 'out' / '0.npy').shape == (5, 16)
    assert json.loads((folder / 'out' / '0.json').read_text())['stride'] == 2


@pytest.mark.parametrize('workers', ['1', pytest.param('2', marks=pytest.mark.slow)])
def test_broken_videos_are_reported_and_skipped(
    tiny: list[str], folder: Path, workers: str, capsys
) -> None:
    (folder / 'videos' / 'broken.mp4').write_bytes(b'not a video')
    assert run(tiny, folder, '--workers', workers) == 1
    assert set(made(folder)) == {'0.npy', '1.npy', '2.npy'}
    (line,) = (folder / 'out' / 'failed.jsonl').read_text().splitlines()
    assert json.loads(line)['path'].endswith('broken.mp4')
    assert '3 extracted, 0 already there, 1 failed' in capsys.readouterr().out
    (folder / 'videos' / 'broken.mp4').unlink()
    assert run(tiny, folder) == 0
    assert not (folder / 'out' / 'failed.jsonl').exists()


@pytest.mark.parametrize('workers', ['1', pytest.param('2', marks=pytest.mark.slow)])
def test_decoding_beyond_the_deadline_fails_the_video(
    tiny: list[str], folder: Path, workers: str, capsys
) -> None:
    assert run(tiny, folder, '--deadline', '1e-4', '--workers', workers) == 1
    assert capsys.readouterr().out.count('failed: decoding took longer than') == 3


def test_shards_share_the_videos(tiny: list[str], folder: Path, monkeypatch) -> None:
    assert run(tiny, folder, '--shard', '0/2') == 0
    assert set(made(folder)) == {'0.npy', '2.npy'}
    monkeypatch.setenv('SLURM_ARRAY_TASK_ID', '1')
    monkeypatch.setenv('SLURM_ARRAY_TASK_COUNT', '2')
    assert run(tiny, folder) == 0
    assert set(made(folder)) == {'0.npy', '1.npy', '2.npy'}


@pytest.mark.parametrize('workers', ['1', pytest.param('2', marks=pytest.mark.slow)])
def test_features_say_which_frames_they_are_of(tiny, folder: Path, workers: str) -> None:
    (folder / 'videos' / 'broken.mp4').write_bytes(b'not a video')
    target = folder / 'seen.parquet'
    flags = ['--window', '8', '--stride', '4', '--workers', workers, '--manifest', str(target)]
    assert run(tiny, folder, *flags) == 1
    records = sorted(read_manifest(target).records, key=lambda record: record['sample_index'])
    assert [Path(record['path']).stem for record in records] == ['0', '1', '2', 'broken']
    assert records[-1]['unreadable']
    for record in records[:-1]:
        assert record['frame_inds'] == [[1, 3, 5, 7], [5, 7, 9, 11]]
        assert record['frame_times'][1] == pytest.approx([0.5, 0.7, 0.9, 1.1])
        frames = open_video(record['path'], 'pyav').get_batch([1, 3, 5, 7, 5, 7, 9, 11])
        assert record['clip_hash'] == clip_hash(map(array_hash, frames))
        assert record['input_shape'] == [2, 3, 4, 28, 28]
        assert record['sampling'] == 'window=8, stride=4, fps=None, num_frames=4'


def test_features_say_how_many_frames_are_lost(tiny, folder: Path) -> None:
    write_damaged_video(folder / 'videos' / 'damaged.mp4', 20, damaged=7)
    flags = ['--window', '4', '--manifest', str(folder / 'seen.jsonl')]
    assert run(tiny, folder, *flags) == 0
    records = read_manifest(folder / 'seen.jsonl').records
    records = {Path(record['path']).stem: record for record in records}
    assert records['damaged']['lost_frames'] == 1 and 'lost_frames' not in records['0']
    assert records['damaged']['frame_inds'][1] == [4, 5, 6, 8]


@pytest.mark.parametrize(
    ('flags', 'text'),
    [
        (['--window', '2'], 'shorter than the 4 frames'),
        (['--shard', '2/2'], 'shard must be i/n'),
        (['--workers', '0'], '--workers must be positive'),
        (['--deadline', '-1'], '--deadline must be positive'),
        (['--backend', 'decord'], "invalid choice: 'decord'"),
        (['--checkpoint', 'gone.pth'], 'gone.pth'),
        (['--cfg-options', 'model.backbone.dept=1'], 'did you mean model.backbone.depth'),
        (['--device', 'nonsense'], "device 'nonsense'"),
    ],
)
def test_bad_flags_end_in_one_line(
    tiny: list[str], folder: Path, flags: list[str], text: str, capsys
) -> None:
    assert run(tiny, folder, *flags) in (1, 2)
    assert text in capsys.readouterr().err


def test_unknown_model_ends_in_one_line(folder: Path, capsys) -> None:
    assert run(['internvideo2/S14_k40'], folder) == 1
    assert 'did you mean internvideo2/S14_k400' in capsys.readouterr().err


def test_help_needs_no_torch() -> None:
    code = 'import sys; from internvideo.cli.extract_features import build_parser\n'
    code += 'try: build_parser().parse_args(["--help"])\n'
    code += 'except SystemExit: sys.exit("torch" in sys.modules)'
    assert subprocess.run([sys.executable, '-c', code], cwd=ROOT, check=False).returncode == 0


def hour_of_frames(minutes: int):
    frames = moving_frames(64, side=64)
    return (frames[i % 64] for i in range(minutes * 60 * 5))


def peak_megabytes(tiny: list[str], video: Path, out: Path) -> int:
    flags = ['--window', '40', '--stride', '20', '--device', 'cpu', '--out', str(out)]
    command = [sys.executable, '-c', PEAK, *tiny, str(video), *flags]
    result = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return int(result.stdout.split()[-2])


@pytest.mark.slow
def test_memory_does_not_grow_with_an_hour_of_video(tiny: list[str], tmp_path: Path) -> None:
    """All frames of the hour are 221 MB; the minute's run may differ by a fifth of that."""
    minute = write_video(tmp_path / 'minute.mp4', hour_of_frames(1), fps=5)
    hour = write_video(tmp_path / 'hour.mp4', hour_of_frames(60), fps=5)
    short = peak_megabytes(tiny, minute, tmp_path)
    long = peak_megabytes(tiny, hour, tmp_path)
    assert np.load(tmp_path / 'hour.npy').shape == (899, 16)
    assert long < short + 45
