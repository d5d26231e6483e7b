"""Decoders of the student."""

import pytest
import torch

from internvideo.ops.features import normalise
from internvideo.registry import MODELS

SIZES = dict(embed_dim=32, pooled_dim=16, grid=(2, 2, 3), clip_dim=20, clip_layers=2)


def build(**fields):
    return MODELS.build(dict(type='AlignmentNeck', **SIZES | dict(clip_final_dim=10) | fields))


@pytest.mark.parametrize('sep_pos_embed', [False, True])
def test_showing_all_tokens_equals_no_selection(sep_pos_embed):
    neck = build(sep_pos_embed=sep_pos_embed, mae_dim=18, mae_layers=1)
    streams, pooled = [torch.randn(3, 13, 32) for _ in range(2)], torch.randn(3, 16)
    everything = torch.arange(13).repeat(3, 1)
    whole, picked = (
        neck(pooled, streams, streams[:1]),
        neck(pooled, streams, streams[:1], everything),
    )
    torch.testing.assert_close(whole, picked)
    assert [tuple(x.shape) for x in (whole.clip_middle[1], whole.clip_final, whole.mae[0])] == [
        (3, 13, 20),
        (3, 10),
        (3, 12, 18),
    ]


def test_visible_tokens_get_the_rows_of_their_own_places():
    neck, visible = build(), torch.tensor([[0, 3, 7], [0, 1, 12]])
    streams = [torch.zeros(2, 3, 32)] * 2
    picked = neck(torch.zeros(2, 16), streams, visible=visible).clip_middle[0]
    whole = neck(torch.zeros(2, 16), [torch.zeros(2, 13, 32)] * 2).clip_middle[0]
    torch.testing.assert_close(picked, whole.gather(1, visible[..., None].expand(-1, -1, 20)))


def test_no_final_width_hands_the_pooled_vector_out():
    pooled = torch.randn(2, 16)
    aligned = build(clip_final_dim=0)(pooled, [torch.randn(2, 13, 32)] * 2)
    assert aligned.clip_final is pooled


def test_a_zero_vector_stays_zero():
    torch.testing.assert_close(normalise(torch.zeros(2, 4), 'l2'), torch.zeros(2, 4))


@pytest.mark.parametrize(
    'fields',
    [dict(clip_decoder='Linear'), dict(clip_norm='l1'), dict(mae_layers=1), dict(clip_layers=0)],
    ids=str,
)
def test_bad_fields_are_named(fields):
    with pytest.raises(ValueError, match=next(iter(fields)).replace('clip_norm', 'norm')):
        build(**fields)


def test_images_take_their_own_rows():
    neck = build(image_pos_embed='separate')
    assert neck.clip_img_pos_embed.shape == (1, 7, 32)
    assert 'clip_img_pos_embed' in neck.no_weight_decay()
    aligned = neck(torch.zeros(2, 16), [torch.zeros(2, 7, 32)] * 2, is_image=True)
    assert aligned.clip_middle[0].shape == (2, 7, 20)


@pytest.mark.parametrize(
    'fields', [dict(), dict(image_pos_embed='shared', mae_dim=8, mae_layers=1)]
)
def test_images_are_refused_where_they_have_no_place(fields):
    streams = [torch.zeros(2, 7, 32)] * 2
    with pytest.raises(ValueError, match='images need image_pos_embed and no MAE branch'):
        build(**fields)(torch.zeros(2, 16), streams, streams[:1], is_image=True)
