import numpy as np

from internvideo.datasets.inference.clip_loader import ArrayReader


def test_frames_that_change_their_size_become_like_the_first() -> None:
    frames = [np.full((4, 6, 3), 1, np.uint8), np.full((8, 9, 3), 2, np.uint8)]
    assert ArrayReader(frames).get_batch([0, 1]).shape == (2, 4, 6, 3)
    clip = ArrayReader(frames).get_batch([1, 0, 1])
    assert clip.shape == (3, 8, 9, 3)
    assert [image.max() for image in clip] == [2, 1, 2]
