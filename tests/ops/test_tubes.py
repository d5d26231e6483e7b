"""Tubes of clips."""

import torch

from internvideo.ops.tubes import join_tubes, take_tubes

TUBE, GRID = (2, 3, 4), (2, 3, 2)


def test_tubes_are_counted_by_time_row_and_column_and_joined_again():
    video = torch.randn(2, 3, 4, 9, 8)
    tubes = take_tubes(video, TUBE)
    assert tubes.shape == (2, 12, 3, 2, 3, 4)
    assert torch.equal(tubes[:, 6 + 2 * 2 + 1], video[:, :, 2:4, 6:9, 4:8])
    assert torch.equal(join_tubes(tubes, GRID), video)


def test_some_tubes_are_those_of_all():
    video, positions = torch.randn(2, 3, 4, 9, 8), torch.tensor([[0, 5, 11], [7, 3, 2]])
    expected = torch.stack([take_tubes(video, TUBE)[i, positions[i]] for i in range(2)])
    assert torch.equal(take_tubes(video, TUBE, positions), expected)
