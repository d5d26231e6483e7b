"""Mixtures of corpora and the order of their batches."""

from collections import Counter
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mmengine.logging import MMLogger

from internvideo.datasets.collate import collate_media
from internvideo.datasets.mixture import MediaMixture
from internvideo.datasets.mixture_policies import WeightedRows
from internvideo.datasets.samplers import media_batch_sampler
from internvideo.datasets.samplers.media_batch_sampler import MediaBatchSampler
from internvideo.engine.console import loader_facts
from internvideo.engine.learning_rate_scaling import batch_size_of
from internvideo.engine.runner import Runner
from tests.datasets.media_world import mixture, world_table
from tests.processes import in_processes


@pytest.fixture(scope='module')
def table(tmp_path_factory):
    return world_table(tmp_path_factory.mktemp('world'), video=3, image=5, audio_video=2, audio=2)


def build(table: dict, **fields) -> MediaMixture:
    config = mixture(table, **fields)
    config.pop('type')
    return MediaMixture(**config)


@given(
    lengths=st.lists(st.integers(0, 9), min_size=1, max_size=4),
    weights=st.lists(st.sampled_from([0.5, 1.0, 1.5, 2.0, 3.0]), min_size=4, max_size=4),
)
def test_weighted_rows_come_as_often_as_published(lengths, weights) -> None:
    weights = weights[: len(lengths)]
    rows = WeightedRows(lengths, weights)
    places = [rows.locate(place) for place in range(len(rows))]
    repeated = sum(weights) > len(weights)
    expected = [
        (number, int(i // (weight if repeated else 1)))
        for number, (length, weight) in enumerate(zip(lengths, weights, strict=True))
        for i in range(int(length * (weight if repeated else 1)))
    ]
    assert [place[:2] for place in places] == expected
    assert len(set(places)) == len(places)  # no two are drawn alike


def test_media_are_grouped_in_the_order_of_their_names(table) -> None:
    data = build(table)
    assert data.group_sizes == dict(audio=2, audio_video=2, image=5, video=3)
    assert len(data) == 12
    names = [data.locate(0, row)[0] for row in range(len(data))]
    assert names == ['audios'] * 2 + ['audio_videos'] * 2 + ['images'] * 5 + ['videos'] * 3
    for row, name in enumerate(names):
        assert data.get_data_info(row)['path'] == data[row]['data_samples'].path
        assert data[row]['data_samples'].media_type == name[:-1]


def test_repeated_items_are_drawn_anew(table) -> None:
    data = build({'videos': table['videos']}, mix=dict(videos=2))
    first, second, other = (data[0, row] for row in (0, 1, 2))
    assert first['data_samples'].path == second['data_samples'].path != other['data_samples'].path
    assert not torch.equal(first['inputs']['video'], second['inputs']['video'])
    assert not torch.equal(data[1, 0]['inputs']['video'], second['inputs']['video'])


def test_weights_without_effect_are_said(table, caplog, monkeypatch) -> None:
    monkeypatch.setattr(MMLogger.get_current_instance(), 'handlers', [caplog.handler])
    assert len(build(table, mix=dict(videos=0.5, images=1))) == 8
    assert "weights of video corpora {'videos': 0.5}" in caplog.text


@pytest.mark.parametrize(
    ('mix', 'message'),
    [
        ([], '`mix` chooses no corpus; known: videos'),
        (['vidoes'], r"mix: 'vidoes' is not in the table; did you mean videos"),
        (['zzz'], 'known: absent, audio_videos, audios'),
        (dict(videos=0), 'the weight of videos must be positive'),
        (['broken'], r"table\.broken: unknown field 'media_tpye'; did you mean media_type"),
        (['absent'], r'table\.absent: annotation file not found'),
        (['nothing'], r'table\.nothing: ann_file is missing'),
    ],
)
def test_wrong_mixtures_are_named(mix, message, table) -> None:
    wrong = dict(
        broken=dict(ann_file='x.json', media_tpye='video'),
        absent=dict(ann_file='x.json'),
        nothing=dict(media_type='image'),
    )
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        build(table | wrong, mix=mix)


# ----------------------------------------------------------------- order of batches


def samplers(sizes: dict, world: int, **fields) -> list[MediaBatchSampler]:
    """The sampler of each rank."""
    found = []
    with pytest.MonkeyPatch.context() as patch:
        for rank in range(world):
            patch.setattr(media_batch_sampler, 'get_dist_info', lambda rank=rank: (rank, world))
            found.append(MediaBatchSampler(SimpleNamespace(group_sizes=sizes), **fields))
    return found


@given(
    rows=st.lists(st.integers(12, 40), min_size=1, max_size=3),
    world=st.integers(1, 3),
    batch=st.integers(1, 4),
    epoch=st.integers(0, 3),
)
def test_ranks_draw_one_modality_and_share_no_row(rows, world, batch, epoch) -> None:
    sizes = {f'group{number}': count for number, count in enumerate(rows)}
    orders = samplers(sizes, world, batch_size=batch, seed=7)
    for order in orders:
        order.set_epoch(epoch)
    ends = [sum(rows[: number + 1]) for number in range(len(rows))]

    def group_of(batch_rows: list) -> int:
        (number,) = {next(i for i, end in enumerate(ends) if row < end) for _, row in batch_rows}
        return number

    drawn = [list(order) for order in orders]
    assert len({tuple(map(group_of, batches)) for batches in drawn}) == 1
    counts = Counter(map(group_of, drawn[0]))
    assert counts == {i: n // world // batch for i, n in enumerate(rows)}
    every = [key for batches in drawn for batch_rows in batches for key in batch_rows]
    assert len(every) == len(set(every)) and {key[0] for key in every} == {epoch}
    assert all(len(order) == len(batches) for order, batches in zip(orders, drawn, strict=True))


def test_skip_and_peek_look_at_the_same_batches() -> None:
    (order,) = samplers(dict(image=9, video=8), 1, batch_size=dict(image=3, video=2), seed=1)
    whole = list(order)
    order.skip(4)
    unused = iter(order)  # loaders with workers make one more than they use
    assert list(order) == whole[4:] and list(order) == whole
    del unused
    assert [order.peek(i) for i in range(7)] == [[row for _, row in rows] for rows in whole]
    assert order.peek(7) == []
    assert order.samples_before(7) == 17 and order.samples_before(0) == 0
    with pytest.raises(ValueError, match='cannot skip 8 of 7'):
        order.skip(8)


@pytest.mark.parametrize(
    ('sizes', 'batch_size', 'message'),
    [
        (dict(image=9, video=8), dict(image=3), 'holds video; .*batch_size says'),
        (dict(image=9), 0, 'holds image'),
        (dict(image=9, video=1), 2, '1 rows of video give no batch of 2 on 1 process'),
    ],
)
def test_batches_that_cannot_be_made(sizes, batch_size, message) -> None:
    with pytest.raises(ValueError, match=message):
        samplers(sizes, 1, batch_size=batch_size)


def drawn_by(rank: int, table: dict) -> list:
    """(shape of the pictures, paths) of the batches of a loader of this process."""
    loader = Runner.build_dataloader(
        dict(
            num_workers=0,
            dataset=mixture(table),
            batch_sampler=dict(type='MediaBatchSampler', batch_size=1),
            collate_fn=dict(type='collate_media'),
        ),
        seed=5,
    )
    return [
        (sorted(batch['inputs']), [sample.path for sample in batch['data_samples']])
        for batch in loader
    ]


def test_processes_of_a_group_take_turns_over_a_mixture(table) -> None:
    first, second = in_processes(2, drawn_by, table)
    assert [kinds for kinds, _ in first] == [kinds for kinds, _ in second]
    items = [(*kinds, *names) for kinds, names in first + second]
    assert len(items) == len(set(items)) == 10


def test_loaders_are_described_modality_by_modality(table) -> None:
    data = build(table, mix=['images', 'videos'])
    order = MediaBatchSampler(data, dict(image=2, video=3), seed=0)
    facts = loader_facts(SimpleNamespace(dataset=data, batch_sampler=order))
    assert facts == (
        '8 samples, on each process 2 batches of 2 (image, 5), 1 batches of 3 (video, 3)'
    )
    assert collate_media([data[key] for key in next(iter(order))])['inputs']['video'].ndim == 5


@pytest.mark.parametrize(
    ('loader', 'size'),
    [
        (dict(batch_size=4), 4),
        (dict(batch_sampler=dict(batch_size=8)), 8),
        (dict(batch_sampler=dict(batch_size=dict(image=3, video=3))), 3),
    ],
)
def test_rates_are_scaled_by_one_batch_size(loader, size) -> None:
    assert batch_size_of(loader) == size
    with pytest.raises(ValueError, match='lr_scaling'):
        batch_size_of(dict(batch_sampler=dict(batch_size=dict(image=3, video=4))))


def test_a_share_of_an_epoch_is_a_random_part_of_every_group() -> None:
    data = SimpleNamespace(group_sizes=dict(image=40, video=21))
    whole, half = (MediaBatchSampler(data, 5, seed=3, share=share) for share in (1.0, 0.5))
    assert (whole.num_batches, half.num_batches) == (dict(image=8, video=4), dict(image=4, video=2))
    visits = []
    for epoch in range(3):
        half.set_epoch(epoch)
        rows = [row for batch in half for _, row in batch]
        assert len(rows) == len(set(rows)) == 30
        assert sum(row < 40 for row in rows) == 20
        visits.append(frozenset(rows))
    assert len(set(visits)) == 3


@pytest.mark.parametrize('share', [0.0, -0.5, 1.5])
def test_a_share_lies_between_nothing_and_all(share) -> None:
    with pytest.raises(ValueError, match=rf'share must be in .*got {share}'):
        MediaBatchSampler(SimpleNamespace(group_sizes=dict(image=4)), 2, share=share)


def test_a_share_too_small_for_a_batch_is_told() -> None:
    with pytest.raises(ValueError, match=r'no batch of 4 .*or raise its share 0\.1'):
        MediaBatchSampler(SimpleNamespace(group_sizes=dict(image=20)), 4, share=0.1)
