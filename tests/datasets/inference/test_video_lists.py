from pathlib import Path

import pytest

from internvideo.datasets.inference.video_lists import collect_videos, shard_of


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ('a/x.mp4', 'b/x.mp4', 'b/with blank, and comma.mp4', 'b/note.doc'):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def names(*args, **options) -> list[str]:
    return [video.name for video in collect_videos(*args, **options)]


def test_folders_files_and_lists(folder: Path) -> None:
    assert names([folder]) == ['a/x', 'b/with blank, and comma', 'b/x']
    assert names([folder / 'a' / 'x.mp4']) == ['x']
    assert names([folder / 'a' / 'x.mp4'], root=folder) == ['a/x']


@pytest.mark.parametrize('line', ['b/x.mp4', 'b/x.mp4,3', 'b/x.mp4 3', 'b/x.mp4\t3', '"b/x.mp4" 3'])
def test_lists_give_the_path_first(folder: Path, line: str) -> None:
    listed = folder / 'list.csv'
    listed.write_text(f'# comment\n\n{line}\nb/with blank, and comma.mp4\n')
    videos = collect_videos([listed], root=folder)
    assert [video.path for video in videos] == [
        folder / 'b' / 'x.mp4', folder / 'b' / 'with blank, and comma.mp4',
    ]  # fmt: skip
    assert videos[0].name == 'b/x'


def test_names_that_clash_and_sources_that_miss_are_errors(folder: Path) -> None:
    with pytest.raises(ValueError, match="both be called 'x'"):
        collect_videos([folder / 'a' / 'x.mp4', folder / 'b' / 'x.mp4'])
    with pytest.raises(FileNotFoundError, match='gone'):
        collect_videos([folder / 'gone'])
    (folder / 'empty.txt').write_text('\n')
    with pytest.raises(ValueError, match='empty'):
        collect_videos([folder / 'empty.txt'])


def test_shards_from_flag_and_from_slurm() -> None:
    array = dict(SLURM_ARRAY_TASK_ID='7', SLURM_ARRAY_TASK_MIN='5', SLURM_ARRAY_TASK_COUNT='4')
    assert shard_of(None, {}) == (0, 1)
    assert shard_of('2/3', array) == (2, 3)
    assert shard_of(None, array) == (2, 4)
    for text in ('3/3', '1', 'a/b', '-1/2'):
        with pytest.raises(ValueError, match='shard must be i/n'):
            shard_of(text)
