"""Several lists in one: shares, order of the rows of a part, and wrong weights."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from internvideo.datasets.mixture import MixedDataset
from internvideo.datasets.samplers.epoch_sampler import EpochSampler


class Rows:
    """A data set whose items say where they come from."""

    def __init__(self, name: str, length: int, num_repeats: int = 1) -> None:
        self.name, self.length, self.num_repeats = name, length, num_repeats

    def set_seed(self, seed: int) -> None:
        self.seed = seed

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, key: tuple[int, int]) -> tuple[str, int, int]:
        return self.name, *key


def test_without_weights_an_epoch_is_every_row_of_every_part() -> None:
    mix = MixedDataset([Rows('a', 3), Rows('b', 2)])
    assert [mix[4, row] for row in range(len(mix))] == [
        ('a', 4, 0), ('a', 4, 1), ('a', 4, 2), ('b', 4, 0), ('b', 4, 1)
    ]  # fmt: skip


@given(
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=3),
    rows=st.integers(20, 50),
    epochs=st.integers(1, 4),
)
def test_no_row_comes_again_before_all_others_of_its_part(lengths, rows, epochs) -> None:
    weights = [1 / len(lengths)] * len(lengths)
    mix = MixedDataset([Rows(str(i), n) for i, n in enumerate(lengths)], weights, rows)
    assert len(mix) == rows and max(mix.rows.sizes) - min(mix.rows.sizes) <= 1
    for number, (length, size) in enumerate(zip(lengths, mix.rows.sizes, strict=True)):
        items = [mix[epoch, row] for epoch in range(epochs) for row in range(rows)]
        drawn = [item[1:] for item in items if item[0] == str(number)]
        assert len(set(drawn)) == len(drawn) == size * epochs
        counts = Counter(row for _, row in drawn)
        assert len(counts) == min(length, size * epochs)
        assert max(counts.values()) - min(counts.values()) <= (size * epochs % length > 0)


def test_sampler_and_shares() -> None:
    mix = MixedDataset([Rows('a', 90), Rows('b', 10)], weights=[0.3, 0.7])
    sampler = EpochSampler(mix, seed=3)
    assert Counter(mix[key][0] for key in sampler) == dict(a=30, b=70)
    assert mix.parts[0].seed == 3 != mix.parts[1].seed


@pytest.mark.parametrize(
    ('fields', 'message'),
    [
        (dict(weights=[0.5, 0.4]), r'must sum to 1, \[0\.5, 0\.4\] sum to 0\.9'),
        (dict(weights=[1.5, -0.5]), r'must be positive, got \[-0\.5\]'),
        (dict(weights=[float('nan'), 0.5]), 'must be positive'),
        (dict(weights=[1.0]), '1 weights for 2 data sets'),
        (dict(weights=[0.999, 0.001]), 'every part needs one'),
        (dict(rows_per_epoch=5), 'rows_per_epoch needs weights'),
        (dict(num_repeats=2), r'num_repeats=2, its parts have \[1, 1\]'),
        (dict(datasets=[]), '`datasets` is empty'),
    ],
    ids=str,
)
def test_wrong_mixes_are_refused(fields, message: str) -> None:
    parts = dict(datasets=[Rows('a', 30), Rows('b', 10)])
    with pytest.raises(ValueError, match=message):
        MixedDataset(**parts | fields)
