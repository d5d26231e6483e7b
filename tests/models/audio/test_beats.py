"""The BEATs encoder: patches, padding, gradient scaling, filter bank and bad input."""

import pytest
import torch

from internvideo.models.audio.beats import relative_buckets, split_padding
from internvideo.ops.filter_bank import log_mel_filter_bank
from internvideo.registry import MODELS

TINY = dict(
    type='BEATs',
    embed_dim=8,
    encoder_layers=2,
    encoder_embed_dim=12,
    encoder_ffn_embed_dim=16,
    encoder_attention_heads=2,
    conv_pos=4,
    conv_pos_groups=2,
    num_buckets=8,
    max_distance=20,
)


def build(**fields):
    return MODELS.build(TINY | fields).eval()


def test_tokens_run_over_time_first():
    assert build()(torch.randn(2, 50, 40)).shape == (2, 3 * 2, 12)


@pytest.mark.parametrize('relative', [True, False])
def test_padding_has_no_influence(relative):
    model = build(relative_position_embedding=relative, conv_pos=1)
    bank, padding = torch.randn(1, 48, 16), torch.zeros(1, 48, dtype=torch.bool)
    padding[:, 32:] = True
    other = bank.clone()
    other[:, 32:] = 9.0
    first, second = (model(x, padding)[:, :2] for x in (bank, other))
    torch.testing.assert_close(first, second)


def test_nothing_but_padding_is_no_nan():
    model = build(finetuned_model=True, predictor_class=3)
    bank, padding = torch.randn(1, 32, 16), torch.ones(1, 32, dtype=torch.bool)
    tokens = model(bank, padding)
    assert model.classify(tokens, torch.ones(1, 2, dtype=torch.bool)).isfinite().all()


def test_the_gradient_shrinks_on_its_way_through_each_layer():
    model, bank = build(layer_wise_gradient_decay_ratio=1.0), torch.randn(1, 32, 16)
    grads = []
    for ratio in (1.0, 0.5):
        model.encoder.gradient_ratio = ratio
        model.zero_grad()
        model(bank).square().sum().backward()
        grads.append(model.patch_embedding.weight.grad)
    torch.testing.assert_close(grads[1], grads[0] / 4)


def test_the_first_layer_holds_the_position_table_of_all():
    names = [name for name in build().state_dict() if 'relative_attention_bias' in name]
    assert names == ['encoder.layers.0.self_attn.relative_attention_bias.weight']


def test_buckets_tell_sides_apart_and_end():
    distance = torch.tensor([-900, -800, -1, 0, 1, 800, 900])
    buckets = relative_buckets(distance, 320, 800).tolist()
    assert buckets == [159, 159, 1, 0, 161, 319, 319]


def test_a_filter_bank_has_a_frame_every_10_ms():
    bank = log_mel_filter_bank(torch.zeros(2, 16000), 64)
    assert bank.shape == (2, 98, 64) and bank.isfinite().all()


def test_a_part_is_padding_when_all_of_it_is():
    flags = torch.tensor([[0, 0, 0, 1, 1, 1, 1]]).bool()
    assert split_padding(flags, 3).tolist() == [[False, False, True]]


@pytest.mark.parametrize(
    ('call', 'message'),
    [
        (lambda: log_mel_filter_bank(torch.zeros(300)), '300 samples are less than'),
        (lambda: build()(torch.zeros(1, 10, 64)), r'got shape \(1, 10, 64\)'),
        (lambda: build(activation_fn='tanh'), "activation_fn must be .*'tanh'"),
        (lambda: build(encoder_attention_heads=5), 'encoder_embed_dim=12 is not divisible'),
        (lambda: build().classify(torch.zeros(1, 2, 12)), 'finetuned_model=True'),
        (lambda: split_padding(torch.zeros(1, 2), 3), '2 padding flags'),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_filter_bank_survives_a_first_import_on_the_meta_device(monkeypatch):
    kaldi = pytest.importorskip('torchaudio.compliance.kaldi')
    wave = torch.randn(1, 1600)
    expected = log_mel_filter_bank(wave)
    monkeypatch.setattr(kaldi, 'EPSILON', torch.empty((), device='meta'))
    torch.testing.assert_close(log_mel_filter_bank(wave), expected)
