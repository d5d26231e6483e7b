"""Heads: layouts that the reference cases leave out, starts and bad input."""

import pytest
import torch

from internvideo.models.backbones.base import EncoderOutput
from internvideo.registry import MODELS
from internvideo.structures import VideoDataSample


def features(batch=4, dim=16, pooled=8, steps=2):
    return EncoderOutput(
        torch.randn(batch, 1 + steps * 4, dim), torch.randn(batch, pooled), [], None, (steps, 2, 2)
    )


def concat_head(method, norm, **fields):
    return MODELS.build(
        dict(
            type='ConcatProbeHead',
            num_classes=5,
            embed_dim=16,
            in_dim=8,
            num_steps=2,
            merge_method=method,
            merge_norm=norm,
            **fields,
        )
    )


@pytest.mark.parametrize(
    ('method', 'width'),
    [
        ('proj', 8),
        ('cls_avg1', 32),
        ('cls_avgN', 24),
        ('cls_avg1_proj', 40),
        ('cls_avgN_proj', 32),
    ],
)
@pytest.mark.parametrize('norm', ['LN', 'BN', 'kaiming_BN'])
def test_concat_probe_widths(method, norm, width):
    head = concat_head(method, norm)
    assert head.head.in_features == width
    assert head(features()).shape == (4, 5)


def test_layer_norm_flattens_positions_first_and_batch_norm_channels_first():
    given = features()
    merged = torch.cat([given.tokens[:, :1], given.tokens[:, 1:].mean(1, keepdim=True)], dim=1)
    layer_norm, batch_norm = concat_head('cls_avg1', 'LN'), concat_head('cls_avg1', 'BN').eval()
    expected = torch.nn.functional.layer_norm(merged, (16,)).flatten(1)
    torch.testing.assert_close(layer_norm._merge(given), expected)
    expected = merged.transpose(1, 2).flatten(1)
    torch.testing.assert_close(batch_norm._merge(given), expected, rtol=1e-4, atol=1e-5)


def test_concat_probe_refuses_another_number_of_steps():
    with pytest.raises(ValueError, match='num_steps=2, the encoder 3'):
        concat_head('cls_avgN', 'LN')(features(steps=3))


@pytest.mark.parametrize(('method', 'norm'), [('mean', 'LN'), ('proj', 'GN')])
def test_unknown_merge_is_named(method, norm):
    with pytest.raises(ValueError, match=f'merge_method={method!r}.*merge_norm={norm!r}'):
        concat_head(method, norm)


def test_attentive_probe_starts_as_the_plain_head():
    probe = MODELS.build(dict(type='AttentiveProbeHead', num_classes=5, in_dim=8))
    given = features()
    expected = probe.head(probe.fc_norm(given.pooled))
    torch.testing.assert_close(probe(given), expected)


@pytest.mark.parametrize('label', [-1, 5])
def test_label_out_of_range_names_the_sample(label):
    head = MODELS.build(dict(type='ClassificationHead', num_classes=5, in_dim=8))
    sample = VideoDataSample(metainfo=dict(path='/data/a.mp4')).set_gt_label(label)
    with pytest.raises(ValueError, match=rf'/data/a.mp4: label {label} .*num_classes=5'):
        head.loss(features(batch=1), [sample])


def test_missing_label_names_the_sample():
    head = MODELS.build(dict(type='ClassificationHead', num_classes=5, in_dim=8))
    with pytest.raises(ValueError, match=r'b\.mp4: label None'):
        head.loss(features(batch=1), [VideoDataSample(metainfo=dict(path='b.mp4'))])


@pytest.mark.parametrize('kind', ['ClassificationHead', 'AttentiveProbeHead', 'ConcatProbeHead'])
def test_pooled_vectors_of_another_width_are_refused(kind):
    tokens = dict(embed_dim=16, num_steps=2) if kind == 'ConcatProbeHead' else {}
    head = MODELS.build(dict(type=kind, num_classes=5, in_dim=12, **tokens))
    with pytest.raises(ValueError, match=r'in_dim=12, but the pooled vector .* is 8 wide'):
        head(features())


@pytest.mark.parametrize('method', ['cls_avg1', 'cls_avgN_proj'])
def test_concat_probe_refuses_an_encoder_without_class_token(method):
    given = features()
    with pytest.raises(ValueError, match='0 such tokens'):
        concat_head(method, 'LN')(given._replace(tokens=given.tokens[:, 1:]))


def test_logits_of_consecutive_clips_are_averaged_in_the_loss_alone():
    head = MODELS.build(
        dict(type='ClassificationHead', num_classes=5, in_dim=8, init_scale=50.0, num_segments=2)
    )
    given, labels = features(), [3, 3, 1, 1]
    samples = [VideoDataSample().set_gt_label(label) for label in labels]
    logits = head(given)
    assert logits.shape == (4, 5)
    merged = (logits[::2] + logits[1::2]) / 2
    expected = torch.nn.functional.cross_entropy(merged, torch.tensor([3, 1]))
    torch.testing.assert_close(head.loss(given, samples)['loss'], expected)
    with pytest.raises(ValueError, match='num_segments=2 does not divide the 3 clips'):
        head.loss(features(batch=3), samples[:3])
    with pytest.raises(ValueError, match='num_segments=0 must be positive'):
        MODELS.build(dict(type='ClassificationHead', num_classes=5, num_segments=0))


def test_a_head_without_norm_is_one_linear_map():
    head = MODELS.build(dict(type='ClassificationHead', num_classes=5, in_dim=8, norm_eps=None))
    given = features()
    assert set(head.state_dict()) == {'head.weight', 'head.bias'}
    torch.testing.assert_close(head(given), head.head(given.pooled))
    with pytest.raises(ValueError, match='in_dim=8'):
        head(features(pooled=9))
