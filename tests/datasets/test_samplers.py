"""Orders of samples under any number of processes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from internvideo.datasets.samplers import epoch_sampler
from internvideo.datasets.samplers.epoch_sampler import EpochSampler, EvalSampler


def ranks(kind: type, rows: int, world: int, **fields) -> list:
    """The sampler of each rank."""
    with pytest.MonkeyPatch.context() as patch:
        samplers = []
        for rank in range(world):
            patch.setattr(epoch_sampler, 'get_dist_info', lambda rank=rank: (rank, world))
            samplers.append(kind(range(rows), **fields))
        return samplers


@given(rows=st.integers(1, 40), world=st.integers(1, 7))
def test_evaluation_sees_each_row_once(rows: int, world: int) -> None:
    samplers = ranks(EvalSampler, rows, world)
    seen = [row for sampler in samplers for _, row in sampler]
    assert sorted(seen) == list(range(rows))
    assert [len(sampler) for sampler in samplers] == [len(list(s)) for s in samplers]


@given(rows=st.integers(7, 40), world=st.integers(1, 7), drop_last=st.booleans())
def test_training_ranks_are_even_and_disjoint(rows: int, world: int, drop_last: bool) -> None:
    samplers = ranks(EpochSampler, rows, world, seed=3, drop_last=drop_last)
    orders = [[row for _, row in sampler] for sampler in samplers]
    assert {len(order) for order in orders} == {len(samplers[0])}
    seen = [row for order in orders for row in order]
    if drop_last:
        assert len(seen) == len(set(seen)) > rows - world
    else:
        assert set(seen) == set(range(rows)) and len(seen) < rows + world


def test_the_order_is_the_permutation_dealt_in_turn() -> None:
    (whole,) = ranks(EpochSampler, 12, 1, seed=5)
    first, second = ranks(EpochSampler, 12, 2, seed=5)
    order = list(whole)
    assert [list(first), list(second)] == [order[0::2], order[1::2]]
    whole.set_epoch(1)
    assert [row for _, row in whole] != [row for _, row in order]
    assert {epoch for epoch, _ in whole} == {1}


def test_skip_starts_the_next_pass_later_once() -> None:
    (sampler,) = ranks(EpochSampler, 10, 1, seed=0)
    whole = list(sampler)
    sampler.skip(4)
    assert list(sampler) == whole[4:] and list(sampler) == whole
    with pytest.raises(ValueError, match='cannot skip 11 of 10'):
        sampler.skip(11)


def test_unshuffled_and_too_small() -> None:
    (sampler,) = ranks(EpochSampler, 3, 1, shuffle=False, seed=0)
    assert list(sampler) == [(0, 0), (0, 1), (0, 2)]
    with pytest.raises(ValueError, match='2 samples cannot feed 3 processes'):
        ranks(EpochSampler, 2, 3, seed=0)


def test_the_data_set_gets_the_seed() -> None:
    class Rows(list):
        def set_seed(self, seed: int) -> None:
            self.seed = seed

    rows = Rows(range(4))
    EpochSampler(rows, seed=11)
    assert rows.seed == 11


def test_peek_names_what_a_pass_will_yield():
    sampler = EpochSampler(range(11), seed=4)
    sampler.set_epoch(2)
    sampler.skip(3)
    ahead = sampler.peek(3, 5)
    assert ahead == [row for _, row in sampler][:5]
