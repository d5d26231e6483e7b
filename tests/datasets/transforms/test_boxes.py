"""Boxes follow the frames: a box, moved, bounds the moved picture of it."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from internvideo.datasets.transforms import rand_augment
from internvideo.datasets.transforms.boxes import ClipBoxes, moved, warp_boxes
from internvideo.datasets.transforms.geometry import (
    CenterCrop,
    MultiScaleCrop,
    Pad,
    RandomFlip,
    RandomResizedCrop,
    Resize,
    ResizeSquare,
    UniformCrops,
)
from internvideo.datasets.transforms.packing import PackInputs, PackMedia

HEIGHT, WIDTH = 48, 64
TRANSFORMS = {
    'resize': Resize(short_side=96),
    'resize_fixed': Resize(size=(72, 80)),
    'square': ResizeSquare(70),
    'square_smooth': ResizeSquare(70, antialias=True),
    'center_crop': CenterCrop((40, 50)),
    'three_crops': UniformCrops(3),
    'one_crop': UniformCrops(1),
    'resized_crop': RandomResizedCrop(64, scale=(0.4, 1.0)),
    'resized_crop_bicubic': RandomResizedCrop((64, 72), scale=(0.4, 1.0), interpolation='bicubic'),
    'multi_scale': MultiScaleCrop(64),
    'flip': RandomFlip(1.0),
    'pad': Pad(size=(60, 70)),
    'pad_center': Pad(divisor=25, center=True),
    'rand_augment': None,
}


@st.composite
def boxes(draw, least: int = 12) -> tuple[int, int, int, int]:
    """A box in whole pixels, not too small to be found again."""
    left = draw(st.integers(0, WIDTH - least))
    top = draw(st.integers(0, HEIGHT - least))
    right = draw(st.integers(left + least, WIDTH))
    return left, top, right, draw(st.integers(top + least, HEIGHT))


def picture(box: tuple[int, ...], views: int = 1, frames: int = 2) -> dict:
    """A sample whose frames are white in the box and black elsewhere."""
    imgs = np.zeros((views * frames, HEIGHT, WIDTH, 3), np.uint8)
    imgs[:, box[1] : box[3], box[0] : box[2]] = 255
    places = np.array([[box]] * views, np.float64)
    return dict(imgs=imgs, num_views=views, clip_len=frames, gt_boxes=places, path='x.mp4')


def bounds(image: np.ndarray) -> list[int]:
    """Left, top, right and bottom of what is white; nothing if that is too thin to say."""
    ys, xs = np.nonzero(image[..., 0] > 127)
    if len(xs) == 0 or min(np.ptp(xs), np.ptp(ys)) < 2:
        return []
    return [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]


def check(sample: dict, tolerance: float = 1.0) -> None:
    views = sample['imgs'].reshape(sample['num_views'], -1, *sample['imgs'].shape[1:])
    found = ClipBoxes(drop=False)(dict(sample))['gt_boxes']
    assert len(found) == len(views)
    for view, (box,) in zip(views, found, strict=True):
        seen = bounds(view[0])
        if seen:
            assert np.abs(box - seen).max() <= tolerance, (box, seen)
        else:
            assert np.isnan(box).all() or min(box[2:] - box[:2]) <= 4


@pytest.mark.parametrize('name', sorted(TRANSFORMS))
@settings(max_examples=30, deadline=None)
@given(box=boxes(), views=st.integers(1, 2), seed=st.integers(0, 99))
def test_a_box_bounds_the_picture_of_itself(name, box, views, seed) -> None:
    random.seed(seed), np.random.seed(seed)
    sample = picture(box, views)
    transform = TRANSFORMS[name]
    if transform is None:  # one operation, since tonal ones may make all of it black or white
        operation = random.choice(sorted(rand_augment.GEOMETRIC))
        matrix = rand_augment.geometric_matrix(sample['imgs'], operation, 7.0, seed % 2 == 0)
        sample['imgs'] = rand_augment.affine(255 - sample['imgs'], matrix)
        sample['imgs'] = np.where(sample['imgs'] < 64, 255, 0).astype(np.uint8)
        warp_boxes(sample, matrix)
    else:
        sample = transform(sample)
    check(sample, tolerance=2.0 if name == 'rand_augment' else 1.0)


@settings(max_examples=20, deadline=None)
@given(box=boxes(least=20), seed=st.integers(0, 99))
def test_a_whole_pipeline(box, seed) -> None:
    random.seed(seed), np.random.seed(seed)
    sample = picture(box)
    for transform in (Resize(short_side=60), RandomResizedCrop(56, (0.5, 1.0)), RandomFlip(0.5)):
        sample = transform(sample)
    check(sample, tolerance=1.5)


def test_rand_augment_moves_boxes_as_it_moves_frames(monkeypatch) -> None:
    monkeypatch.setattr(np.random, 'choice', lambda *_: ['Invert', 'TranslateXRel', 'ShearY'])
    monkeypatch.setattr(random, 'random', lambda: 0.0)
    sample = rand_augment.RandAugment('rand-m10-n3-mstd0.0-inc1')(picture((20, 10, 40, 30)))
    # The place that is sampled lies 0.45 widths to the right, then 0.3 of x below.
    moved_left = np.array([20, 40]) - 0.45 * WIDTH
    left, top, right, bottom = sample['gt_boxes'][0, 0]
    assert (left, right) == pytest.approx(tuple(moved_left))
    assert (top, bottom) == pytest.approx((10 - 0.3 * right, 30 - 0.3 * left))


def test_kernels_of_torchvision_give_the_same_boxes() -> None:
    import torch
    from torchvision.transforms.v2 import functional
    from torchvision.tv_tensors import BoundingBoxFormat

    given_boxes = np.random.RandomState(0).uniform(8, 40, (7, 4))
    given_boxes[:, 2:] += given_boxes[:, :2]
    tensor, form = torch.from_numpy(given_boxes), BoundingBoxFormat.XYXY
    scaled, _ = functional.resize_bounding_boxes(
        tensor, (HEIGHT, WIDTH), [96, 100], clamping_mode=None
    )
    np.testing.assert_allclose(moved(given_boxes, (100 / WIDTH, 96 / HEIGHT)), scaled)
    cropped, _ = functional.crop_bounding_boxes(tensor, form, 3, 5, 20, 20, clamping_mode=None)
    np.testing.assert_allclose(moved(given_boxes, shift=(-5, -3)), cropped)
    mirrored = functional.horizontal_flip_bounding_boxes(tensor, form, (HEIGHT, WIDTH))
    np.testing.assert_allclose(moved(given_boxes, (-1, 1), (WIDTH, 0)), mirrored)
    sample = dict(gt_boxes=given_boxes)
    warp_boxes(sample, rand_augment.rotation(HEIGHT, WIDTH, 20.0))
    turned = functional.affine_bounding_boxes(
        *(tensor, form, (HEIGHT, WIDTH), -20.0, [0, 0], 1.0, [0.0, 0.0]), clamping_mode=None
    )
    np.testing.assert_allclose(sample['gt_boxes'], turned, atol=1e-3)


def test_objects_that_left_the_picture() -> None:
    inside, half, outside = [1, 2, 9, 8], [-10, 0, 10, 10], [-9, -9, -1, -1]
    sample = picture((0, 0, 9, 9)) | dict(
        gt_boxes=np.array([[inside, half, outside]], np.float64),
        boxes=np.array([[half, outside]], np.float64),
        gt_box_labels=[4, 5, 6],
        gt_box_ids=[0, 1, 2],
    )
    found = ClipBoxes()(dict(sample))
    assert found['gt_boxes'].tolist() == [[inside, [0, 0, 10, 10]]]
    assert np.isnan(found['boxes'][0, 1]).all() and found['boxes'].shape == (1, 2, 4)
    assert (found['gt_box_labels'].tolist(), found['gt_box_ids'].tolist()) == ([4, 5], [0, 1])
    assert ClipBoxes(min_share=0.5)(dict(sample))['gt_box_labels'].tolist() == [4]
    kept = ClipBoxes(drop=False)(dict(sample))
    assert kept['gt_boxes'].shape == (1, 3, 4) and np.isnan(kept['gt_boxes'][0, 2]).all()
    with pytest.raises(ValueError, match=r'min_share must be in 0\.\.1'):
        ClipBoxes(min_share=1.0)


def test_packing_says_which_boxes_are_there() -> None:
    moving = np.full((1, 2, 2, 4), np.nan)
    moving[0, :, 0] = 1, 2, 3, 4
    moving[0, 1, 1] = 5, 6, 7, 8
    fields = dict(gt_boxes=moving, gt_box_labels=[[0, 1], [1, 1]], gt_box_ids=[7, 9])
    sample = picture((0, 0, 9, 9)) | fields | dict(boxes=moving[:, 0])
    for pack in (PackInputs(), PackMedia()):
        packed = pack(dict(sample))['data_samples']
        assert packed.gt_boxes.shape == (1, 2, 2, 4) and not packed.gt_boxes.isnan().any()
        assert packed.gt_boxes_valid.tolist() == [[[True, False], [True, True]]]
        assert packed.gt_box_labels.tolist() == [[0, 1], [1, 1]]
        assert packed.gt_box_ids.tolist() == [7, 9]
        assert packed.boxes_valid.tolist() == [[True, False]]
    with pytest.raises(ValueError, match='3 gt_box_labels for 2'):
        PackInputs()(sample | dict(gt_box_labels=[1, 2, 3]))
    with pytest.raises(ValueError, match=r'gt_boxes must be \(V, N, 4\) or \(V, T, N, 4\)'):
        PackInputs()(sample | dict(gt_boxes=[[1, 2, 3, 4]]))


def test_padding() -> None:
    assert Pad(size=(60, 50))(picture((0, 0, 9, 9)))['imgs'].shape == (2, 60, 64, 3)
    assert Pad(divisor=32)(picture((0, 0, 9, 9)))['imgs'].shape == (2, 64, 64, 3)
    assert (Pad(size=80, fill=7)(picture((0, 0, 9, 9)))['imgs'][:, 48:] == 7).all()
    with pytest.raises(ValueError, match='either size or divisor'):
        Pad()
