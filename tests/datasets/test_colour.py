import random

import numpy as np
import pytest

from internvideo.datasets.transforms.colour import RandomBrightness, ShuffleChannels


@pytest.fixture
def imgs() -> np.ndarray:
    return np.random.RandomState(0).randint(0, 256, (4, 6, 8, 3)).astype(np.uint8)


def test_channels_move_alike_in_every_frame(imgs):
    random.seed(1)
    shuffled = ShuffleChannels()(dict(imgs=imgs))['imgs']
    orders = [
        [c for c in range(3) if (shuffled[n, ..., k] == imgs[n, ..., c]).all()]
        for n in range(4)
        for k in range(3)
    ]
    assert orders == orders[:3] * 4
    assert sorted(order[0] for order in orders[:3]) == [0, 1, 2]


def test_no_shuffle_without_probability(imgs):
    assert ShuffleChannels(prob=0.0)(dict(imgs=imgs))['imgs'] is imgs


@pytest.mark.parametrize(('scale', 'shift'), [(2.0, 0.0), (0.5, 10.0), (1.0, -300.0)])
def test_brightness_is_linear_and_cut(imgs, scale, shift):
    change = RandomBrightness((scale, scale), (shift, shift))
    expected = np.clip(np.rint(imgs * scale + shift), 0, 255)
    np.testing.assert_array_equal(change(dict(imgs=imgs))['imgs'], expected)
