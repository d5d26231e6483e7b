"""Pictures of reconstructions: rows, enlargement, what is said below."""

import numpy as np
import pytest
import torch
from PIL import Image

from internvideo.structures.reconstruction import Reconstruction
from internvideo.visualization.reconstructions import (
    GAP,
    HIDDEN_GREY,
    LINE,
    draw_reconstructions,
    write_picture,
)


def reconstruction(size=36, frames=2, count=1, own=False):
    pixels = torch.zeros(count, 3, frames, size, size)
    hidden = torch.zeros(count, frames, size, size, dtype=torch.bool)
    hidden[..., : size // 2] = True
    made = torch.where(hidden[:, None], torch.ones_like(pixels), pixels)
    return Reconstruction(pixels, made, hidden, torch.full((count,), 0.25), own)


def colours(picture, row, side=72):
    """Values of the left and right half of a frame in a row, from the right border."""
    y = 12 + LINE + row * (side + GAP) + side // 2
    x = picture.shape[1] - 12 - GAP - side
    return [int(picture[y, x + side * k // 4, 0]) for k in (1, 3)]


def test_rows_are_input_visible_part_and_reconstruction():
    picture = draw_reconstructions(reconstruction(), ['clip'])
    grey = round(255 * HIDDEN_GREY)
    assert [colours(picture, row) for row in range(3)] == [[0, 0], [grey, 0], [255, 0]]


@pytest.mark.parametrize(('size', 'side'), [(36, 72), (30, 90), (100, 100)])
def test_small_frames_are_enlarged_by_a_whole_factor(size, side):
    one, two = (
        draw_reconstructions(reconstruction(size, frames), ['clip']).shape[1] for frames in (1, 2)
    )
    assert two - one == side + GAP


def test_the_page_says_so_where_patches_have_their_own_statistics():
    plain, normalised = (
        draw_reconstructions(reconstruction(own=own), ['clip']) for own in (False, True)
    )
    assert normalised.shape[0] > plain.shape[0]
    assert (normalised[plain.shape[0] - 12 :] < 250).any()


def test_pictures_are_written_whole(tmp_path):
    picture = draw_reconstructions(reconstruction(count=2), ['one', 'two'])
    write_picture(picture, tmp_path / 'a.png')
    assert np.array_equal(np.asarray(Image.open(tmp_path / 'a.png')), picture)
    assert [path.name for path in tmp_path.iterdir()] == ['a.png']
