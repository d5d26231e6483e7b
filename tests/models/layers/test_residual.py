"""Layer scale and stochastic depth on the residual stream."""

import pytest
import torch

from internvideo.models.layers.residual import DropPath, LayerScale, add_branch


def _scale(dim=16, force_fp32=True):
    scale = LayerScale(dim, 1.0, force_fp32)
    torch.nn.init.normal_(scale.gamma)
    return scale


@pytest.mark.parametrize('force_fp32', [True, False])
def test_adds_the_scaled_branch(force_fp32):
    scale, stream, branch = (
        _scale(force_fp32=force_fp32),
        torch.randn(2, 3, 16),
        torch.randn(2, 3, 16),
    )
    result = add_branch(stream, branch, scale, DropPath(0.0))
    torch.testing.assert_close(result, stream + branch * scale.gamma)


def test_product_is_taken_in_float32():
    scale = _scale().bfloat16()
    stream, branch = torch.randn(2, 3, 16).bfloat16(), torch.randn(2, 3, 16).bfloat16()
    exact = stream.float() + branch.float() * scale.gamma.float()
    assert torch.equal(add_branch(stream, branch, scale, DropPath(0.0)), exact.bfloat16())


def test_stream_keeps_its_dtype_under_autocast():
    with torch.autocast('cpu', torch.bfloat16):
        result = add_branch(
            torch.randn(2, 3, 16), torch.randn(2, 3, 16).bfloat16(), _scale(), DropPath(0.0)
        )
    assert result.dtype == torch.float32


@pytest.mark.parametrize('scale', [None, _scale(), _scale(force_fp32=False)])
def test_drop_path_drops_or_rescales_whole_samples(scale):
    stream, branch = torch.zeros(64, 3, 16), torch.ones(64, 3, 16)
    dropped = add_branch(stream, branch, scale, DropPath(0.25).train())
    kept = add_branch(stream, branch, scale, DropPath(0.25).eval()) / 0.75
    is_kept = dropped.flatten(1).any(dim=1)
    assert 0 < is_kept.sum() < 64
    torch.testing.assert_close(dropped, kept * is_kept[:, None, None])


def test_rate_must_leave_something():
    with pytest.raises(ValueError, match='drop_path_rate'):
        DropPath(1.0)


@pytest.mark.parametrize('rate', [0.0, 0.3])
@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
def test_paths_are_dropped_as_by_timm(rate, dtype):
    theirs, branch = pytest.importorskip('timm.layers').DropPath(rate), torch.randn(64, 2, 8)
    found = []
    for layer in (DropPath(rate), theirs):
        torch.manual_seed(1)
        found.append(layer.train()(branch.to(dtype)))
    assert ((found[0] == 0) == (found[1] == 0)).all()
    torch.testing.assert_close(*found)
