"""Records of samples: videos, views, folders, images, audio, questions, and broken files."""

import hashlib
import json

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from internvideo.datasets.frame_records import record_frames_of, record_of
from internvideo.datasets.media.content_hashes import array_hash, clip_hash, file_hash, files_hash
from internvideo.datasets.media.readers import open_video
from internvideo.fileio.manifests import plain_record
from internvideo.registry import DATASETS, FUNCTIONS
from tests.datasets.damaged_video import write_damaged_video
from tests.datasets.media_world import write_media

PIPELINE = [dict(type='Resize', short_side=28), dict(type='UniformCrops', size=28, num_crops=3)]
VIEWS = dict(type='UniformSample', num_frames=4, num_views=2, mode='test')


def videos(media, folder, *names, **fields):
    rows = folder / 'list.csv'
    rows.write_text(''.join(f'{name},0\n' for name in names))
    pipeline = [*PIPELINE, dict(type='PackInputs')]
    dataset = DATASETS.build(
        dict(
            type='VideoDataset',
            ann_file=str(rows),
            data_prefix=str(media),
            pipeline=pipeline,
            test_mode=True,
            **dict(backend='pyav', sampling=VIEWS) | fields,
        )
    )
    record_frames_of(dataset)
    return dataset


def captioned(folder, media_type, **fields):
    rows = [dict(video='0.mp4', image='0.jpg', audio='0.wav', caption='a thing')]
    (folder / 'rows.json').write_text(json.dumps(rows))
    dataset = DATASETS.build(
        dict(
            type='MediaTextDataset',
            ann_file=str(folder / 'rows.json'),
            data_prefix=str(folder),
            media_type=media_type,
            sampling=dict(type='IntervalSample', num_frames=2, mode='middle'),
            pipeline=[dict(type='ResizeSquare', size=28), dict(type='PackMedia')],
            **fields,
        )
    )
    record_frames_of(dataset)
    return plain_record(record_of(dataset[0]['data_samples']))


def test_nothing_is_recorded_unasked(media, tmp_path):
    dataset = videos(media, tmp_path, 'good.mp4')
    dataset.record_frames = False
    assert record_of(dataset[0]['data_samples']) is None


def test_a_video_in_several_views(media, tmp_path):
    item = videos(media, tmp_path, 'short.mp4', 'good.mp4')[1]
    record = plain_record(record_of(item['data_samples']))
    frames = np.array(record['frame_inds'])
    assert frames.shape == (2, 4)
    decoded = open_video(str(media / 'good.mp4'), 'pyav').get_batch(frames.reshape(-1).tolist())
    assert record['clip_hash'] == clip_hash(map(array_hash, decoded))
    content = (media / 'good.mp4').read_bytes()
    assert record['file_hash'] == hashlib.sha256(content).hexdigest()
    assert (record['sample_index'], record['path']) == (1, str(media / 'good.mp4'))
    assert (record['frame_size'], record['input_shape']) == ([48, 64], [6, 3, 4, 28, 28])
    assert record['input_hash'] == array_hash(item['inputs'].numpy())
    assert 'UniformSample(num_frames=4' in record['sampling']
    assert [step.partition('(')[0] for step in record['pipeline']] == [
        *('Resize', 'UniformCrops', 'PackInputs')
    ]
    assert 'unreadable' not in record and 'repeated' not in record


def test_workers_make_the_same_records(media, tmp_path):
    dataset = videos(media, tmp_path, 'good.mp4', 'text.mp4', 'short.mp4')
    found = []
    for workers in (0, 2):
        collate = FUNCTIONS.get('collate_clips')
        batches = DataLoader(dataset, 1, num_workers=workers, collate_fn=collate)
        samples = [sample for batch in batches for sample in batch['data_samples']]
        found.append([plain_record(record_of(sample)) for sample in samples])
    assert found[0] == found[1] and len(found[0]) == 3


def test_an_unreadable_file(media, tmp_path):
    dataset = videos(media, tmp_path, 'text.mp4', 'gone.mp4')
    broken, gone = (record_of(dataset[row]['data_samples']) for row in range(2))
    assert broken['unreadable'] and broken['file_hash'] == file_hash(media / 'text.mp4')
    assert gone['unreadable'] == 'file not found' and gone['file_hash'] is None


def test_damaged_frames_are_told_with_those_in_their_place(media, tmp_path):
    write_damaged_video(tmp_path / 'damaged.mp4', 20, damaged=7)
    every = dict(type='UniformSample', num_frames=20, mode='val')
    dataset = videos(tmp_path, tmp_path, 'damaged.mp4', sampling=every)
    assert record_of(dataset[0]['data_samples'])['repeated'] == [[7, 6]]


def test_a_folder_of_frames_counts_those_that_were_read(media, tmp_path):
    record = record_of(videos(media, tmp_path, 'frames', backend='frames')[0]['data_samples'])
    read = np.unique(record['frame_inds']) + 1
    assert 1 < len(read) < 12
    assert record['file_hash'] == files_hash(media / f'frames/img_{n:05}.jpg' for n in read)
    assert record['frame_times'] is None


def test_media_of_every_kind(tmp_path):
    write_media(tmp_path, 1)
    audio = dict(max_seconds=0.5, num_mel_bins=16, random_crop=False)
    image = captioned(tmp_path, 'image')
    video = captioned(tmp_path, 'video')
    alone = captioned(tmp_path, 'audio', audio=audio)
    beside = captioned(tmp_path, 'audio_video', audio=audio, audio_from_video=False)
    track = captioned(tmp_path, 'audio_video', audio=audio, trimmed_seconds=0.4)
    assert image['frame_inds'] == [[0]] and image['input_shape'] == [3, 1, 28, 28]
    assert len(video['frame_inds'][0]) == 2 and 'audio_hash' not in video
    assert alone['file_hash'] == file_hash(tmp_path / '0.wav')
    assert 'frame_inds' not in alone and alone['audio_hash']
    assert beside['audio_file_hash'] == file_hash(tmp_path / '0.wav')
    assert beside['file_hash'] == file_hash(tmp_path / '0.mp4')
    assert track['audio_seconds'] == [0.0, 0.4] and 'audio_file_hash' not in track
    assert track['sampling'].endswith('trimmed_seconds=0.4')


def test_questions_share_frames_and_keep_their_rows(tmp_path):
    write_media(tmp_path, 1)
    rows = [dict(video='0.mp4', question=f'is it {n}?', answer='yes') for n in range(2)]
    (tmp_path / 'rows.json').write_text(json.dumps(rows))
    shard = DATASETS.build(
        dict(
            type='DatasetShard', index=0, count=1,
            dataset=dict(
                type='QuestionAnswers', ann_file=str(tmp_path / 'rows.json'), test_mode=True,
                data_prefix=str(tmp_path), pipeline=[dict(type='PackMedia')],
                sampling=dict(type='IntervalSample', num_frames=2, mode='middle'),
            ),
        )
    )  # fmt: skip
    record_frames_of(shard)
    first, second = (plain_record(record_of(shard[row]['data_samples'])) for row in range(2))
    assert (first.pop('sample_index'), second.pop('sample_index')) == (0, 1)
    assert first == second


def test_a_changed_file_is_hashed_anew(tmp_path):
    path = tmp_path / 'x'
    hashes = set()
    for content in (b'one', b'three'):
        path.write_bytes(content)
        hashes.add(file_hash(path))
        assert file_hash(path) == hashlib.sha256(content).hexdigest()
    assert len(hashes) == 2
    assert file_hash(tmp_path) is None and file_hash(tmp_path / 'gone') is None


def test_the_hash_of_an_array_knows_shape_and_type_but_no_layout():
    array = np.arange(12, dtype=np.uint8).reshape(3, 4)
    others = [array.reshape(4, 3), array.astype(np.int16), array + 1]
    assert array_hash(array) not in map(array_hash, others)
    assert array_hash(array) == array_hash(np.asfortranarray(array))


def test_a_data_set_without_records_is_refused():
    with pytest.raises(ValueError, match='TensorDataset keeps no record'):
        record_frames_of(torch.utils.data.TensorDataset(torch.zeros(2)))
