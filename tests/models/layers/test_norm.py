"""RMSNorm: statistics, casts and the hand-written backward pass."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from internvideo.models.layers.norm import RMSNorm, rms_norm


@settings(max_examples=20)
@given(st.integers(1, 3), st.integers(1, 5), st.integers(1, 9), st.sampled_from([1e-3, 1.0, 1e3]))
def test_backward_equals_autograd(batch, tokens, dim, scale):
    norm = RMSNorm(dim).double()
    torch.nn.init.normal_(norm.weight)
    x = (scale * torch.randn(batch, tokens, dim, dtype=torch.float64)).requires_grad_()
    grad = torch.randn(batch, tokens, dim, dtype=torch.float64)
    ours = torch.autograd.grad(norm(x), (x, norm.weight), grad)
    theirs = torch.autograd.grad(rms_norm(x, norm.weight, norm.eps), (x, norm.weight), grad)
    torch.testing.assert_close(ours, theirs)


def test_casts_before_the_weight():
    norm, x = RMSNorm(64).bfloat16(), torch.randn(5, 64).bfloat16()
    torch.nn.init.normal_(norm.weight)
    wide = x.float()
    normed = (wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + 1e-6)).bfloat16()
    assert torch.equal(norm(x), normed * norm.weight)


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
def test_gradients_keep_their_dtypes_under_autocast(dtype):
    norm, x = RMSNorm(16), torch.randn(2, 3, 16, dtype=dtype, requires_grad=True)
    with torch.autocast('cpu', torch.bfloat16):
        norm(x).float().sum().backward()
    assert x.grad.dtype == dtype
    assert norm.weight.grad.dtype == torch.float32


def test_training_and_inference_agree():
    norm, x = RMSNorm(384), torch.randn(2, 7, 384)
    with torch.no_grad():
        expected = norm(x)
    torch.testing.assert_close(norm(x), expected)
