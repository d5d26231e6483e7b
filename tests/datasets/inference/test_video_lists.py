from pathlib import Path

import av
import pytest
from mmengine.logging import MMLogger

from internvideo.datasets.formats.annotations import AnnotationList
from internvideo.datasets.inference.video_lists import collect_videos, find_videos, shard_of
from internvideo.datasets.media.suffixes import AUDIO_SUFFIXES, VIDEO_SUFFIXES

NO_MEDIA = {'avif', 'heic', 'heif', 'mks', 'avs', 'mac', 'apl', 'vqe', 'vql', 'mpo'}
"""Suffixes of pictures, subtitles and scripts, and such as are other things as a rule."""
AWKWARD = ('a b.mp4', 'a, b.mp4', '#a.mp4', '# a.mp4', '"a".mp4', 'a\tb.mp4', 'a;b 3.mp4', 'take 2')


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
@pytest.mark.parametrize('mark', ['', '\ufeff'])
def test_lists_give_the_path_first(folder: Path, line: str, mark: str) -> None:
    listed = folder / 'list.csv'
    listed.write_text(f'{mark}# comment\n\n{line}\n', 'utf-8')
    (video,) = collect_videos([listed], root=folder)
    assert video == (folder / 'b' / 'x.mp4', 'b/x')


@pytest.mark.parametrize('delimiter', [',', '\t', ' '])
@pytest.mark.parametrize('quote', ['', '"'])
@pytest.mark.parametrize(
    'columns', [('path',), ('path', 'label'), ('path', 'start', 'end', 'label')]
)
def test_lists_are_read_as_in_training(
    tmp_path: Path, delimiter: str, quote: str, columns: tuple[str, ...]
) -> None:
    listed = tmp_path / 'list.csv'
    numbers = [str(number) for number in range(len(columns) - 1)]
    rows = [delimiter.join([f'{quote}{name}{quote}', *numbers]) for name in AWKWARD]
    listed.write_text('\n'.join(rows))
    for name in AWKWARD:
        (tmp_path / name).touch()
    trained = AnnotationList(listed, columns, delimiter)
    expected = [tmp_path / trained[row]['path'] for row in range(len(trained))]
    assert [video.path.name for video in collect_videos([listed], tmp_path)] == list(AWKWARD)
    assert [video.path for video in collect_videos([listed], tmp_path, columns)] == expected


def test_list_whose_first_file_is_missing_keeps_the_columns_of_training(tmp_path: Path) -> None:
    (tmp_path / 'list.csv').write_text('gone, 1.mp4,0\nalso gone.mp4,1\n')
    (tmp_path / 'paths.csv').write_text('gone, 1.mp4\nalso gone.mp4\n')
    for name in ('list.csv', 'paths.csv'):
        assert names([tmp_path / name], root=tmp_path) == ['gone, 1', 'also gone']


def test_row_without_its_columns_is_named(folder: Path) -> None:
    listed = folder / 'list.csv'
    listed.write_text('b/x.mp4,3\nb/with blank, and comma.mp4\n')
    with pytest.raises(ValueError, match=r'list\.csv:2: .*not a number'):
        collect_videos([listed], root=folder)
    with pytest.raises(ValueError, match=r'list\.csv:1: .*does not hold the columns'):
        collect_videos([listed], folder, ('path', 'start', 'end'))


def test_files_passed_over_in_a_folder_are_counted(folder: Path, caplog) -> None:
    (folder / 'README').touch()
    (folder / 'b' / 'second.DOC').touch()
    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)  # mmengine's loggers hand nothing to the root
    assert len(find_videos(folder)) == 3
    logger.removeHandler(caplog.handler)
    assert '3 files passed over for their suffixes: .doc (2), no suffix (1)' in caplog.text
    with pytest.raises(FileNotFoundError, match=r'no video file below .*, only \.mp4 \(1\)'):
        find_videos(folder / 'a', {'.avi'})


@pytest.mark.parametrize('suffix', ['.mts', '.m2ts', '.vob', '.gif', '.asf', '.h264', '.F4V'])
def test_media_of_cameras_and_discs_are_found(tmp_path: Path, suffix: str) -> None:
    (tmp_path / f'x{suffix}').touch()
    assert [path.name for path in find_videos(tmp_path)] == [f'x{suffix}']


def test_suffixes_of_videos_and_sounds_differ() -> None:
    assert not VIDEO_SUFFIXES & AUDIO_SUFFIXES


@pytest.mark.parametrize(
    'name',
    [
        *('mov', 'matroska', 'avi', 'flv', 'gif', 'h264', 'hevc', 'vvc', 'obu', 'm4v', 'mjpeg'),
        *('nut', 'ogg', 'cavsvideo', 'vc1', 'yuv4mpegpipe', 'mp3', 'aac', 'flac', 'ac3', 'dts'),
        *('ape', 'tta', 'tak', 'eac3', 'gsm', 'qoa', 'vqf', 'usm', 'xmv'),
    ],
)
def test_suffixes_of_ffmpeg_are_known(name: str) -> None:
    known = {suffix[1:] for suffix in VIDEO_SUFFIXES | AUDIO_SUFFIXES}
    assert set(av.format.ContainerFormat(name, 'r').extensions) - known - NO_MEDIA == set()


def test_videos_of_one_stem_keep_their_suffixes(folder: Path) -> None:
    (folder / 'a' / 'x.mkv').touch()
    assert names([folder]) == ['a/x.mkv', 'a/x.mp4', 'b/with blank, and comma', 'b/x']


def test_names_that_clash_and_sources_that_miss_are_errors(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"both be called 'x\.mp4'"):
        collect_videos([folder / 'a' / 'x.mp4', folder / 'b' / 'x.mp4'])
    with pytest.raises(FileNotFoundError, match='gone'):
        collect_videos([folder / 'gone'])
    (folder / 'empty.txt').write_text('\n')
    with pytest.raises(ValueError, match='no sample'):
        collect_videos([folder / 'empty.txt'])


def test_shards_from_flag_and_from_slurm() -> None:
    array = dict(SLURM_ARRAY_TASK_ID='7', SLURM_ARRAY_TASK_MIN='5', SLURM_ARRAY_TASK_COUNT='4')
    assert shard_of(None, {}) == (0, 1)
    assert shard_of('2/3', array) == (2, 3)
    assert shard_of(None, array) == (2, 4)
    for text in ('3/3', '1', 'a/b', '-1/2'):
        with pytest.raises(ValueError, match='shard must be i/n'):
            shard_of(text)
