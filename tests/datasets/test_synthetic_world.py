import csv
import json
import wave
from collections import Counter
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from internvideo.datasets.synthetic import make_world, world
from internvideo.datasets.synthetic.parameters import WorldParameters
from internvideo.datasets.synthetic.recognition import recognition_contents
from internvideo.datasets.synthetic.render import render_clip
from internvideo.datasets.synthetic.scenes import scene_contents
from internvideo.datasets.synthetic.vocabulary import QUICK_MOTIONS

COUNTS = dict(num_train=9, num_val=2, num_test=3)
SMALL = dict(**COUNTS, size=32, num_frames=12, workers=0)
TASKS = tuple(world.TASKS)


@pytest.fixture(scope='module')
def root(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp('world')
    make_world(folder, tasks=TASKS, **SMALL)
    return folder


def modification_times(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob('*') if path.is_file()}


def load(path: Path):
    return json.loads(path.read_text())


def test_videos_hold_the_rendered_frames_and_sound(root):
    contents = recognition_contents(WorldParameters(**COUNTS, size=32, num_frames=12))
    path, spec = next(iter(contents.media.items()))
    with av.open(str(root / 'recognition' / path)) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        assert (video.codec_context.name, audio.codec_context.name) == ('h264', 'aac')
        assert audio.codec_context.sample_rate == 16_000
        assert float(video.average_rate) == spec.fps
        frames = np.stack([f.to_ndarray(format='rgb24') for f in container.decode(video=0)])
    rendered = render_clip(spec)
    assert frames.shape == rendered.shape == (12, 32, 32, 3)
    assert np.abs(frames.astype(int) - rendered).mean() < 6


def test_key_frames_are_close(tmp_path):
    make_world(tmp_path / 'w', num_train=1, num_val=1, num_test=1, size=32, workers=0)
    with av.open(str(next(tmp_path.glob('w/recognition/videos/train/*.mp4')))) as container:
        keys = [packet.is_keyframe for packet in container.demux(video=0) if packet.size]
    assert len(keys) == 24
    assert [number for number, key in enumerate(keys) if key] == [0, 12]


@pytest.mark.parametrize(('split', 'count'), [('train', 9), ('val', 2), ('test', 3)])
def test_recognition_lists_name_existing_files(root, split, count):
    folder = root / 'recognition'
    rows = [line.split(',') for line in (folder / f'{split}.csv').read_text().splitlines()]
    assert len(rows) == count
    assert all((folder / path).is_file() for path, _ in rows)
    assert {int(label) for _, label in rows} <= set(range(8))
    assert (folder / 'classes.txt').read_text().split() == list(QUICK_MOTIONS)


def test_frame_folders_count_from_one(root):
    for line in (root / 'frames' / 'train.csv').read_text().splitlines():
        folder, frames, _ = line.split(',')
        names = sorted(path.name for path in (root / 'frames' / folder).iterdir())
        assert names == [f'img_{number:05d}.jpg' for number in range(1, int(frames) + 1)]
    with Image.open(root / 'frames' / folder / names[0]) as image:
        assert image.size == (32, 32)


def test_captions_describe_existing_videos(root):
    folder = root / 'scenes'
    single, several = (load(folder / 'captions' / n) for n in ('test.json', 'test_multi.json'))
    assert len(single) == len(several) == COUNTS['num_test']
    for one, many in zip(single, several, strict=True):
        assert one['video'] == many['video']
        assert one['caption'] in many['caption']
        assert len(set(many['caption'])) == 4
        assert (folder / one['video']).is_file()
    both = load(folder / 'captions' / 'test_audio_visual.json')[0]
    assert both['video_caption'] in both['avs_captions']
    assert both['audio_caption'] in both['avs_captions']


@pytest.mark.parametrize('seed', [0, 1])
def test_held_out_captions_are_all_different(seed):
    contents = scene_contents(WorldParameters(seed=seed, num_val=50, num_test=50))
    for name in ('val', 'val_audio_visual', 'test', 'test_audio_visual'):
        entries = json.loads(contents.annotations[f'captions/{name}.json'])
        captions = [entry.get('caption', entry.get('avs_captions')) for entry in entries]
        assert len(set(captions)) == 50


def test_questions_have_their_answers_among_the_options(root):
    open_ended = load(root / 'scenes' / 'qa' / 'train.json')
    choices = load(root / 'scenes' / 'qa' / 'train_multiple_choice.json')
    assert len({entry['question_id'] for entry in open_ended}) == len(open_ended) == 5 * 9
    for question, choice in zip(open_ended, choices, strict=True):
        assert question['question_id'] == choice['question_id']
        assert choice['option'][choice['answer']] == question['answer']
        assert len(set(choice['option'])) == 4
    assert len(Counter(choice['answer'] for choice in choices)) > 1


def test_sounds_are_described_and_timed(root):
    for entry in load(root / 'scenes' / 'sounds' / 'val.json'):
        with wave.open(str(root / 'scenes' / entry['audio'])) as file:
            assert file.getframerate() == 16_000
            assert file.getnframes() == round(entry['duration'] * 16_000)
        assert entry['caption']
        assert all(0 <= e['start'] < e['end'] <= entry['duration'] for e in entry['events'])


def test_segments_follow_each_other_within_the_video(root):
    database = load(root / 'segments' / 'segments.json')['database']
    assert Counter(e['subset'] for e in database.values()) == dict(
        training=8, validation=8, testing=8
    )
    for name, entry in database.items():
        ends = [0.0]
        for annotation in entry['annotations']:
            start, end = annotation['segment']
            assert ends[-1] <= start < end <= entry['duration'] + 1e-3
            assert annotation['label'] in QUICK_MOTIONS
            ends.append(end)
        with av.open(str(root / 'segments' / 'videos' / f'{name}.mp4')) as container:
            frames = sum(1 for _ in container.decode(video=0))
        assert frames == pytest.approx(entry['duration'] * entry['fps'], abs=0.01)


@pytest.mark.parametrize('name', ['train.csv', 'train_frames.csv'])
def test_boxes_are_normalised_and_name_actions(root, name):
    with (root / 'boxes' / name).open() as file:
        rows = list(csv.reader(file))
    for video, timestamp, x1, y1, x2, y2, action, entity in rows:
        assert (root / 'boxes' / 'videos' / f'{video}.mp4').is_file()
        assert 0 <= float(timestamp) < 2
        assert 0 <= float(x1) < float(x2) <= 1
        assert 0 <= float(y1) < float(y2) <= 1
        assert 1 <= int(action) <= 8
        assert int(entity) in (0, 1)


def test_a_second_call_does_nothing(root):
    before = modification_times(root)
    report = make_world(root, tasks=TASKS, **SMALL)
    assert report.written == ()
    assert set(report.up_to_date) == set(world.PARTS)
    assert modification_times(root) == before


def test_other_parameters_make_it_anew(tmp_path):
    make_world(tmp_path, **SMALL)
    before = {path: path.read_bytes() for path in tmp_path.rglob('train_*.mp4')}
    report = make_world(tmp_path, **{**SMALL, 'num_train': 4}, seed=1)
    after = {path: path.read_bytes() for path in tmp_path.rglob('train_*.mp4')}
    assert report.written == ('recognition',)
    assert len(after) == 4
    assert all(content != before[path] for path, content in after.items())


def test_an_interrupted_generation_is_completed(tmp_path, monkeypatch):
    written = []

    def write_some(path, *args):
        if len(written) == 5:
            path.with_name(f'.writing-{path.name}').write_bytes(b'torn')
            raise KeyboardInterrupt
        written.append(path)
        return whole(path, *args)

    whole = world.write_video
    monkeypatch.setattr(world, 'write_video', write_some)
    with pytest.raises(KeyboardInterrupt):
        make_world(tmp_path, **SMALL)
    kept = {path: path.stat().st_mtime_ns for path in written}
    monkeypatch.setattr(world, 'write_video', whole)
    assert make_world(tmp_path, **SMALL).written == ('recognition',)
    assert {path: path.stat().st_mtime_ns for path in written} == kept
    assert len(list(tmp_path.rglob('*.mp4'))) == 14
    assert not list(tmp_path.rglob('.writing-*'))


@pytest.mark.parametrize('damage', ['lost video', 'changed list'])
def test_damage_is_repaired(tmp_path, damage):
    make_world(tmp_path, **SMALL)
    before = modification_times(tmp_path / 'recognition' / 'videos')
    if damage == 'lost video':
        next(tmp_path.rglob('test_*.mp4')).unlink()
    else:
        (tmp_path / 'recognition' / 'test.csv').write_text('x,0\n')
    assert make_world(tmp_path, **SMALL).written == ('recognition',)
    after = modification_times(tmp_path / 'recognition' / 'videos')
    assert len(after) == 14
    assert sum(after[path] != time for path, time in before.items()) <= 1
    assert 'videos/test' in (tmp_path / 'recognition' / 'test.csv').read_text()


def test_workers_write_the_same_lists_and_files(root, tmp_path):
    make_world(tmp_path, **{**SMALL, 'workers': 2})
    for name in ('train.csv', 'videos/train/train_00000.mp4'):
        ours = (tmp_path / 'recognition' / name).read_bytes()
        assert ours == (root / 'recognition' / name).read_bytes()


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / 'thesis.txt').write_text('years of work')
    with pytest.raises(FileExistsError, match='not a generated world'):
        make_world(tmp_path, **SMALL)
    assert (tmp_path / 'thesis.txt').read_text() == 'years of work'


def test_an_unknown_task_is_named(tmp_path):
    with pytest.raises(ValueError, match='unknown smells; known: recognition'):
        make_world(tmp_path, tasks=('smells',), **SMALL)
