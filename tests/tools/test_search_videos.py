"""tools/search_videos.py: one command, its output, its index and its errors."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from internvideo.cli import search
from internvideo.fileio.manifests import read_manifest
from tests.apis.tiny import exit_code
from tests.apis.tiny_retrieval import tiny_retrieval, write_videos
from tests.paths import ROOT


@pytest.fixture(scope='module')
def tiny(tmp_path_factory) -> list[str]:
    """The arguments that name a tiny model and its weights."""
    config, weights = tiny_retrieval(tmp_path_factory.mktemp('stage2'))
    return [str(config), '--checkpoint', str(weights), '--device', 'cpu', '--workers', '0']


@pytest.fixture
def folder(tmp_path: Path, monkeypatch) -> Path:
    """The working folder, with videos below ``videos``."""
    write_videos(tmp_path / 'videos', 4)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(tiny: list[str], *flags: str) -> int:
    return exit_code(search.main, search.build_parser(), *tiny, *flags)


def test_one_command_indexes_and_searches(tiny, folder, capsys) -> None:
    queries = ['--query', 'a red ball', '--query', 'a blue ball', '--top-k', '3']
    assert run(tiny, *queries, 'videos', '--picture', 'found/out.png') == 0
    out = capsys.readouterr().out
    assert '4 videos; 4 encoded, 0 already there, 0 removed, 0 failed' in out
    assert 'text: a red ball\nrank  cosine  video\n   1  ' in out and 'text: a blue ball' in out
    rows = [line for line in out.splitlines() if line.endswith('.mp4')]
    assert len(rows) == 6 and all(row.split()[2].startswith('videos/') for row in rows)
    pictures = sorted(path.name for path in (folder / 'found').iterdir())
    assert pictures == ['out-1.png', 'out-2.png']
    assert run(tiny, 'videos', '--like', 'videos/2.mp4') == 0  # the same index, below work_dirs
    out = capsys.readouterr().out
    assert '4 videos; 0 encoded, 4 already there' in out and '   1   1.000  videos/2.mp4' in out


def test_results_as_json_stand_alone(tiny, folder, capsys) -> None:
    flags = ['--index', 'index', '--query', 'a red ball', '--rerank', '4', '--top-k', '2']
    assert run(tiny, 'videos', *flags, '--json') == 0
    shown = capsys.readouterr()
    (result,) = json.loads(shown.out)
    assert result['text'] == 'a red ball' and len(result['matches']) == 2
    first, second = result['matches']
    assert first['score'] >= second['score'] and Path(first['path']).is_file()
    assert 'encoded' in shown.err
    assert run(tiny, *flags) == 0  # the index alone
    out = capsys.readouterr().out
    assert 'rank  match   cosine  video' in out and 'encoded' not in out


def test_broken_videos_are_listed(tiny, folder, capsys) -> None:
    (folder / 'videos' / 'broken.mp4').write_bytes(b'not a video')
    assert run(tiny, 'videos', '--index', 'index') == 1
    assert '1 failed (see index/failed.jsonl)' in capsys.readouterr().out
    assert 'broken.mp4' in Path('index/failed.jsonl').read_text()
    assert run(tiny, 'videos', '--index', 'index', '--query', 'a ball') == 0


def test_shards_fill_one_index(tiny, folder, capsys, monkeypatch) -> None:
    assert run(tiny, 'videos', '--index', 'index', '--shard', '1/2') == 0
    assert '2 videos; 2 encoded' in capsys.readouterr().out
    monkeypatch.setenv('SLURM_ARRAY_TASK_ID', '0')
    monkeypatch.setenv('SLURM_ARRAY_TASK_COUNT', '2')
    assert run(tiny, 'videos', '--index', 'index') == 0
    assert '4 videos; 2 encoded' in capsys.readouterr().out


def test_each_share_writes_which_frames_it_saw(tiny, folder, capsys) -> None:
    (folder / 'videos' / 'broken.mp4').write_bytes(b'not a video')
    for share in ('0/2', '1/2'):
        flags = ('--index', 'index', '--shard', share, '--manifest', 'seen.jsonl')
        run(tiny, 'videos', *flags)
    parts = [read_manifest(f'seen-{number}of2.jsonl') for number in range(2)]
    records = [record for part in parts for record in part.records]
    assert sorted(Path(record['path']).name for record in records) == sorted(
        path.name for path in (folder / 'videos').iterdir()
    )
    assert sum('unreadable' in record for record in records) == 1
    assert all(record['clip_hash'] for record in records if 'unreadable' not in record)
    assert parts[0].header['settings']['modality'] == 'vision'


@pytest.mark.parametrize(
    ('flags', 'code', 'text'),
    [
        ([], 2, 'give VIDEOS to search, or the --index'),
        (['--index', 'index'], 2, 'nothing to do'),
        (['videos', '--query', 'a', '--top-k', '0'], 2, '--top-k 0'),
        (['videos', '--like', 'videos/0.mp4', '--rerank', '3'], 2, 'not with --like'),
        (['videos', '--like', 'gone.mp4'], 2, '--like gone.mp4: no such file'),
        (['videos', '--picture', 'a.png'], 2, '--picture needs'),
        (['videos', '--manifest', 'a.json'], 2, 'must end in .jsonl or .parquet'),
        (['--index', 'index', '--query', 'a', '--manifest', 'a.jsonl'], 2, 'give some'),
        (['videos', '--query', '?!'], 1, "the text '?!' holds no word"),
        (['gone', '--query', 'a'], 1, 'no such video, folder or list: gone'),
        (['--index', 'gone', '--query', 'a'], 1, 'gone holds no index of videos'),
        (['videos', '--index', 'videos', '--query', 'a'], 1, 'holds other files'),
        (['videos', '--shard', '2/2'], 1, 'shard must be i/n'),
        (['videos', '--modality', 'audio'], 1, 'has no audio_encoder'),
        (['videos', '--checkpoint', 'gone.pth'], 1, 'gone.pth does not exist'),
        (['videos', '--cfg-options', 'model.embed_di=1'], 2, 'did you mean model.embed_dim'),
    ],
)
def test_mistakes_end_in_one_line(tiny, folder, flags, code, text, capsys) -> None:
    assert run(tiny, *flags) == code
    error = capsys.readouterr().err
    assert text in error and 'Traceback' not in error


def test_weights_are_asked_for(tiny, folder, capsys) -> None:
    config = tiny[0]
    assert run([config], 'videos', '--query', 'a', '--device', 'cpu') == 1
    assert 'no released weights are known' in capsys.readouterr().err
    assert run(['internvideo2/retrieval/clip_S14_msrvt'], 'videos', '--query', 'a') == 1
    assert 'did you mean internvideo2/retrieval/clip_S14_msrvtt' in capsys.readouterr().err


def test_help_needs_no_torch() -> None:
    code = 'import sys; from internvideo.cli.search import build_parser\n'
    code += 'try: build_parser().parse_args(["--help"])\n'
    code += 'except SystemExit: sys.exit("torch" in sys.modules)'
    assert subprocess.run([sys.executable, '-c', code], cwd=ROOT, check=False).returncode == 0
