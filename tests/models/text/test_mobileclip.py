"""The MobileCLIP text tower."""

import pytest
import torch

from internvideo.models.text.mobileclip import hidden_widths
from internvideo.registry import MODELS

TINY = dict(
    type='MobileCLIPText',
    context_length=8,
    vocab_size=30,
    dim=16,
    n_transformer_layers=2,
    n_heads_per_layer=2,
    projection_dim=6,
)


def build(**fields):
    return MODELS.build(TINY | fields).eval()


@pytest.mark.parametrize('norm', ['layer_norm', 'layer_norm_fp32'])
def test_nothing_after_the_end_of_text_counts(norm):
    model = build(norm_layer=norm)
    first, second = torch.tensor([[27, 3, 29, 0, 0]]), torch.tensor([[27, 3, 29, 5, 6]])
    torch.testing.assert_close(model(first), model(second))


def test_padding_is_masked_where_all_else_is_seen():
    model = build(causal_masking=False)
    first, second = torch.tensor([[27, 3, 29, 0]]), torch.tensor([[27, 3, 29, 5]])
    padding = torch.tensor([[False, False, False, True]])
    states = [model.encode_tokens(x, padding)[:, :3] for x in (first, second)]
    torch.testing.assert_close(*states)


def test_positions_may_be_left_out():
    model = build(no_pos_embedding=True)
    assert not any('positional' in name for name in model.state_dict())
    assert model(torch.tensor([[27, 3, 29]])).shape == (1, 6)


def test_widths_are_rounded_up():
    assert hidden_widths(24, [1.0, 1.5], 2) == [32, 48]


@pytest.mark.parametrize(
    ('fields', 'message'),
    [
        (dict(norm_layer='rms'), 'norm_layer must be'),
        (dict(n_heads_per_layer=3), 'dim=16 is not divisible'),
        (dict(ffn_multiplier_per_layer=[4.0]), '1 ffn_multiplier_per_layer for 2 layers'),
    ],
)
def test_bad_fields_are_named(fields, message):
    with pytest.raises(ValueError, match=message):
        build(**fields)
