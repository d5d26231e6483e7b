"""The InternVideo-Next encoder beyond the contract of encoders."""

import math

import pytest
import torch
import torch.nn.functional as F

from internvideo.models.backbones.internvideo_next import InternVideoNext, NormedPatchEmbed
from internvideo.verification.encoder_checks import CHECKS, build, clips

SMALL = InternVideoNext.small()


@pytest.mark.parametrize(
    'fields',
    [
        dict(sep_pos_embed=True),
        dict(clip_embed_dim=None, tubelet_size=2, qk_normalization=False, init_values=None),
        dict(num_cls_tokens=1, qkv_bias=True, act='gelu'),
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_variants_keep_the_contract(fields):
    kind = type('Variant', (InternVideoNext,), dict(SMALL=InternVideoNext.SMALL | fields))
    for name in CHECKS.keys() - {'named_sizes'}:
        CHECKS[name](kind)


def test_patch_embedding_is_a_convolution_between_two_norms():
    torch.manual_seed(0)
    layer = NormedPatchEmbed(patch_size=7, tubelet_size=2, in_channels=3, embed_dim=16)
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter)
    video = torch.randn(2, 3, 4, 14, 21)
    boxes = video.unfold(2, 2, 2).unfold(3, 7, 7).unfold(4, 7, 7)  # B C T' H' W' t p q
    boxes = boxes.permute(0, 2, 3, 4, 5, 6, 7, 1)
    normed = F.rms_norm(boxes.flatten(-4), (294,), layer.norm_before.weight, 1e-6)
    normed = normed.view(boxes.shape).permute(0, 7, 1, 4, 2, 5, 3, 6).reshape(video.shape)
    tokens = layer.proj(normed).flatten(3).permute(0, 2, 3, 1)
    expected = F.rms_norm(tokens, (16,), layer.norm.weight, 1e-6)
    torch.testing.assert_close(layer(video), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('sep_pos_embed', [False, True])
@pytest.mark.parametrize('shape', [(8, 28, 28), (4, 56, 28), (2, 42, 42)])
def test_clips_of_other_sizes_get_resized_tables(shape, sep_pos_embed):
    encoder = build(InternVideoNext, sep_pos_embed=sep_pos_embed, tubelet_size=2)
    frames, *size = shape
    other = InternVideoNext(
        **InternVideoNext.small(sep_pos_embed=sep_pos_embed, tubelet_size=2)
        | dict(num_frames=frames, img_size=tuple(size))
    ).eval()
    state = encoder.state_dict()
    for name, table in encoder.position_tables().items():
        state[name] = table.resize(state[name], encoder.grid, other.grid)
    other.load_state_dict(state)
    video = torch.randn(1, 3, *shape)
    found, expected = encoder(video), other(video)
    assert found.grid == other.grid
    torch.testing.assert_close(found.tokens, expected.tokens, rtol=1e-4, atol=1e-5)


def test_gradients_flow_through_a_resized_table():
    encoder = build(InternVideoNext)
    encoder(torch.randn(1, 3, 8, 28, 28)).tokens.square().mean().backward()
    assert encoder.pos_embed.grad.abs().sum(-1).min() > 0


@pytest.mark.parametrize(
    ('shape', 'word'),
    [((1, 3, 3, 28, 28), 'tubelet_size=2'), ((1, 3, 4, 28, 30), 'patch_size=14')],
)
def test_clips_that_do_not_divide_are_refused(shape, word):
    with pytest.raises(ValueError, match=word):
        build(InternVideoNext, tubelet_size=2)(torch.randn(shape))


def test_a_mask_of_motion_hides_its_share_and_keeps_class_tokens():
    encoder = build(InternVideoNext)
    mask = encoder.motion_mask(clips(encoder), 0.75)
    assert mask.shape == (2, 4 + 16)
    assert not mask[:, :4].any() and (mask.sum(dim=1) == 12).all()
    assert encoder(clips(encoder), mask).tokens.shape[1] == 8


def test_first_values_are_the_published_ones():
    torch.manual_seed(0)
    encoder = InternVideoNext(**InternVideoNext.small(arch=dict(
        embed_dim=128, depth=3, num_heads=2, mlp_ratio=4.0)))  # fmt: skip
    for index, block in enumerate(encoder.blocks):
        expected = 0.02 / math.sqrt(2 * (index + 1))
        for weight in (block.attn.proj.weight, block.mlp.fc2.weight):
            assert float(weight.std()) == pytest.approx(expected, rel=0.05)
    assert float(encoder.cls_token.std()) == pytest.approx(0.02, rel=0.15)
    assert not encoder.pos_embed[:, :4].any()


def test_an_encoder_without_class_token_is_refused():
    with pytest.raises(ValueError, match='num_cls_tokens'):
        InternVideoNext(**InternVideoNext.small(num_cls_tokens=0))
