"""Scores of several views of a video are averaged."""

import pytest
import torch

from internvideo.ops.views import merge_views


def test_merging_averages_probabilities_not_logits():
    logits = torch.tensor([[[10.0, 0.0], [0.0, 1.0], [0.0, 1.0]]])
    assert merge_views(logits).argmax() == 0
    assert merge_views(logits.bfloat16()).dtype == torch.float32
    with pytest.raises(ValueError, match='videos, views, classes'):
        merge_views(logits[0])
