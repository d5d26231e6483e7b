"""CLIP's layers compute what torch and open_clip compute with the same weights."""

import pytest
import torch
from torch import nn

from internvideo.models.layers.residual_attention import (
    MultiheadAttention,
    QuickGELUMlp,
    ResidualAttentionBlock,
    ResidualTransformer,
)


@pytest.mark.parametrize('backend', ['sdpa', 'eager'])
@pytest.mark.parametrize('crossed', [False, True])
def test_attention_equals_that_of_torch(backend, crossed):
    torch.manual_seed(0)
    ours = MultiheadAttention(24, 3, backend)
    theirs = nn.MultiheadAttention(24, 3, batch_first=True)
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(2, 5, 24)
    context = torch.randn(2, 7, 24) if crossed else None
    keys = x if context is None else context
    torch.testing.assert_close(ours(x, context), theirs(x, keys, keys, need_weights=False)[0])


def test_the_mlp_equals_its_formula_in_values_and_gradients():
    torch.manual_seed(0)
    mlp = QuickGELUMlp(8, 20, in_std=1.0)
    nn.init.normal_(mlp.c_fc.bias)
    x = torch.randn(2, 5, 8)
    hidden = mlp.c_fc(x)
    expected = mlp.c_proj(hidden * torch.sigmoid(1.702 * hidden))
    grads = []
    for output in (mlp(x), expected):
        mlp.zero_grad()
        output.square().sum().backward()
        grads.append([parameter.grad.clone() for parameter in mlp.parameters()])
    torch.testing.assert_close(mlp(x), expected)
    torch.testing.assert_close(*grads)
    with torch.no_grad():  # in place then
        torch.testing.assert_close(mlp(x), expected)


def test_causal_tokens_do_not_see_later_ones():
    torch.manual_seed(0)
    tower = ResidualTransformer(24, 2, 3, is_causal=True)
    x = torch.randn(2, 6, 24)
    other = x.clone()
    other[:, 4:] = 0
    torch.testing.assert_close(tower(other)[:, :4], tower(x)[:, :4])
    with pytest.raises(ValueError, match='no other context'):
        tower.resblocks[0].attn(x, x)


def test_heads_must_divide_the_width():
    with pytest.raises(ValueError, match='width=24 is not divisible by num_heads=5'):
        MultiheadAttention(24, 5)


def test_a_dropped_path_drops_whole_samples():
    torch.manual_seed(0)
    block = ResidualAttentionBlock(16, 2, drop_path=0.5).train()
    x = torch.randn(64, 3, 16)
    unchanged = (block(x) == x).flatten(1)
    assert (unchanged.all(1) == unchanged.any(1)).all()
    assert 0 < unchanged.all(1).sum() < 64


def test_recomputed_activations_give_the_same_gradient():
    torch.manual_seed(0)
    tower = ResidualTransformer(16, 2, 2).train()
    x = torch.randn(2, 3, 16)

    def gradients():
        tower.zero_grad()
        tower(x).square().sum().backward()
        return [p.grad.clone() for p in tower.parameters()]

    plain = gradients()
    tower.checkpoint_num = 2
    torch.testing.assert_close(gradients(), plain)
