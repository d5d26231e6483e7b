"""What a check finds of single media files."""

import wave
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from internvideo.datasets.checking.file_facts import FileFacts
from internvideo.datasets.checking.lists import FileList, MediaList
from internvideo.datasets.checking.rows import check_rows, examine_rows
from tests.apis.tiny import moving_frames, write_video


def facts_of(path: Path, **reading) -> FileFacts:
    problems, files = examine_rows(FileList(files=(str(path),), **reading), 0, 1)
    (facts,) = files.values()
    assert [problem.kind for problem in problems] == ([facts.problem] if facts.problem else [])
    assert all(problem.where == problem.path == str(path) for problem in problems)
    return facts


def write_transport_stream(path: Path) -> Path:
    """MPEG-2 with B-frames and pixels wider than high."""
    with av.open(str(path), 'w', format='mpegts') as container:
        video = container.add_stream('mpeg2video', rate=25, options=dict(bf='2', g='12'))
        video.height, video.width, video.pix_fmt = 96, 96, 'yuv420p'
        video.codec_context.sample_aspect_ratio = Fraction(4, 3)
        for image in moving_frames(25, side=96):
            container.mux(video.encode(av.VideoFrame.from_ndarray(image, format='rgb24')))
        container.mux(video.encode())
    return path


def test_plain_file_is_fine(tmp_path: Path) -> None:
    facts = facts_of(write_video(tmp_path / 'a.mp4', moving_frames(12)), speed=True)
    assert facts.problem is None and not facts.warnings() and not facts.notes()
    assert (facts.container, facts.codec, facts.frames) == ('mov', 'mpeg4', 12)
    assert (facts.width, facts.height, facts.fps, facts.seconds) == (32, 32, 10, 1.2)
    assert facts.exact_with[:2] == ['auto', 'pyav'] and facts.frames_per_second > 0
    assert FileFacts(**facts.to_dict()) == facts


def test_hazards_and_readers_that_are_wrong_are_told(tmp_path: Path) -> None:
    facts = facts_of(write_transport_stream(tmp_path / 'a.ts'), full=True)
    assert facts.problem is None and facts.frames == 25
    assert {'transport_stream', 'sample_aspect'} <= set(facts.warnings())
    assert set(facts.wrong_with) <= {'decord', 'torchcodec'}
    assert not set(facts.wrong_with) & set(facts.exact_with)


def test_named_backend_that_would_be_wrong_is_a_problem(tmp_path: Path) -> None:
    pytest.importorskip('decord')
    facts = facts_of(write_transport_stream(tmp_path / 'a.ts'), backend='decord')
    assert facts.problem == 'broken' and 'auto' in facts.detail


@pytest.mark.parametrize('content', [b'', b'not a video', bytes(5000)])
def test_what_is_no_video_is_broken(tmp_path: Path, content: bytes) -> None:
    (tmp_path / 'a.mp4').write_bytes(content)
    facts = facts_of(tmp_path / 'a.mp4')
    assert facts.problem == 'broken' and facts.detail and '\n' not in facts.detail


def test_missing_and_short_files(tmp_path: Path) -> None:
    assert facts_of(tmp_path / 'gone.mp4').problem == 'missing'
    assert facts_of(tmp_path / ('x' * 400 + '.mp4')).problem == 'missing'
    facts = facts_of(write_video(tmp_path / 'a.mp4', moving_frames(3)), min_frames=8)
    assert (facts.problem, facts.detail) == ('short', '3 of 8 frames')


@pytest.mark.parametrize('name', ['a.wav', 'a.mkv'])
def test_audio_alone_is_no_broken_video(tmp_path: Path, name: str) -> None:
    with wave.open(str(tmp_path / name), 'wb') as file:
        file.setparams((1, 2, 16000, 0, 'NONE', ''))
        file.writeframes(bytes(3200))
    facts = facts_of(tmp_path / name)
    assert facts.problem is None and facts.notes() == ['audio_only']
    assert (facts.audio['rate'], facts.audio['channels']) == (16000, 1)


def test_decoding_beyond_the_deadline_names_the_file(tmp_path: Path) -> None:
    facts = facts_of(write_video(tmp_path / 'a.mp4', moving_frames(12)), deadline=1e-4)
    assert facts.problem == 'broken' and 'took longer than' in facts.detail


def test_fault_without_a_name_gets_that_of_its_file(tmp_path: Path) -> None:
    import cv2

    (tmp_path / 'clip').mkdir()
    for number, side in ((1, 8), (2, 16)):
        image = np.zeros((side, side, 3), np.uint8)
        cv2.imwrite(str(tmp_path / 'clip' / f'img_{number:05}.jpg'), image)
    (tmp_path / 'a.csv').write_text('clip 0\n')
    media = MediaList(str(tmp_path / 'a.csv'), str(tmp_path), backend='frames')
    (problem,) = check_rows(media, 0, 1)
    assert problem.kind == 'broken' and problem.path == str(tmp_path / 'clip')
    assert '8x8' in problem.detail and '16x16' in problem.detail
