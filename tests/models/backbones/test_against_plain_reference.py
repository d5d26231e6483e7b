"""Every combination of fields computes what a plain implementation in float64 does."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from internvideo.models.backbones.internvideo2 import InternVideo2
from internvideo.models.backbones.internvl import InternVLVision
from internvideo.models.backbones.videomae import VideoMAE
from tests.models.plain_reference import plain_encoder, plain_image_encoder, plain_videomae

SIZES = dict(embed_dim=32, num_heads=2, mlp_ratio=2.5, img_size=16, patch_size=8)
FIELDS = dict(
    depth=st.integers(1, 3),
    qkv_bias=st.booleans(),
    init_values=st.sampled_from([0.0, 0.1]),
    attn_backend=st.sampled_from(['sdpa', 'eager']),
)
ENCODER_FIELDS = FIELDS | dict(
    qk_normalization=st.booleans(),
    act=st.sampled_from(['gelu', 'gelu_tanh']),
    attn_pool_num_heads=st.sampled_from([1, 4]),
    clip_embed_dim=st.sampled_from([12]),
)
MAE_FIELDS = dict(
    tubelet_size=st.sampled_from([1, 2]),
    pos_embed=st.sampled_from(['resized', 'own', 'learned', 'stored']),
    qk_scale=st.sampled_from([None, 0.7]),
)
examples = settings(max_examples=8, derandomize=True)


def scrambled(model: torch.nn.Module) -> torch.nn.Module:
    """``model`` in float64 and evaluation mode, every parameter random."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in model.double().eval().parameters():
            parameter.normal_(std=0.3)
    return model


def hidden_tokens(rows: int, tokens: int, count: int, cls_token: bool) -> torch.Tensor:
    mask = torch.zeros(rows, tokens, dtype=torch.bool)
    for row in mask:
        row[torch.randperm(tokens)[:count]] = True
    return torch.nn.functional.pad(mask, (1, 0)) if cls_token else mask


def check(actual: list, wanted: list) -> None:
    for ours, theirs in zip(actual, wanted, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)


@examples
@given(
    fields=st.fixed_dictionaries(
        ENCODER_FIELDS | dict(sep_pos_embed=st.booleans(), tubelet_size=st.sampled_from([1, 2]))
    ),
    hidden=st.sampled_from([None, 0, 3, 7]),
)
@torch.no_grad()
def test_the_encoder(fields, hidden):
    facts = SIZES | fields
    model = scrambled(InternVideo2(None, num_frames=4, **facts))
    video, depth = torch.randn(2, 3, 4, 16, 16).double(), facts['depth']
    tokens = 16 // facts['tubelet_size']
    mask = None if hidden is None else hidden_tokens(2, tokens, hidden, cls_token=True)
    out = model(video, mask, return_layers=range(depth), return_attn=True)
    streams, pooled, attn = plain_encoder(model.state_dict(), video, facts, mask)
    check([*out.layers, out.tokens, out.pooled, out.attn], [*streams, streams[-1], pooled, attn])


@examples
@given(fields=st.fixed_dictionaries(ENCODER_FIELDS), steps=st.integers(1, 3))
@torch.no_grad()
def test_the_image_tower(fields, steps):
    facts = SIZES | fields
    model = scrambled(InternVLVision(None, **facts))
    video = torch.randn(2, 3, steps, 16, 16).double()
    out = model(video, return_layers=range(facts['depth']), return_attn=True)
    streams, pooled, attn = plain_image_encoder(model.state_dict(), video, facts)
    check([*out.layers, out.pooled, out.attn], [*streams, pooled, attn])


@pytest.mark.parametrize('layout', ['published', 'corrected'])
@examples
@given(
    fields=st.fixed_dictionaries(FIELDS | MAE_FIELDS),
    hidden=st.sampled_from([None, 3]),
)
@torch.no_grad()
def test_videomae(layout, fields, hidden):
    facts = SIZES | fields | dict(attention_layout=layout)
    model = scrambled(VideoMAE(None, num_frames=4, **facts))
    video, tokens = torch.randn(2, 3, 4, 16, 16).double(), 16 // facts['tubelet_size']
    mask = None if hidden is None else hidden_tokens(2, tokens, hidden, cls_token=False)
    out = model(video, mask, return_layers=range(facts['depth']))
    state = model.state_dict() | dict(model.named_buffers())  # files do not hold constant tables
    check(out.layers, plain_videomae(state, video, facts, mask))
