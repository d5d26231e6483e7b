"""The InternVL image tower and VideoMAE."""

import pytest
import torch

from internvideo.registry import MODELS

MAE = dict(type='VideoMAE', arch=None, embed_dim=32, depth=3, num_heads=4, mlp_ratio=2, img_size=32)
IMAGE = dict(
    type='InternVLVision',
    arch=None,
    embed_dim=32,
    depth=2,
    num_heads=2,
    mlp_ratio=2,
    img_size=28,
    attn_pool_num_heads=2,
    clip_embed_dim=16,
)


def mae(**fields):
    return MODELS.build(MAE | dict(patch_size=16, num_frames=4, tubelet_size=2) | fields).eval()


def test_image_tower_sees_each_frame_on_its_own():
    model, video = MODELS.build(IMAGE).eval(), torch.randn(2, 3, 3, 28, 28)
    out = model(video, return_layers=[1], return_attn=True)
    single = model(video[:, :, 1:2], return_layers=[1], return_attn=True)
    torch.testing.assert_close(out.layers[0][:, 5:9], single.layers[0][:, 1:])
    torch.testing.assert_close(out.attn[:, 4:8], single.attn)
    assert out.grid == (3, 2, 2) and out.tokens.shape == (2, 13, 32)


def test_image_tower_averages_class_token_and_pooled_vector_over_frames():
    model, frame = MODELS.build(IMAGE).eval(), torch.randn(1, 3, 1, 28, 28)
    still, single = model(frame.repeat(1, 1, 4, 1, 1)), model(frame)
    torch.testing.assert_close(still.pooled, single.pooled)
    torch.testing.assert_close(still.tokens[:, 0], single.tokens[:, 0])


def test_position_table_of_the_image_tower_is_not_trained():
    table = MODELS.build(IMAGE).pos_embed
    assert not table.requires_grad and not table.any()


def test_layers_only_stops_after_the_last_layer():
    model, video = mae(), torch.randn(1, 3, 4, 32, 32)
    model.blocks[2].forward = None  # calling it would fail
    layers = model(video, return_layers=[0, 1], layers_only=True).layers
    assert len(layers) == 2


def test_corrected_attention_mixes_tokens_and_the_published_one_does_not_equal_it():
    video, outputs = torch.randn(1, 3, 4, 32, 32), []
    for layout in ('corrected', 'published'):
        torch.manual_seed(0)
        outputs.append(mae(attention_layout=layout)(video).tokens)
    assert not torch.allclose(*outputs, atol=1e-3)


def test_hidden_tokens_have_no_influence_on_the_mae_teacher():
    model, mask = mae(), torch.arange(8).repeat(2, 1) % 2 == 1
    video = torch.randn(2, 3, 4, 32, 32)
    other = video.clone()
    other[..., 16:] = 0  # the odd columns of squares are hidden
    torch.testing.assert_close(model(video, mask).tokens, model(other, mask).tokens)


def test_table_is_an_entry_of_the_state_only_at_other_sizes():
    base = dict(img_size=224, num_frames=16, embed_dim=16, num_heads=2, depth=1)
    base |= dict(pos_embed='stored')
    assert 'pos_embed' not in mae(**base).state_dict()
    assert 'pos_embed' not in mae(**base, patch_size=14).state_dict()
    assert 'pos_embed' in mae(**base | dict(img_size=64)).state_dict()


@pytest.mark.parametrize(
    ('fields', 'match'),
    [
        (dict(attention_layout='flash'), 'attention_layout'),
        (dict(pos_embed='sine'), 'pos_embed must be one of resized'),
        (dict(pooling='max'), 'pooling must be one of None, mean'),
        (dict(arch='tiny'), 'arch'),
        (dict(num_frames=5), 'num_frames'),
        (dict(num_heads=5), 'num_heads'),
    ],
    ids=str,
)
def test_bad_fields_are_named(fields, match):
    with pytest.raises(ValueError, match=match):
        mae(**fields)


def test_clips_of_another_length_are_named():
    with pytest.raises(ValueError, match='num_frames=4'):
        mae()(torch.randn(1, 3, 6, 32, 32))
