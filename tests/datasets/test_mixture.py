"""Mixtures of any data sets: policies, members of other kinds, and what is refused."""

import random
from collections import Counter

import pytest

from internvideo.datasets.base import BaseDataset
from internvideo.datasets.keyed import KeyedDataset
from internvideo.datasets.mixture import MediaMixture, Mixture
from internvideo.datasets.samplers.epoch_sampler import EpochSampler
from internvideo.datasets.samplers.media_batch_sampler import MediaBatchSampler
from internvideo.registry import DATASETS
from tests.datasets.media_world import PIPELINE, world_table, write_rows

SAMPLING = dict(type='IntervalSample', num_frames=2)


class Numbers:
    """A data set of another library: items are drawn, and asked for by row."""

    def __init__(self, length: int) -> None:
        self.length = length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, row: int) -> tuple[int, float]:
        if not isinstance(row, int):
            raise TypeError('rows are numbers')
        return row, random.random()


@pytest.fixture(scope='module')
def world(tmp_path_factory):
    return tmp_path_factory.mktemp('world')


@pytest.fixture(scope='module')
def table(world):
    """Corpora, questions and a data set of a plug-in, side by side."""
    asked = [dict(video=f'{i}.mp4', question='what is it', answer='a box') for i in range(3)]
    found = world_table(world, video=3, image=4)
    found['questions'] = dict(
        type='QuestionAnswers', ann_file=write_rows(world / 'asked.json', asked), data_prefix=world
    )
    return found | dict(own=dict(type='OwnVideos', folder=str(world)))


@DATASETS.register_module(force=True)
class OwnVideos(BaseDataset):
    """A data set as a plug-in writes it."""

    def __init__(self, folder: str, **options) -> None:
        super().__init__([dict(path='0.mp4'), dict(path='1.mp4')], data_prefix=folder, **options)


def mix(table, names, **fields) -> MediaMixture:
    return MediaMixture(
        table, names, SAMPLING, list(PIPELINE), audio=dict(max_seconds=0.5), **fields
    )


def test_any_registered_data_set_is_a_member(table) -> None:
    data = mix(table, ['videos', 'questions', 'own', 'images'])
    assert data.group_sizes == dict(image=4, video=8)
    names = [data.locate(0, row)[0] for row in range(len(data))]
    assert names == ['images'] * 4 + ['videos'] * 3 + ['questions'] * 3 + ['own'] * 2
    samples = [data[0, row]['data_samples'] for row in range(len(data))]
    assert samples[7].question == 'what is it' and samples[10].path.endswith('0.mp4')
    order = MediaBatchSampler(data, 4, seed=1)
    assert sorted(len({names[row] == 'images' for _, row in batch}) for batch in order) == [1] * 3


def test_a_batch_of_a_corpus_holds_it_alone(table) -> None:
    data = mix(table, dict(videos=1, questions=2, images=1), policy='corpus')
    assert data.group_sizes == dict(images=4, questions=6, videos=3)
    batches = list(MediaBatchSampler(data, 2, seed=0))
    kinds = [{data.locate(*key)[0] for key in batch} for batch in batches]
    assert Counter(next(iter(kind)) for kind in kinds) == dict(images=2, questions=3, videos=1)
    assert all(len(kind) == 1 for kind in kinds)


def test_foreign_data_sets_are_drawn_by_epoch_and_row() -> None:
    data = Mixture(dict(a=Numbers(4), b=Numbers(2)), policy='corpus')
    data.set_seed(3)
    random.seed(5)
    first, again = data[0, 1], data[0, 1]
    assert first == again and first[0] == 1
    assert data[1, 1][1] != first[1] != data[0, 5][1]
    expected = random.Random(5).random()
    assert random.random() == expected  # the caller's generator is left alone
    assert Mixture([Numbers(4)], 'modality').group_sizes == {'0': 4}


def test_the_loader_of_mmengine_is_completed_first() -> None:
    class Lazy(Numbers):
        def full_init(self) -> None:
            self.length = 3

    assert len(KeyedDataset(Lazy(0))) == 3


def test_settings_that_data_sets_share() -> None:
    class Told(Numbers):
        metainfo = dict(num_classes=3, classes=('a', 'b', 'c'))
        bad_samples_file = None

    class Other(Told):
        metainfo = dict(num_classes=3, classes=('x', 'y', 'z'))

    told, other = Told(2), Other(2)
    for each in (told, other):
        each.set_seed = lambda seed: None
    data = Mixture([told, other, Numbers(3)][:2])
    assert data.metainfo == dict(num_classes=3) and data.bad_samples_file is None
    data.bad_samples_file = 'bad.jsonl'
    assert told.bad_samples_file == other.bad_samples_file == 'bad.jsonl'
    assert Mixture([Numbers(3)]).bad_samples_file == ''  # so that no runner sets it


@pytest.mark.parametrize(
    ('fields', 'message'),
    [
        (dict(policy='random'), 'Mixture: policy must be one of weight, modality, corpus'),
        (dict(policy='corpus', rows_per_epoch=4), 'rows_per_epoch needs weights'),
        (dict(policy='corpus', weights=[2.0]), '1 weights for 2 data sets'),
        (dict(policy='corpus', weights=dict(a=1, c=1)), 'look at b, c'),
        (dict(policy='modality', weights=dict(a=1, b=0)), r'must be positive, got \[0\]'),
        (dict(weights=dict(a=2, b=1)), 'weights must sum to 1'),
    ],
)
def test_wrong_mixtures_are_refused(fields, message) -> None:
    with pytest.raises(ValueError, match=message):
        Mixture(dict(a=Numbers(3), b=Numbers(2)), **fields)


@pytest.mark.parametrize(
    ('entry', 'message'),
    [
        (dict(type='OwnVideos', folder='x', fodler=1), "unknown field 'fodler'; did you mean fol"),
        (dict(type='OwnVideos'), "table.own: .*'folder'"),
        (dict(type='QuestionAnswers', answer=1), "unknown field 'answer'; did you mean answers"),
        (dict(type='VideoDataset'), 'table.own: ann_file is missing'),
        (dict(type='OwnVideoz'), "table.own: 'OwnVideoz' is not a registered .* OwnVideos"),
    ],
)
def test_wrong_entries_are_named(entry, message) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        mix(dict(own=entry), ['own'])


def test_samplers_that_do_not_fit_a_mixture_are_refused() -> None:
    parts = dict(a=Numbers(3), b=Numbers(2))
    with pytest.raises(ValueError, match='a, b of the mixture share no batch: set train_data'):
        EpochSampler(Mixture(parts, 'corpus'))
    assert len(EpochSampler(Mixture(parts), seed=0)) == 5
    with pytest.raises(ValueError, match='batches of a mixture; Numbers is none'):
        MediaBatchSampler(Numbers(3), 1)
