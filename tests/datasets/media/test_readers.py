"""Readers: one interface, the same frames, readable reasons."""

import os
import struct
from pathlib import Path

import av
import numpy as np
import pytest

from internvideo.datasets.bad_samples import MediaError
from internvideo.datasets.media.readers import BACKENDS, FrameFolderReader, open_video

# A folder of further clips; every mp4 in it is compared too.
REAL_CLIPS = Path(os.environ.get('INTERNVIDEO_TEST_MEDIA', '/nonexistent'))
VIDEO_BACKENDS = [name for name in BACKENDS if name != 'frames']
QUARTER_TURN = (0, 1 << 16, 0, -(1 << 16), 0, 0, 48 << 16, 0, 1 << 30)


def open_with(path: Path, backend: str):
    if backend == 'torchcodec':
        pytest.importorskip('torchcodec', exc_type=ImportError)
    return open_video(str(path), backend)


@pytest.mark.parametrize('backend', VIDEO_BACKENDS)
def test_frames_and_facts(media: Path, backend: str) -> None:
    reader = open_with(media / 'good.mp4', backend)
    frames = reader.get_batch([0, 7, 29])
    assert (len(reader), reader.fps) == (30, 10.0)
    assert (frames.dtype, frames.shape) == (np.uint8, (3, 48, 64, 3))
    assert frames[1, 0, 0, 0] > 240 and frames[2, -1, -1, 0] > frames[1, -1, -1, 0] + 50


@pytest.mark.parametrize('backend', ['pyav', 'torchcodec'])
@pytest.mark.parametrize('real', [None, *sorted(REAL_CLIPS.glob('*.mp4'))])
def test_backends_give_the_same_frames(media: Path, backend: str, real: Path | None) -> None:
    path = real or media / 'good.mp4'
    reader = open_video(str(path))
    indices = np.linspace(0, len(reader) - 1, 6).astype(int).tolist()
    np.testing.assert_array_equal(
        open_with(path, backend).get_batch(indices), reader.get_batch(indices)
    )


@pytest.mark.parametrize('backend', ['auto', 'pyav', 'torchcodec'])
def test_rotation_is_applied(media: Path, tmp_path: Path, backend: str) -> None:
    data = bytearray((media / 'good.mp4').read_bytes())
    matrix = data.find(b'tkhd') + 44
    data[matrix : matrix + 36] = struct.pack('>9i', *QUARTER_TURN)
    turned = tmp_path / 'turned.mp4'
    turned.write_bytes(data)
    upright = open_video(str(media / 'good.mp4')).get_batch([3, 20])
    frames = open_with(turned, backend).get_batch([3, 20])
    np.testing.assert_array_equal(frames, np.rot90(upright, 3, (1, 2)))
    with pytest.raises(MediaError, match=r"decord cannot batch .* backend='auto' or 'torchcodec'"):
        open_with(turned, 'decord')


@pytest.mark.parametrize('backend', VIDEO_BACKENDS)
@pytest.mark.parametrize(
    ('name', 'reason'),
    [
        ('nowhere.mp4', 'file not found'),
        ('empty.mp4', 'file is empty'),
        ('audio_only.mp4', 'no .*video stream'),
        ('zero_frames.mp4', 'no .*video stream'),
        ('text.mp4', '(no readable video stream|cannot be opened)'),
        ('truncated.mp4', '(no readable video stream|cannot be opened)'),
    ],
)
def test_broken_files(media: Path, backend: str, name: str, reason: str) -> None:
    with pytest.raises(MediaError, match=rf'{name}: {reason}') as caught:
        open_with(media / name, backend)
    assert 'Stack trace' not in caught.value.reason and '\n' not in caught.value.reason


def test_relative_paths_start_from_the_present_working_folder(media: Path, monkeypatch) -> None:
    for folder in (media, media / 'frames'):
        monkeypatch.chdir(folder)
        path = os.path.relpath(media / 'good.mp4')
        assert open_video(path, 'pyav').get_batch([0]).shape == (1, 48, 64, 3)


def test_reasons_hold_no_time(media: Path) -> None:
    reasons = set()
    for _ in range(2):
        with pytest.raises(MediaError) as caught:
            open_video(str(media / 'audio_only.mp4'))
        reasons.add(caught.value.reason)
    assert len(reasons) == 1 and ':' not in reasons.pop().split('(')[0]


def test_frame_folder(media: Path) -> None:
    reader = FrameFolderReader(str(media / 'frames'))
    assert len(reader) == 12
    levels = reader.get_batch([0, 11, 4]).mean(axis=(1, 2, 3))
    np.testing.assert_allclose(levels, [10, 120, 50], atol=2)


@pytest.mark.parametrize(
    ('folder', 'reason'),
    [('nowhere', 'frame folder not found'), ('gap', r'frame file img_00006\.jpg is missing')],
)
def test_broken_frame_folders(media: Path, folder: str, reason: str) -> None:
    with pytest.raises(MediaError, match=reason):
        FrameFolderReader(str(media / folder)).get_batch([5])


def test_empty_frame_folder(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match=r'no frame like img_00001\.jpg in the folder'):
        FrameFolderReader(str(tmp_path))


def test_unknown_and_missing_backend(media: Path, monkeypatch) -> None:
    with pytest.raises(ValueError, match=r"'opencv'; known: decord, torchcodec, pyav, frames"):
        open_video(str(media / 'good.mp4'), 'opencv')
    monkeypatch.setitem(__import__('sys').modules, 'torchcodec.decoders', None)
    with pytest.raises(ImportError, match='pip install torchcodec'):
        open_video(str(media / 'good.mp4'), 'torchcodec')


@pytest.mark.parametrize('backend', VIDEO_BACKENDS)
def test_titles_in_other_encodings_keep_no_file_from_being_read(
    media: Path, tmp_path: Path, backend: str
) -> None:
    with av.open(str(tmp_path / 'a.mp4'), 'w') as container:
        container.metadata['title'] = 'TITLE'
        stream = container.add_stream('mpeg4', rate=10)
        stream.width = stream.height = 32
        for _ in range(3):
            frame = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), 'rgb24')
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    content = (tmp_path / 'a.mp4').read_bytes()
    (tmp_path / 'a.mp4').write_bytes(content.replace(b'TITLE', b'caf\xe9\xff'))
    assert len(open_with(tmp_path / 'a.mp4', backend).get_batch([0, 2])) == 2


@pytest.mark.parametrize('backend', VIDEO_BACKENDS)
def test_a_lost_frame_is_replaced_with_every_backend(
    media: Path, tmp_path: Path, backend: str
) -> None:
    whole = media / 'good.mp4'
    with av.open(str(whole)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    data = bytearray(whole.read_bytes())
    lost = packets[-2]
    data[lost.pos : lost.pos + lost.size] = bytes(lost.size)
    damaged = tmp_path / 'damaged.mp4'
    damaged.write_bytes(data)
    reader = open_with(damaged, backend)
    frames = reader.get_batch(range(len(reader)))
    (missing, shown), *others = reader.repeated.items()
    assert (len(reader), shown, others) == (30, missing - 1, [])
    np.testing.assert_array_equal(frames[missing], frames[shown])
    assert reader.backend.startswith('pyav ')
    # Those that refer to it may show the damage, those ahead of it do not.
    np.testing.assert_array_equal(frames[:25], open_video(str(whole)).get_batch(range(25)))


def test_a_file_is_read_by_the_name_that_is_there(media: Path, tmp_path: Path) -> None:
    link = tmp_path / 'link.mp4'
    link.symlink_to(media / 'good.mp4')
    expected = open_video(str(link)).get_batch([3])
    link.unlink()
    np.testing.assert_array_equal(open_video(str(media / 'good.mp4')).get_batch([3]), expected)


def test_lists_of_other_files_are_refused(media: Path, tmp_path: Path) -> None:
    (tmp_path / 'part.mp4').write_bytes((media / 'good.mp4').read_bytes())
    names = tmp_path / 'list.mp4'
    names.write_text('ffconcat version 1.0\nfile part.mp4\n')
    with pytest.raises(MediaError, match=r'list\.mp4: is a list of other files \(concat\)'):
        open_video(str(names))


def test_a_file_that_was_replaced_gives_no_other_frames(media: Path, tmp_path: Path) -> None:
    video = tmp_path / 'a.mp4'
    video.write_bytes((media / 'good.mp4').read_bytes())
    reader = open_video(str(video))
    video.write_bytes((media / 'good.mp4').read_bytes() + bytes(8))
    with pytest.raises(MediaError, match=r'a\.mp4: the file has changed since it was opened'):
        reader.get_batch([0])
