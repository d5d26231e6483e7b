import pytest
import torch

from internvideo.checkpoint.adapters.kinetics import k710_rows, remap_k710_head


@pytest.mark.parametrize('num_classes', [400, 600, 700])
def test_label_maps_name_distinct_classes(num_classes):
    rows = k710_rows(num_classes)
    assert len(rows) == len(set(rows)) == num_classes
    weight, bias = remap_k710_head(torch.arange(710.0)[:, None], torch.arange(710.0), num_classes)
    assert weight[:, 0].tolist() == bias.tolist() == rows


def test_other_heads_stay_as_they_are():
    weight, bias = torch.zeros(174, 4), torch.zeros(174)
    assert remap_k710_head(weight, bias, 400) == (weight, bias)
    wide = torch.zeros(710, 4)
    assert remap_k710_head(wide, None, 174)[0] is wide
