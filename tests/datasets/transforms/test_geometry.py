"""Size, place, packing and batching of frames."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from internvideo.datasets.collate import collate_clips
from internvideo.datasets.transforms.geometry import (
    CenterCrop,
    MultiScaleCrop,
    RandomFlip,
    RandomResizedCrop,
    Resize,
    ResizeSquare,
    UniformCrops,
    fixed_offsets,
    multi_scale_sizes,
    resized_crop_box,
)
from internvideo.datasets.transforms.packing import PackInputs, channels_first
from internvideo.registry import TRANSFORMS
from tests.paths import ROOT

FACTS = json.loads((ROOT / 'tests/configs/internvideo1_videomae_data.json').read_text())


def clip(frames: int = 6, height: int = 40, width: int = 60, views: int = 2) -> dict:
    """Every frame is the same picture, so that frames stay equal under equal treatment."""
    picture = np.random.RandomState(0).randint(0, 256, (height, width, 3)).astype(np.uint8)
    imgs = np.repeat(picture[None], frames, axis=0)
    return dict(imgs=imgs, num_views=views, path='x.mp4', sample_index=4, label=1)


@pytest.mark.parametrize(
    ('transform', 'shape'),
    [
        (Resize(short_side=20), (6, 20, 30)),
        (Resize(size=(24, 16)), (6, 24, 16)),
        (Resize(short_side=20, antialias=True), (6, 20, 30)),
        (CenterCrop(32), (6, 32, 32)),
        (UniformCrops(3), (18, 40, 40)),
        (RandomResizedCrop(16), (6, 16, 16)),
        (RandomResizedCrop(16, interpolation='bicubic'), (6, 16, 16)),
        (ResizeSquare(24), (6, 24, 24)),
        (ResizeSquare(24, antialias=True), (6, 24, 24)),
        (MultiScaleCrop(16), (6, 16, 16)),
        (RandomFlip(1.0), (6, 40, 60)),
    ],
)
def test_shapes_and_one_treatment_for_all_frames(transform, shape: tuple) -> None:
    imgs = transform(clip())['imgs']
    assert imgs.dtype == np.uint8 and imgs.shape == (*shape, 3)
    groups = imgs.reshape(2, -1, 3, *shape[1:]) if len(imgs) == 6 else imgs.reshape(6, 3, -1)
    assert (groups == groups[:, :1]).all()


@pytest.mark.parametrize('size', [16, 70])
def test_plain_bicubic_scaling_is_that_of_tensors(size: int) -> None:
    sample = clip(frames=1)
    frames = torch.from_numpy(sample['imgs']).permute(0, 3, 1, 2).float()
    expected = torch.nn.functional.interpolate(frames, (size, size), mode='bicubic')
    found = ResizeSquare(size)(sample)['imgs'].transpose(0, 3, 1, 2)
    assert np.abs(expected.round().clamp(0, 255).numpy() - found).max() <= 1


def test_smooth_scaling_is_that_of_pillow() -> None:
    frame = np.random.default_rng(0).integers(0, 256, (60, 90, 3), np.uint8)
    found = Resize(short_side=24, antialias=True)(dict(imgs=frame[None]))['imgs'][0]
    wanted = np.asarray(Image.fromarray(frame).resize((36, 24), Image.Resampling.BILINEAR))
    assert np.abs(found.astype(int) - wanted).max() <= 2


@pytest.mark.parametrize('transform', [RandomResizedCrop, ResizeSquare])
def test_unknown_interpolations_are_refused(transform: type) -> None:
    with pytest.raises(ValueError, match='bilinear, bicubic'):
        transform(16, interpolation='lanczos')


@given(height=st.integers(1, 300), width=st.integers(1, 300))
def test_resized_crop_boxes_lie_in_the_frame(height: int, width: int) -> None:
    top, left, h, w = resized_crop_box(height, width)
    assert 0 <= top <= top + h <= height and 0 <= left <= left + w <= width
    assert h >= 1 and w >= 1


def test_flip_spares_sources_whose_labels_name_sides() -> None:
    sample = clip()
    before = sample['imgs']
    assert (RandomFlip(1.0)(dict(sample))['imgs'] == before[:, :, ::-1]).all()
    assert (RandomFlip(1.0)(dict(sample, source='ssv2'))['imgs'] == before).all()


def test_a_single_crop_is_central() -> None:
    sample = clip(height=40, width=61)
    expected = sample['imgs'][:, :, 10:50]
    assert (UniformCrops(1)(sample)['imgs'] == expected).all()


@pytest.mark.parametrize(('round_up', 'left'), [(False, 10), (True, 11)])
@pytest.mark.parametrize('num_crops', [1, 3])
def test_middle_crops_between_two_pixels(num_crops: int, round_up: bool, left: int) -> None:
    sample = clip(frames=1, height=40, width=61, views=1)
    expected = sample['imgs'][0, :, left : left + 40]
    crops = UniformCrops(num_crops, round_up=round_up)(sample)['imgs']
    assert (crops[num_crops // 2] == expected).all()


def test_wrong_sizes_are_named() -> None:
    with pytest.raises(ValueError, match=r'CenterCrop 64x64 is larger than the frames 40x60 of x'):
        CenterCrop(64)(clip())
    with pytest.raises(ValueError, match=r'size=32, but the short side of the frames 40x60'):
        UniformCrops(3, size=32)(clip())
    with pytest.raises(ValueError, match='either short_side or size'):
        Resize()


def test_packing_orders_axes_and_keeps_facts() -> None:
    imgs = np.random.RandomState(1).randint(0, 256, (6, 5, 7, 3)).astype(np.uint8)
    expected = imgs.reshape(2, 3, 5, 7, 3).transpose(0, 4, 1, 2, 3)
    assert (channels_first(imgs, 2) == expected).all()
    packed = PackInputs()(dict(clip(), imgs=imgs))
    assert packed['inputs'].shape == (2, 3, 3, 5, 7) and packed['inputs'].is_contiguous()
    facts = packed['data_samples']
    assert (facts.path, facts.sample_index, int(facts.gt_label)) == ('x.mp4', 4, 1)


def test_collate_flattens_repeats_and_puts_unreadable_last() -> None:
    packed = [PackInputs()(clip()) for _ in range(3)]
    broken = dict(inputs=None, data_samples=packed[0]['data_samples'].clone())
    batch = collate_clips([packed[:2], broken, packed[2]])
    assert batch['inputs'].shape == (3, 2, 3, 3, 40, 60)
    assert batch['data_samples'][3] is broken['data_samples']
    assert collate_clips([broken])['inputs'] is None


def test_collate_names_files_of_different_shape() -> None:
    other = dict(PackInputs()(clip()), inputs=torch.zeros(1, 3, 3, 8, 8, dtype=torch.uint8))
    with pytest.raises(ValueError, match=r'differ in shape: \(2, 3, 3, 40, 60\) of x\.mp4'):
        collate_clips([PackInputs()(clip()), other])


@pytest.mark.parametrize(('aspect', 'width'), [(1.0, 96), (4 / 3, 128), (0.75, 72)])
def test_pixels_become_square_only_where_a_pipeline_says_so(aspect: float, width: int) -> None:
    imgs = np.random.RandomState(0).randint(0, 255, (2, 40, 96, 3), np.uint8)
    sample = dict(imgs=imgs, sample_aspect=aspect, gt_boxes=np.array([[[0.0, 0, 96, 40]]]))
    shown = TRANSFORMS.build(dict(type='SquarePixels'))(sample)
    assert shown['imgs'].shape == (2, 40, width, 3)
    assert shown['gt_boxes'].tolist() == [[[0, 0, width, 40]]]
    same = TRANSFORMS.build(dict(type='SquarePixels'))(dict(imgs=imgs))
    assert same['imgs'] is imgs


@pytest.mark.parametrize('fact', FACTS['three_crop_offsets'], ids=lambda fact: str(fact['resized']))
def test_published_places_of_three_crops(fact: dict) -> None:
    height, width = fact['resized']
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    # Grey levels name the place: OpenCV is not asked to scale anything.
    imgs = np.stack([rows % 256, columns % 256, rows * 0], axis=-1).astype(np.uint8)[None]
    sample = UniformCrops(fact['crops'], fact['short_side'])(dict(imgs=imgs, num_views=1))
    channel = 0 if fact['axis'] == 'height' else 1
    assert sample['imgs'][:, 0, 0, channel].tolist() == fact['offsets']
    assert sample['imgs'].shape[1:3] == (fact['short_side'],) * 2


def test_sizes_and_places_of_the_multi_scale_crop() -> None:
    sizes = multi_scale_sizes(340, 256, 224, (1, 0.875, 0.75, 0.66))
    # 256 * 0.875 = 224; of 16 pairs, those whose scales are neighbours.
    assert sizes[:2] == [(256, 256), (224, 256)] and len(sizes) == 10
    assert {side for pair in sizes for side in pair} == {256, 224, 192, 168}
    assert {w for w, _ in multi_scale_sizes(340, 258, 224, (1, 0.875))} == {258, 224}
    assert {w for w, _ in multi_scale_sizes(340, 260, 224, (1, 0.875))} == {260, 227}
    places = fixed_offsets(340, 256, 224, 224)
    assert len(set(places)) == 13
    assert places[:5] == [(0, 0), (116, 0), (0, 32), (116, 32), (58, 16)]
    assert all(x % 29 == 0 and y % 8 == 0 for x, y in places)
