"""The video tower of ViCLIP: CLIP on single frames, the temporal table, and refused sizes."""

import pytest
import torch

from internvideo.models.backbones.viclip import ViCLIPVision
from internvideo.structures.rehearsal import SmallSizes


def tower(**fields):
    torch.manual_seed(0)
    encoder = ViCLIPVision(**ViCLIPVision.small(**fields)).eval()
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return encoder


def clips(encoder, frames=None):
    return torch.randn(2, 3, frames or encoder.num_frames, *encoder.img_size)


def clip_names(encoder):
    """Entries of transformers' CLIP vision tower, filled from ours."""
    state = {}
    for name, value in encoder.state_dict().items():
        name = name.replace('transformer.resblocks.', 'vision_model.encoder.layers.')
        for old, new in (
            ('ln_pre.', 'vision_model.pre_layrnorm.'),
            ('ln_post.', 'vision_model.post_layernorm.'),
            ('.ln_1.', '.layer_norm1.'),
            ('.ln_2.', '.layer_norm2.'),
            ('.mlp.c_fc.', '.mlp.fc1.'),
            ('.mlp.c_proj.', '.mlp.fc2.'),
            ('.attn.out_proj.', '.self_attn.out_proj.'),
        ):
            name = name.replace(old, new)
        if '.attn.in_proj_' in name:
            for letter, part in zip('qkv', value.chunk(3), strict=True):
                state[name.replace('attn.in_proj_', f'self_attn.{letter}_proj.')] = part
        else:
            state[name] = value
    table = 'vision_model.embeddings.position_embedding.weight'
    state[table] = state.pop('positional_embedding')
    state['vision_model.embeddings.class_embedding'] = state.pop('class_embedding')
    kernel = state.pop('conv1.weight')[:, :, 0]
    state['vision_model.embeddings.patch_embedding.weight'] = kernel
    state['visual_projection.weight'] = state.pop('proj').T
    return state


@torch.no_grad()
def test_an_image_is_seen_as_clip_sees_it():
    transformers = pytest.importorskip('transformers')
    encoder = tower(temporal_embedding=False)
    config = transformers.CLIPVisionConfig(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=28,
        patch_size=14,
        projection_dim=24,
        hidden_act='quick_gelu',
    )
    theirs = transformers.CLIPVisionModelWithProjection(config).eval()
    lost, spare = theirs.load_state_dict(clip_names(encoder), strict=False)
    assert not spare and not [name for name in lost if 'position_ids' not in name]
    image = clips(encoder, 1)
    expected = theirs(image[:, :, 0]).image_embeds
    torch.testing.assert_close(encoder(image).pooled, expected, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_an_image_takes_the_mean_of_the_temporal_table():
    encoder, plain = tower(), tower()
    table = plain.temporal_positional_embedding
    table.copy_(table.mean(dim=1, keepdim=True).expand_as(table))
    image = clips(encoder, 1)
    torch.testing.assert_close(encoder(image).pooled, plain(image).pooled)
    assert encoder(image).grid == (1, 2, 2)


@torch.no_grad()
def test_the_order_of_frames_counts_only_by_the_temporal_table():
    video = clips(tower())
    for kept in (True, False):
        encoder = tower(temporal_embedding=kept)
        same = torch.allclose(encoder(video).pooled, encoder(video.flip(2)).pooled, atol=1e-5)
        assert same is not kept


@torch.no_grad()
def test_tokens_are_time_major():
    encoder = tower(temporal_embedding=False)
    video = clips(encoder)
    patches, swapped = (encoder.embed(clip)[:, 1:] for clip in (video, video.flip(2)))
    assert torch.equal(swapped.unflatten(1, (4, 4)), patches.unflatten(1, (4, 4)).flip(1))


@torch.no_grad()
def test_tubelets_and_towers_without_projection():
    encoder = tower(tubelet_size=2, output_dim=None)
    output = encoder(clips(encoder))
    assert encoder.grid == (2, 2, 2) and output.tokens.shape == (2, 9, 32)
    assert output.pooled is None and encoder.proj is None
    assert encoder(clips(encoder, 2)).tokens.shape == (2, 5, 32)


def test_stochastic_depth_drops_samples_not_token_positions():
    encoder = tower(drop_path_rate=0.9)
    encoder.train()
    block = encoder.blocks[-1]
    x = torch.randn(64, 5, 32)
    with torch.no_grad():
        kept = (block(x) != x).flatten(1)
    assert kept.all(dim=1).any() and not kept.any(dim=1).all()
    assert torch.equal(kept.all(dim=1), kept.any(dim=1))


def test_the_projection_starts_as_that_of_clip():
    encoder = ViCLIPVision(**ViCLIPVision.small())
    assert 0.8 < encoder.proj.detach().std() * 32**0.5 < 1.2
    assert not encoder.temporal_positional_embedding.any()


@pytest.mark.parametrize(
    ('fields', 'message'),
    [
        (dict(num_frames=5, tubelet_size=2), 'num_frames=5 must be divisible by tubelet_size=2'),
        (dict(num_frames=0), 'num_frames=0, .* must be positive'),
        (dict(img_size=30), 'img_size=.* by patch_size=14'),
        (dict(arch='tiny'), 'arch must be one of base, large'),
        (dict(drop_path_rate=1.0), r'drop_path_rate must be in \[0, 1\)'),
    ],
    ids=str,
)
def test_sizes_that_do_not_go_together_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        tower(**fields)


def test_another_number_of_frames_is_refused():
    encoder = tower()
    with pytest.raises(ValueError, match='num_frames=4'):
        encoder(clips(encoder, 3))


@pytest.mark.parametrize(
    'fields', [dict(), dict(patch_size=14, output_dim=None), dict(img_size=64)]
)
def test_a_rehearsal_shrinks_every_size(fields):
    config = ViCLIPVision.shrink(fields, SmallSizes())
    encoder = ViCLIPVision(**config)
    assert encoder.embed_dim == 48 and encoder.depth == 2
    assert encoder.pooled_dim == (0 if 'output_dim' in fields else 48)
