"""Optional kernels are found at run time and asked for by name."""

import sys

import pytest
import torch
from torch.nn import functional as F

from internvideo.models.layers import kernels
from internvideo.models.layers.mlp import Mlp
from internvideo.models.layers.norm import RMSNorm

PACKAGES = {
    'apex/normalization/fused_layer_norm.py': """
import torch
def fused_rms_norm_affine(x, weight, shape, eps):
    return torch.nn.functional.rms_norm(x, shape, weight, eps) + 1
""",
    'flash_attn/ops/fused_dense.py': """
import torch.nn.functional as F
def fused_mlp_func(x, w1, w2, b1, b2, activation):
    assert activation == 'gelu_approx'
    return F.linear(F.gelu(F.linear(x, w1, b1), approximate='tanh'), w2, b2) + 1
""",
}


@pytest.fixture
def packages(tmp_path, monkeypatch):
    """Stand-ins with the real packages' signatures, whose results are one too large."""
    for name, text in PACKAGES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True)
        path.write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    kernels._load.cache_clear()
    yield
    kernels._load.cache_clear()
    for name in [name for name in sys.modules if name.split('.')[0] in ('apex', 'flash_attn')]:
        del sys.modules[name]


@pytest.mark.parametrize('build', [lambda: RMSNorm(8, fused=True), lambda: Mlp(8, 16, fused=True)])
def test_missing_kernel_is_named(build):
    with pytest.raises(ImportError, match=r'fused=True needs .*flash_attn'):
        build()


def test_unknown_value_is_refused():
    with pytest.raises(ValueError, match='fused must be'):
        RMSNorm(8, fused='yes')


def test_fused_norm_is_called(packages):
    x = torch.randn(2, 3, 8)
    torch.testing.assert_close(RMSNorm(8, fused=True)(x), F.rms_norm(x, (8,), eps=1e-6) + 1)


def test_fused_mlp_is_called(packages):
    fused, plain, x = Mlp(8, 16, fused=True), Mlp(8, 16, fused=False), torch.randn(2, 3, 8)
    plain.load_state_dict(fused.state_dict())
    torch.testing.assert_close(fused(x), plain(x) + 1)


def test_auto_leaves_the_cpu_alone(packages):
    x = torch.randn(2, 3, 8)
    torch.testing.assert_close(RMSNorm(8, fused='auto')(x), F.rms_norm(x, (8,), eps=1e-6))


def test_fused_mlp_knows_one_activation():
    with pytest.raises(ValueError, match="act='gelu'"):
        Mlp(8, 16, act='gelu', fused=True)


def test_unknown_activation_is_named():
    with pytest.raises(ValueError, match=r"act must be one of .*'relu'"):
        Mlp(8, 16, act='relu')
