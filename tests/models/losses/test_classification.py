"""Soft and smoothed cross-entropy beside torch's own."""

import pytest
import torch
from torch.nn.functional import cross_entropy

from internvideo.registry import MODELS


@pytest.mark.parametrize('smoothing', [0.0, 0.1])
def test_smoothing_equals_torch(smoothing):
    loss = MODELS.build(dict(type='LabelSmoothingCrossEntropy', smoothing=smoothing))
    logits, labels = torch.randn(6, 5), torch.arange(6) % 5
    expected = cross_entropy(logits, labels, label_smoothing=smoothing)
    torch.testing.assert_close(loss(logits, labels), expected)


@pytest.mark.parametrize('name', ['SoftTargetCrossEntropy', 'LabelSmoothingCrossEntropy'])
def test_soft_targets_equal_torch(name):
    logits, target = torch.randn(6, 5), torch.randn(6, 5).softmax(dim=1)
    actual = MODELS.build(dict(type=name))(logits.bfloat16(), target)
    assert actual.dtype == torch.float32
    torch.testing.assert_close(actual, cross_entropy(logits.bfloat16().float(), target))


def test_smoothing_out_of_range_is_refused():
    with pytest.raises(ValueError, match='smoothing'):
        MODELS.build(dict(type='LabelSmoothingCrossEntropy', smoothing=1.0))
