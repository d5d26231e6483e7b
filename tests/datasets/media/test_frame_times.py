from fractions import Fraction

import numpy as np
import pytest

from internvideo.datasets.media.frame_times import seconds_of


@pytest.mark.parametrize('base', ['1/90000', '1/10240', '1/1000', '1/49', '1001/30000', '2/5'])
def test_seconds_are_rounded_once(base):
    base = Fraction(base)
    ticks = np.arange(0, 5000, 7)
    exact = [float(tick * base) for tick in ticks.tolist()]
    found = seconds_of(ticks, float(base))
    if base.numerator == 1:
        assert found.tolist() == exact
    np.testing.assert_allclose(found, exact, rtol=1e-15)


def test_a_clock_without_a_unit_stands_still():
    assert seconds_of(5, 0.0) == 0.0
