"""One corpus: captions, items, intervals, boxes, and what cannot be read."""

import json
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.logging import MMLogger
from torch.utils.data import DataLoader

from internvideo.datasets.bad_samples import TooManyBadSamples
from internvideo.datasets.formats import row_index
from internvideo.datasets.media_text_dataset import MediaTextDataset
from tests.datasets.conftest import write_video as write_mute
from tests.datasets.media_world import FRAMES, write_media, write_rows

CAPTION = 'A Red ball, moving!'


@pytest.fixture(scope='module')
def world(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp('corpus')
    write_media(root, 3)
    write_mute(root / 'mute.mp4')
    (root / 'broken.jpg').write_bytes(b'nothing')
    return root


def corpus(world: Path, tmp_path: Path, rows: list[Any], **fields: Any) -> MediaTextDataset:
    fields.setdefault('sampling', dict(type='IntervalSample', num_frames=2, mode='middle'))
    fields.setdefault('pipeline', [dict(type='PackMedia')])
    fields.setdefault('audio', dict(max_seconds=0.5))
    return MediaTextDataset(write_rows(tmp_path / 'rows.json', rows), data_prefix=world, **fields)


def captions(dataset: MediaTextDataset, epochs: int = 12) -> list[set]:
    """Captions of every item, over some epochs."""
    facts = [[dataset[e, i]['data_samples'] for e in range(epochs)] for i in range(len(dataset))]
    return [{str(sample.caption) for sample in samples} for samples in facts]


@pytest.mark.parametrize(
    ('media', 'row', 'shapes'),
    [
        ('image', dict(image='0.jpg'), dict(video=(3, 1, 32, 32))),
        ('video', dict(video='0.mp4'), dict(video=(3, 2, 32, 32))),
        ('audio', dict(audio='0.wav', video='0.mp4'), dict(audio=(48, 64))),
        ('audio_video', dict(video='0.mp4'), dict(video=(3, 2, 32, 32), audio=(48, 64))),
    ],
)
def test_every_modality(media, row, shapes, world, tmp_path) -> None:
    rows = [row | dict(caption=CAPTION)]
    item = corpus(world, tmp_path, rows, media_type=media, max_text_length=40)[0]
    facts = item['data_samples']
    assert {name: tuple(tensor.shape) for name, tensor in item['inputs'].items()} == shapes
    assert (facts.media_type, facts.caption) == (media, 'a red ball moving')
    assert (facts.max_text_length, facts.sample_index) == (40, 0)
    assert facts.path == str(
        world / row[media.split('_')[0] if media != 'audio_video' else 'video']
    )


THREE = ['one red ball', 'two blue balls', 'three']


@pytest.mark.parametrize(
    ('row', 'fields', 'expected'),
    [
        (dict(caption=THREE), {}, [{'one red ball', 'two blue balls'}]),
        (dict(captions=THREE), dict(filter_captions=False), [set(THREE)]),
        (dict(caption=THREE), dict(paragraph=True), [{' '.join(THREE)}]),
        (dict(caption=THREE), dict(multi_text=True), [{THREE[0]}, {THREE[1]}]),
        (
            dict(video_caption='A tee.', audio_caption=['beep beep'], note='x y'),
            dict(caption_choice='avs_all'),
            [{str(dict(video_caption='a tee', audio_caption='beep beep'))}],
        ),
    ],
)
def test_captions_are_chosen(row, fields, expected, world, tmp_path) -> None:
    assert captions(corpus(world, tmp_path, [row | dict(video='0.mp4')], **fields)) == expected


def test_prompts_are_drawn_around_the_caption(world, tmp_path) -> None:
    rows = [dict(video='0.mp4', caption='Riding {a} horse')]
    (found,) = captions(corpus(world, tmp_path, rows, prompt='kinetics'))
    assert len(found) > 3 and all('riding {a} horse' in text for text in found)
    assert all(text == text.lower() and not text.endswith('.') for text in found)


def test_items_of_one_file_or_of_one_caption_share_their_number(world, tmp_path) -> None:
    rows = [dict(video=f'{i}.mp4', caption=c) for i, c in [(0, THREE[:2]), (1, THREE[:1])]]
    rows.append(dict(video='0.mp4', caption='four of them'))

    def ids(**fields: Any) -> list[int]:
        dataset = corpus(world, tmp_path, rows, multi_text=True, **fields)
        return [dataset[i]['data_samples'].pair_id for i in range(len(dataset))]

    first, again, other, last = ids()
    assert first == again == last != other and 0 <= first < 2**63
    first, second, third, _ = ids(multi_vision=True)
    assert first == third != second


def test_short_and_malformed_rows_are_left_out_and_said(
    world, tmp_path, caplog, monkeypatch
) -> None:
    rows = [dict(video='0.mp4', caption=c) for c in (CAPTION, 'word', ' . ', 7)]
    rows += [dict(video='0.mp4'), 'x', dict(caption=CAPTION)]
    monkeypatch.setattr(MMLogger.get_current_instance(), 'handlers', [caplog.handler])
    assert len(corpus(world, tmp_path, rows)) == 1
    assert '6 of 7 rows are left out' in caplog.text
    with pytest.raises(ValueError, match=r'none of 6 rows can be used, such as .*rows\.json:1: '):
        corpus(world, tmp_path, rows[1:])


@pytest.mark.parametrize(
    ('row', 'fields', 'reason'),
    [
        (dict(video='gone.mp4', caption=CAPTION), {}, 'file not found'),
        (dict(video='0.mp4', caption=' . '), dict(filter_captions=False), 'caption is empty'),
        (dict(video='0.mp4'), dict(filter_captions=False), 'no caption'),
        (dict(video='0.mp4', caption=3), dict(filter_captions=False), 'caption is no text but'),
        ('0.mp4', dict(filter_captions=False), 'no object but'),
        (dict(image='broken.jpg', caption=CAPTION), dict(media_type='image'), 'not an image'),
        (dict(video='mute.mp4', caption=CAPTION), dict(media_type='audio_video'), 'no audio track'),
        (
            dict(video='0.mp4', caption=CAPTION),
            dict(media_type='audio_video', audio_from_video=False),
            'names no `audio`',
        ),
        (
            dict(image='0.jpg', caption=CAPTION, crop_bbox=[40, 0, 50, 9]),
            dict(media_type='image'),
            'holds nothing of 32x32',
        ),
        (
            dict(video='0.mp4', caption=CAPTION, video_start_frame=50, video_end_frame=60),
            dict(clip_from_video=True),
            'no frames 50 to',
        ),
    ],
)
def test_what_cannot_be_read_is_replaced_and_listed(row, fields, reason, world, tmp_path) -> None:
    log = tmp_path / 'bad.jsonl'
    good = dict(video='0.mp4', image='0.jpg', audio='0.wav', caption=CAPTION)
    dataset = corpus(
        world, tmp_path, [row, good], bad_samples_file=log, max_bad_share=None, **fields
    )
    assert dataset[0]['data_samples'].sample_index == 1
    records = [json.loads(line) for line in log.read_text().splitlines()]
    assert records and all(reason in record['reason'] for record in records)
    with pytest.raises(TooManyBadSamples, match=reason):
        corpus(world, tmp_path, [row], max_bad_share=None, **fields)[0]


def brightness(item: dict) -> list[int]:
    """Numbers of the frames of a clip of the world, read off their brightness."""
    bottom = item['inputs']['video'][:, :, 24:].float().mean(dim=(0, 2, 3))
    return [round(value / 16) for value in bottom.tolist()]


@pytest.mark.parametrize(
    ('row', 'fields', 'frames'),
    [
        ({}, {}, [2, 8]),
        ({}, dict(trimmed_seconds=0.6), [1, 4]),
        ({}, dict(trimmed_seconds=60), [2, 8]),
        (dict(video_start_frame=4, video_end_frame=9), dict(clip_from_video=True), [5, 7]),
        (dict(video_start_frame=4), dict(clip_from_video=True), [5, 9]),
        (dict(video_start_frame=9, video_end_frame=99), dict(clip_from_video=True), [9, 10]),
        (dict(video_start_frame=4, video_end_frame=9), {}, [2, 8]),
    ],
)
def test_intervals_of_videos(row, fields, frames, world, tmp_path) -> None:
    rows = [row | dict(video='0.mp4', caption=CAPTION)]
    assert brightness(corpus(world, tmp_path, rows, **fields)[0]) == frames


def test_the_audio_of_a_clip_is_that_of_its_frames(world, tmp_path) -> None:
    rows = [dict(video='0.mp4', caption=CAPTION, video_start_frame=2, video_end_frame=4)]
    fields = dict(media_type='audio_video', audio=dict(max_seconds=2))
    whole = corpus(world, tmp_path, rows, **fields)[0]['inputs']['audio']
    part = corpus(world, tmp_path, rows, clip_from_video=True, **fields)[0]['inputs']['audio']
    # 0.3 of 1.2 seconds, then nothing but zeros.
    assert part[:28].any() and not part[28:].any()
    assert torch.equal(part[2:26], whole[22:46])
    assert len(whole) == 198 and FRAMES == 12


def test_boxes_are_cut_out(world, tmp_path) -> None:
    rows = [dict(image='0.jpg', caption=CAPTION, crop_bbox=[4, 16, 14, 99])]
    item = corpus(world, tmp_path, rows, media_type='image')[0]
    whole = corpus(world, tmp_path, [dict(rows[0], crop_bbox=None)], media_type='image')[0]
    assert torch.equal(item['inputs']['video'], whole['inputs']['video'][..., 16:32, 4:14])


@pytest.mark.parametrize(
    ('fields', 'message'),
    [
        (dict(media_type='vidoe'), 'media_type must be one of'),
        (dict(caption_choice='all'), 'caption_choice must be one of'),
        (dict(prompt='none'), 'no prompt templates'),
        (dict(multi_text=True, paragraph=True), 'multi_text=True needs'),
        (dict(trimmed_seconds=0), 'trimmed_seconds must be positive'),
        (dict(clip_from_video=True, sampling=dict), 'needs a sampling with `num_frames`'),
    ],
)
def test_settings_are_checked(fields, message, world, tmp_path) -> None:
    with pytest.raises(ValueError, match=message):
        corpus(world, tmp_path, [dict(video='0.mp4', caption=CAPTION)], **fields)


@pytest.mark.parametrize('cached', [True, False])
def test_workers_give_the_same_items(cached, world, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    if cached:
        monkeypatch.setattr(row_index, 'MIN_CACHED_BYTES', 0)
    rows = [dict(video=f'{i}.mp4', caption=THREE) for i in range(3)]
    dataset = corpus(world, tmp_path, rows, multi_text=True)
    dataset.set_seed(4)
    assert len(pickle.dumps(dataset)) < 5000
    loader = DataLoader(
        dataset, None, sampler=[(2, 5), (0, 1)], num_workers=1, multiprocessing_context='spawn'
    )
    for key, item in zip([(2, 5), (0, 1)], loader, strict=True):
        assert torch.equal(item['inputs']['video'], dataset[key]['inputs']['video'])
        assert item['data_samples'].caption == dataset[key]['data_samples'].caption
