"""RandAugment beside Pillow, on pictures with structure."""

import random

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from internvideo.datasets.transforms import rand_augment
from internvideo.datasets.transforms.rand_augment import (
    LEVELS,
    RandAugment,
    apply_operation,
    parse_policy,
)

BICUBIC = dict(resample=Image.Resampling.BICUBIC, fillcolor=(128, 128, 128))


def frames(count: int = 10, height: int = 37, width: int = 50) -> np.ndarray:
    """Differing frames with flat and noisy parts; more than are gathered at once."""
    rng = np.random.RandomState(0)
    imgs = rng.randint(20, 200, (count, height, width, 3)).astype(np.uint8)
    imgs[:, : height // 2] //= 3
    imgs[3:4] = 77
    return imgs


def shifted(image: Image.Image, *matrix: float) -> Image.Image:
    return image.transform(image.size, Image.Transform.AFFINE, matrix, **BICUBIC)


PILLOW = {
    'AutoContrast': lambda image, _: ImageOps.autocontrast(image),
    'Equalize': lambda image, _: ImageOps.equalize(image),
    'Invert': lambda image, _: ImageOps.invert(image),
    'Rotate': lambda image, value: image.rotate(value, **BICUBIC),
    'PosterizeIncreasing': lambda image, bits: image.point(lambda v: v & (256 - 2 ** (8 - bits))),
    'SolarizeIncreasing': lambda image, value: ImageOps.solarize(image, value),
    'ColorIncreasing': lambda image, value: ImageEnhance.Color(image).enhance(value),
    'ContrastIncreasing': lambda image, value: ImageEnhance.Contrast(image).enhance(value),
    'BrightnessIncreasing': lambda image, value: ImageEnhance.Brightness(image).enhance(value),
    'SharpnessIncreasing': lambda image, value: ImageEnhance.Sharpness(image).enhance(value),
    'ShearX': lambda image, value: shifted(image, 1, value, 0, 0, 1, 0),
    'ShearY': lambda image, value: shifted(image, 1, 0, 0, value, 1, 0),
    'TranslateXRel': lambda im, value: shifted(im, 1, 0, value * im.width, 0, 1, 0),
    'TranslateYRel': lambda im, value: shifted(im, 1, 0, 0, 0, 1, value * im.height),
}


@pytest.mark.parametrize('magnitude', [0.0, 3.3, 7.0, 10.0])
@pytest.mark.parametrize('negate', [False, True])
@pytest.mark.parametrize('name', sorted(PILLOW))
def test_operations_agree_with_pillow(name: str, negate: bool, magnitude: float) -> None:
    imgs = frames()
    level = LEVELS[name]
    value = None if level is None else level(magnitude, negate)
    expected = np.stack([np.asarray(PILLOW[name](Image.fromarray(f), value)) for f in imgs])
    actual = apply_operation(imgs, name, magnitude, negate)
    assert actual.dtype == np.uint8
    assert np.abs(actual.astype(int) - expected).max() <= 1
    assert (imgs == frames()).all(), 'the input was written to'


@pytest.mark.parametrize('degrees', [-90, -30, 30, 45, 90])
@pytest.mark.parametrize('size', [(39, 5), (6, 40), (12, 12)])
def test_places_on_the_border_count_as_in_pillow(degrees: float, size: tuple[int, int]) -> None:
    imgs = np.random.RandomState(0).randint(197, 230, (1, *size, 3)).astype(np.uint8)
    expected = np.asarray(Image.fromarray(imgs[0]).rotate(degrees, **BICUBIC)).astype(int)
    assert (
        np.abs(rand_augment.affine(imgs, rand_augment.rotation(*size, degrees))[0] - expected).max()
        <= 1
    )


def test_solarize_add() -> None:
    assert rand_augment.solarize_add(np.array([[[[0, 127, 128]]]], np.uint8), 100).tolist() == [
        [[[100, 227, 128]]]
    ]


def test_equal_frames_stay_equal() -> None:
    imgs = np.repeat(frames(1), 9, axis=0)
    random.seed(0), np.random.seed(0)
    for _ in range(40):
        result = RandAugment()(dict(imgs=imgs))['imgs']
        assert (result == result[:1]).all()


def test_draws_follow_the_policy(monkeypatch) -> None:
    drawn = []
    monkeypatch.setattr(
        rand_augment, 'apply_operation', lambda imgs, *args: drawn.append(args) or imgs
    )
    random.seed(0), np.random.seed(0)
    for _ in range(2000):
        RandAugment('rand-m7-n4-mstd0.5-inc1')(dict(imgs=np.zeros((1, 2, 2, 3))))
    assert len(drawn) / 2000 == pytest.approx(2, abs=0.1)
    magnitudes = [magnitude for _, magnitude, _ in drawn]
    assert np.mean(magnitudes) == pytest.approx(7, abs=0.05)
    assert np.std(magnitudes) == pytest.approx(0.5, abs=0.05)
    assert {name for name, *_ in drawn} == set(LEVELS)


def test_policies() -> None:
    assert parse_policy('rand-m5-n2-mstd0.25-inc1') == (5.0, 2, 0.25)
    for wrong in ('rand-m7-n4-mstd0.5', 'augmix-m3', 'rand-m7-n4-mstd0.5-inc0'):
        with pytest.raises(ValueError, match=wrong):
            parse_policy(wrong)
    with pytest.raises(ValueError, match='above 10'):
        parse_policy('rand-m11-n4-mstd0.5-inc1')
