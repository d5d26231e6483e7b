"""From uint8 clips to normalised, erased and mixed batches."""

import random

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from internvideo.models.data_preprocessors.mixup_cutmix import cut_box
from internvideo.models.data_preprocessors.random_erasing import draw_erasing_regions
from internvideo.registry import MODELS
from internvideo.structures import VideoDataSample

ERASE = dict(type='RandomErasing', prob=1.0, mode='const')
MIX = dict(type='MixupCutmix', num_classes=5)


def build(*augments):
    return MODELS.build(dict(type='ClipDataPreprocessor', batch_augments=augments))


def batch(size=4, label=1):
    clips = torch.randint(0, 256, (size, 1, 3, 2, 16, 16), dtype=torch.uint8)
    samples = [
        VideoDataSample(metainfo=dict(path=f'{i}.mp4')).set_gt_label(label) for i in range(size)
    ]
    return dict(inputs=clips, data_samples=samples)


def test_normalises_without_touching_the_input():
    data = batch()
    before = data['inputs'].clone()
    clips = build()(data)['inputs']
    expected = (before[:, :, 0].float() / 255 - 0.485) / 0.229
    torch.testing.assert_close(clips[:, :, 0], expected, rtol=1e-5, atol=1e-5)
    assert torch.equal(data['inputs'], before)


def test_augments_in_training_only():
    processor, data = build(ERASE, MIX), batch()
    assert 'gt_score' not in processor(data)['data_samples'][0]
    trained = processor(data, training=True)
    assert (trained['inputs'] == 0).any()
    torch.testing.assert_close(trained['data_samples'][0].gt_score.sum(), torch.tensor(1.0))


def test_batch_without_readable_video():
    assert build(ERASE)(dict(inputs=None, data_samples=[]), training=True)['inputs'] is None


@pytest.mark.parametrize('mode', ['pixel', 'rand', 'const'])
def test_erased_box_is_the_same_in_every_frame(mode):
    random.seed(1)
    erase = MODELS.build(dict(type='RandomErasing', prob=1.0, mode=mode))
    clip = erase(torch.full((1, 1, 3, 2, 16, 16), 9.0), [])[0, 0]
    changed = (clip != 9.0).all(dim=0)
    assert changed.any()
    assert torch.equal(changed[0], changed[1])


@given(st.integers(4, 64), st.integers(4, 64), st.integers(1, 4), st.integers(0, 10**6))
def test_regions_lie_inside_the_clip(height, width, count, seed):
    rng = random.Random(seed)
    for first, top, left, h, w in draw_erasing_regions(
        8, height, width, rng, prob=1.0, max_count=count
    ):
        assert first == (8 // count if count > 1 else 0)
        assert 0 <= top <= top + h <= height
        assert 0 <= left <= left + w <= width


@given(st.floats(0, 1), st.integers(1, 40), st.integers(1, 40), st.data())
def test_cut_box_is_inside_and_not_larger_than_its_share(lam, height, width, data):
    center = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    top, bottom, left, right = cut_box(lam, height, width, center)
    assert 0 <= top <= bottom <= height
    assert 0 <= left <= right <= width
    assert (bottom - top) * (right - left) <= (1 - lam) * height * width + 1e-6


@pytest.mark.parametrize('mode', ['batch', 'pair', 'elem'])
def test_targets_follow_the_pixels(mode):
    """A clip whose pixels are its label is mixed in the proportion that its target says."""
    np.random.seed(3)
    mix = MODELS.build(dict(type='MixupCutmix', num_classes=4, mode=mode, smoothing=0.0))
    samples = [VideoDataSample().set_gt_label(i) for i in range(4)]
    clips = mix(torch.arange(4.0).view(4, 1, 1, 1, 1, 1).repeat(1, 1, 3, 2, 32, 32), samples)
    means = torch.stack([sample.gt_score for sample in samples]) @ torch.arange(4.0)
    torch.testing.assert_close(clips.flatten(1).mean(dim=1), means)


def test_odd_batch_is_refused():
    with pytest.raises(ValueError, match='even batch, got 3'):
        build(MIX)(batch(3), training=True)


def test_label_out_of_range_names_the_sample():
    with pytest.raises(ValueError, match=r'0.mp4: label 7 .*num_classes=5'):
        build(MIX)(batch(label=7), training=True)


@pytest.mark.parametrize(
    ('config', 'message'),
    [
        (dict(type='RandomErasing', mode='blur'), 'mode must be one of pixel'),
        (dict(MIX, mode='row'), 'mode must be one of batch'),
        (dict(MIX, mixup_alpha=0, cutmix_alpha=0), 'both 0'),
    ],
)
def test_bad_fields_are_named(config, message):
    with pytest.raises(ValueError, match=message):
        MODELS.build(config)
