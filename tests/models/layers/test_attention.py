"""Attention backends: same numbers, one choice, clear refusals."""

import pytest
import torch

from internvideo.models.layers.attention import Attention, attend, auto_attn_backend


def _inputs(dtype=torch.float32):
    return [torch.randn(2, 9, 3, 8, dtype=dtype, requires_grad=True) for _ in range(3)]


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
def test_backends_agree_forward_and_backward(dtype):
    tensors = _inputs(dtype)
    outputs = [attend(*tensors, backend) for backend in ('sdpa', 'eager', 'auto')]
    grads = [torch.autograd.grad(output.square().sum(), tensors) for output in outputs]
    for output, grad in zip(outputs[1:], grads[1:], strict=True):
        torch.testing.assert_close(output, outputs[0])
        torch.testing.assert_close(grad, grads[0])


def test_unknown_backend_is_named():
    with pytest.raises(ValueError, match=r"attn_backend must be one of auto, sdpa.*'xformers'"):
        Attention(8, 2, backend='xformers')


def test_missing_flash_attn_is_named():
    with pytest.raises(ImportError, match="attn_backend='flash_attn' needs the package flash_attn"):
        Attention(8, 2, backend='flash_attn')


def test_flash_attn_refuses_the_cpu():
    with pytest.raises(ValueError, match=r'float16 or bfloat16 on CUDA, got torch.float32 on cpu'):
        attend(*_inputs(), 'flash_attn')


def test_heads_must_divide_the_width():
    with pytest.raises(ValueError, match='embed_dim=10 is not divisible by num_heads=4'):
        Attention(10, 4)


@pytest.mark.parametrize(
    ('device', 'dtype', 'tokens', 'backend'),
    [
        ('cpu', torch.bfloat16, 513, 'eager'),
        ('cpu', torch.bfloat16, 2049, 'sdpa'),
        ('cpu', torch.float32, 513, 'sdpa'),
        ('cuda', torch.bfloat16, 513, 'sdpa'),
    ],
)
def test_auto_rule(device, dtype, tokens, backend):
    assert auto_attn_backend(device, dtype, tokens) == backend
