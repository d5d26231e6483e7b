"""Mask generators hide the right number of tokens in the right pattern."""

import numpy as np
import pytest

from internvideo.models.masks import random_mask, tube_mask


def test_tubes_hide_the_same_squares_at_every_time():
    rows = tube_mask((4, 3, 5), 0.6, np.random.default_rng(0)).reshape(4, 15)
    assert (rows == rows[0]).all()
    assert rows[0].sum() == 9


def test_random_mask_counts_over_the_clip():
    assert random_mask((4, 3, 5), 0.61, np.random.default_rng(0)).sum() == 36


@pytest.mark.parametrize('ratio', [-0.1, 1.0])
def test_ratio_out_of_range_is_refused(ratio):
    with pytest.raises(ValueError, match='mask ratio'):
        random_mask((2, 2, 2), ratio)
