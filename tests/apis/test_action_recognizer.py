import json
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from internvideo.apis import ActionRecognizer
from internvideo.apis.action_recognizer import save_json
from internvideo.datasets.bad_samples import MediaError
from internvideo.datasets.media.readers import open_video
from internvideo.registry import DATASETS
from tests.apis.tiny import moving_frames


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
