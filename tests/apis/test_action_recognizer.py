import json
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from internvideo.apis import ActionRecognizer
from internvideo.apis.action_recognizer import save_json
from internvideo.datasets.bad_samples import MediaError
from internvideo.datasets.inference.video_stream import FrameStream
from internvideo.datasets.media.readers import open_video
from internvideo.registry import DATASETS
from internvideo.structures import Recognition
from internvideo.visualization.annotated_video import LabelledFrames, write_labelled_video
from tests.apis.tiny import moving_frames, write_video


@pytest.fixture(scope='module')
def recognizer(tiny: tuple[Path, Path]) -> ActionRecognizer:
    return ActionRecognizer(*tiny, device='cpu', batch_size=2)


def test_folder_is_searched_and_the_broken_file_reported(
    recognizer: ActionRecognizer, videos: Path, tmp_path: Path
) -> None:
    results = recognizer(videos, topk=2)
    assert [Path(r.source).stem for r in results] == ['0', '1', '2', 'broken']
    assert results[3].error and not results[3].labels
    assert all(r.error is None and r.scores[0] >= r.scores[1] > 0 for r in results[:3])
    save_json(results, tmp_path / 'out.json')
    written = json.loads((tmp_path / 'out.json').read_text())
    assert written[0]['names'] == list(results[0].names)
    assert 'error' in written[3] and 'error' not in written[0]


def test_scores_are_those_of_the_test_protocol(
    recognizer: ActionRecognizer, videos: Path, tmp_path: Path
) -> None:
    (tmp_path / 'list.csv').write_text(f'{videos}/sub/1.mp4,0\n')
    dataset = dict(recognizer.config.test_dataloader.dataset, ann_file=tmp_path / 'list.csv')
    inputs = DATASETS.build(dataset)[0]['inputs']
    assert inputs.shape[0] == 6  # two clips of three crops
    data = recognizer.model.data_preprocessor(dict(inputs=inputs[None]))
    logits = recognizer.model(data['inputs'], mode='tensor')
    (result,) = recognizer(videos / 'sub' / '1.mp4', topk=3)
    expected = logits.softmax(-1).mean(1)[0]
    scores = torch.tensor(result.scores)
    torch.testing.assert_close(scores, expected[list(result.labels)], atol=1e-5, rtol=1e-4)


def test_frames_give_what_their_file_gives(recognizer: ActionRecognizer, videos: Path) -> None:
    path = videos / 'sub' / '0.mp4'
    reader = open_video(str(path), 'pyav')
    frames = reader.get_batch(range(len(reader)))
    from_file, from_frames = recognizer([path, frames])
    assert from_file.labels == from_frames.labels
    np.testing.assert_allclose(from_file.scores, from_frames.scores, rtol=1e-4)


def test_stream_yields_while_frames_come_in(recognizer: ActionRecognizer) -> None:
    taken = 0

    def camera():
        nonlocal taken
        for frame in moving_frames(40):
            taken += 1
            yield frame

    results = recognizer.stream(camera(), window=16, stride=8, topk=1)
    first = next(results)
    assert taken == 16
    assert (first.first_frame, first.last_frame, len(first.names)) == (0, 15, 1)
    assert [r.last_frame for r in results] == [23, 31, 39]
    assert len(list(recognizer(iter(moving_frames(5))))) == 1


def test_windows_of_a_file_are_those_of_a_stream(
    recognizer: ActionRecognizer, videos: Path
) -> None:
    path = videos / 'sub' / '0.mp4'
    windows = list(recognizer.recognize_windows(path, window=8, stride=4, topk=3))
    streamed = list(recognizer.stream(FrameStream(path), window=8, stride=4, topk=3))
    assert len(windows) == len(streamed) == 7  # of 30 frames at 10 a second, the last one filled
    for ours, theirs in zip(windows, streamed, strict=True):
        assert (ours.labels, ours.last_frame) == (theirs.labels, theirs.last_frame)
        np.testing.assert_allclose(ours.scores, theirs.scores, atol=1e-5)
    assert [(each.start, each.end) for each in windows[-2:]] == [(2, 2.8), (2.4, 3)]


def test_windows_of_seconds_go_through_the_model_together(
    recognizer: ActionRecognizer, videos: Path, monkeypatch
) -> None:
    sizes, test_step = [], recognizer.model.test_step
    monkeypatch.setattr(
        recognizer.model,
        'test_step',
        lambda data: sizes.append(len(data['inputs'])) or test_step(data),
    )
    results = list(recognizer.recognize_windows(videos / 'sub' / '0.mp4', '1s', fps=4))
    assert [(each.start, each.end) for each in results[:2]] == [(0, 1), (0.5, 1.5)]
    assert sizes == [2, 2, 1]
    with pytest.raises(ValueError, match='no length'):
        recognizer.recognize_windows(videos / 'sub' / '0.mp4', '1 minute')


def test_copy_keeps_the_times_of_the_frames(recognizer: ActionRecognizer, tmp_path: Path) -> None:
    images = moving_frames(3)
    frames = zip(images, [0.5, 0.6, 2.0], [0.6, 2.0, 2.1], strict=True)
    labelled = LabelledFrames(frames, [Recognition('x', names=('a',), scores=(1.0,))])
    write_labelled_video(labelled, tmp_path / 'out.mp4')
    with av.open(str(tmp_path / 'out.mp4')) as container:
        times = [frame.time for frame in container.decode(video=0)]
    np.testing.assert_allclose(times, [0, 0.1, 1.5], atol=1e-3)


def test_copy_never_replaces_its_source(recognizer: ActionRecognizer, tmp_path: Path) -> None:
    video = write_video(tmp_path / 'a.mp4', moving_frames(4))
    (tmp_path / 'b.mp4').symlink_to(video)
    with pytest.raises(ValueError, match='is the video itself'):
        recognizer.annotate(video, tmp_path / 'b.mp4')


@pytest.mark.parametrize('window', [None, 10])
def test_annotated_copy_has_every_frame(
    recognizer: ActionRecognizer, videos: Path, tmp_path: Path, window: int | None
) -> None:
    results = recognizer.annotate(videos / 'sub' / '0.mp4', tmp_path / 'out.mp4', window=window)
    with av.open(str(tmp_path / 'out.mp4')) as container:
        frames = [frame.to_ndarray(format='rgb24') for frame in container.decode(video=0)]
    assert len(results) == (1 if window is None else 3)
    assert len(frames) == 30
    assert [path.name for path in tmp_path.iterdir()] == ['out.mp4']


@pytest.mark.parametrize(
    ('frames', 'text'),
    [
        (np.zeros((4, 8, 8, 3), np.float32), r'float32 \(4, 8, 8, 3\)'),
        (np.zeros((4, 3, 8, 8), np.uint8), r'\(4, 3, 8, 8\)'),
        (np.zeros((0, 8, 8, 3), np.uint8), 'T > 0'),
        ([np.zeros((2, 8, 8, 3), np.uint8), 5], 'item 1'),
    ],
)
def test_other_frames_are_refused(recognizer: ActionRecognizer, frames, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        recognizer(frames)


def test_bad_frame_of_a_stream_is_named(recognizer: ActionRecognizer) -> None:
    frames = [np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8), np.uint8)]
    with pytest.raises(ValueError, match='stream, frame 1'):
        list(recognizer(iter(frames)))


def test_files_that_cannot_be_used_are_named(
    recognizer: ActionRecognizer, videos: Path, tmp_path: Path
) -> None:
    with pytest.raises(MediaError, match=r'broken\.mp4'):
        recognizer(videos / 'sub' / 'broken.mp4')
    with pytest.raises(FileNotFoundError, match='gone'):
        recognizer(['gone.mp4'])
    with pytest.raises(FileNotFoundError, match='no video file below'):
        recognizer(tmp_path)


def test_bad_settings_are_named(tiny: tuple[Path, Path]) -> None:
    config, checkpoint = tiny
    with pytest.raises(ValueError, match='give a checkpoint'):
        ActionRecognizer(config, device='cpu')
    with pytest.raises(FileNotFoundError, match=r'classes\.txt'):
        ActionRecognizer(config, checkpoint, 'cpu', classes='classes.txt')
    with pytest.raises(ValueError, match='dtype must be one of'):
        ActionRecognizer(config, checkpoint, 'cpu', dtype='int8')
    with pytest.raises(ValueError, match='2 class names'):
        ActionRecognizer(config, checkpoint, 'cpu', classes=['a', 'b'])(moving_frames(4))
