"""The InternVideo2 encoder: published layouts, masks, taps, checkpointing and bad input."""

import json

import pytest
import torch

from internvideo.registry import MODELS
from tests.paths import PARITY

MANIFESTS = PARITY / 'internvideo2_single'
NAMES = {'S14': 'small', 'B14': 'base', 'L14': 'large', '1B': '1B', '6B': '6B'}
TINY = dict(
    type='InternVideo2',
    arch=dict(embed_dim=32, depth=3, num_heads=4, mlp_ratio=2),
    img_size=28,
    num_frames=4,
    attn_pool_num_heads=4,
    clip_embed_dim=24,
    init_values=0.5,
)


def build(**fields):
    return MODELS.build(TINY | fields)


def clips(batch=2, seed=0):
    return torch.randn(batch, 3, 4, 28, 28, generator=torch.Generator().manual_seed(seed))


def some_mask(batch=2, hidden=10):
    mask = torch.zeros(batch, 17, dtype=torch.bool)
    for row in mask:
        row[1 + torch.randperm(16)[:hidden]] = True
    return mask


@pytest.mark.parametrize('variant', NAMES)
def test_published_names_and_shapes(variant):
    manifest = json.loads((MANIFESTS / f'internvideo2_{variant}_k400.manifest.json').read_text())
    with torch.device('meta'):
        encoder = MODELS.build(dict(type='InternVideo2', arch=NAMES[variant]))
        head = MODELS.build(dict(type='ClassificationHead', num_classes=400))
    own = {**encoder.state_dict(), **head.state_dict()}
    assert {name: list(value.shape) for name, value in own.items()} == {
        name: shape for name, shape, _ in manifest['state']
    }
    assert sum(value.numel() for value in own.values()) == manifest['params']
    # The published list names the tables of both kinds of encoder.
    published = [name for name in manifest['no_weight_decay'] if name in own]
    assert sorted(encoder.no_weight_decay()) == published


def test_showing_all_tokens_is_no_mask():
    model, video = build().eval(), clips()
    shown = model(video, torch.zeros(2, 17, dtype=torch.bool))
    torch.testing.assert_close(shown.tokens, model(video).tokens)


@pytest.mark.parametrize('sep_pos_embed', [False, True])
def test_hidden_patches_have_no_influence(sep_pos_embed):
    model, video, mask = build(sep_pos_embed=sep_pos_embed).eval(), clips(), some_mask()
    patches = video.unflatten(4, (2, 14)).unflatten(3, (2, 14)).permute(0, 2, 3, 5, 1, 4, 6)
    changed = patches.flatten(1, 3).clone()
    changed[mask[:, 1:]] += 1.0
    changed = changed.unflatten(1, (4, 2, 2)).permute(0, 4, 1, 2, 5, 3, 6).reshape_as(video)
    one, two = model(video, mask), model(changed, mask, num_visible=7)
    assert one.tokens.shape == (2, 7, 32)
    torch.testing.assert_close(one.pooled, two.pooled)


def test_layers_come_in_the_order_asked_for():
    features = build().eval()(clips(), return_layers=(2, 0), return_attn=True)
    assert torch.equal(features.layers[0], features.tokens)
    assert not torch.equal(features.layers[1], features.tokens)
    assert features.attn.shape == (2, 16)
    assert features.grid == (4, 2, 2)
    assert (features.attn.sum(dim=1) < 1).all()


def test_checkpointing_keeps_the_gradients():
    plain, saving = build().train(), build(use_checkpoint=True, checkpoint_num=2).train()
    saving.load_state_dict(plain.state_dict())
    for model in (plain, saving):
        model(clips()).pooled.square().sum().backward()
    for one, two in zip(plain.parameters(), saving.parameters(), strict=True):
        torch.testing.assert_close(one.grad, two.grad)


def test_compiles_without_graph_breaks():
    model = build().eval()
    compiled = torch.compile(model, backend='eager', fullgraph=True)
    mask = some_mask()
    features = compiled(clips(), mask, return_layers=(1,), num_visible=7)
    torch.testing.assert_close(features.pooled, model(clips(), mask).pooled)


def test_frozen_parts_stay_in_eval_mode_and_off_the_graph():
    model = build(drop_path_rate=0.5)
    model.freeze(open_blocks=1)
    model.train()
    assert [block.training for block in model.blocks] == [False, False, True]
    first = model(clips(), return_layers=(1,))
    assert not first.layers[0].requires_grad
    assert first.tokens.requires_grad
    assert not any(p.requires_grad for p in model.clip_projector.parameters())


@pytest.mark.parametrize(
    ('name', 'layer'),
    [
        ('cls_token', 0),
        ('pos_embed', 0),
        ('patch_embed.proj.bias', 0),
        ('blocks.2.ls1.gamma', 3),
        ('pos_embed_spatial', 4),
        ('clip_projector.norm1_q.bias', 4),
    ],
)
def test_layer_depth(name, layer):
    assert build().get_layer_depth(f'backbone.{name}', 'backbone.') == (layer, 5)


@pytest.mark.parametrize('shape', [(1, 3, 8, 28, 28), (1, 3, 4, 28, 42), (3, 4, 28, 28)])
def test_another_input_size_is_named(shape):
    with pytest.raises(ValueError, match=r'num_frames=4 and img_size=\(28, 28\)'):
        build()(torch.zeros(shape))


@pytest.mark.parametrize(
    ('fields', 'message'),
    [
        (dict(arch='huge'), "arch must be one of small, base.*'huge'"),
        (dict(arch=None, depth=2), "lacks .*'embed_dim', 'num_heads', 'mlp_ratio'"),
        (dict(arch=dict(width=3)), "unknown fields .*'width'"),
        (dict(img_size=30), 'img_size=.*patch_size=14'),
        (dict(num_frames=5, tubelet_size=2), 'num_frames=5.*tubelet_size=2'),
    ],
)
def test_bad_fields_are_named(fields, message):
    with pytest.raises(ValueError, match=message):
        build(**fields)


@pytest.mark.parametrize(
    ('call', 'message'),
    [
        (dict(return_layers=(3,)), r'return_layers=\[3\]'),
        (dict(return_layers=(1, 1)), 'distinct'),
        (dict(mask=torch.zeros(2, 16, dtype=torch.bool)), r'\(2, 17\)'),
        (dict(mask=torch.eye(2, 17, dtype=torch.bool).cumsum(0) > 0), r'differ.*\[15, 16\]'),
    ],
)
def test_bad_calls_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        build()(clips(), **call)


def test_attention_needs_the_pooler():
    with pytest.raises(ValueError, match='clip_embed_dim=0'):
        build(clip_embed_dim=0)(clips(), return_attn=True)


@pytest.mark.parametrize('tubelet_size', [1, 2])
@pytest.mark.parametrize(
    'tables', [dict(), dict(sep_pos_embed=True), dict(image_pos_embed='separate')], ids=str
)
def test_images_have_one_temporal_position(tables, tubelet_size):
    model = build(**dict(image_pos_embed='shared', tubelet_size=tubelet_size) | tables).eval()
    out = model(clips()[:, :, :tubelet_size])
    assert out.tokens.shape == (2, 1 + 4, 32) and out.grid == (1, 2, 2)
    assert model(clips()).grid == (4 // tubelet_size, 2, 2)


def test_a_shared_image_table_is_the_mean_over_time():
    model = build(image_pos_embed='shared')
    expected = model.pos_embed[0, 1:].view(4, 4, 32).mean(0)
    torch.testing.assert_close(model.position_table(is_image=True)[0, 1:], expected)


@pytest.mark.parametrize(
    ('tables', 'name'), [(dict(sep_pos_embed=True), 'pos_embed_spatial'), ({}, 'img_pos_embed')]
)
def test_one_frame_is_an_image_even_where_clips_have_no_more(tables, name):
    kind = 'shared' if tables else 'separate'
    model = build(num_frames=1, image_pos_embed=kind, **tables).eval()
    assert model.is_image(1) and not build(num_frames=2, tubelet_size=2).is_image(2)
    before = model(clips()[:, :, :1]).tokens
    torch.nn.init.normal_(getattr(model, 'pos_embed_temporal' if tables else 'pos_embed'))
    torch.testing.assert_close(model(clips()[:, :, :1]).tokens, before)
    torch.nn.init.normal_(getattr(model, name))
    assert (model(clips()[:, :, :1]).tokens - before).abs().max() > 0.1


def test_a_separate_image_table_is_spared_decay_and_frozen_with_the_rest():
    model = build(image_pos_embed='separate')
    model.freeze()
    assert 'img_pos_embed' in model.no_weight_decay()
    assert not model.img_pos_embed.requires_grad


@pytest.mark.parametrize(
    'fields', [dict(image_pos_embed='mean'), dict(image_pos_embed='separate', sep_pos_embed=True)]
)
def test_unknown_image_tables_are_named(fields):
    with pytest.raises(ValueError, match='image_pos_embed must be'):
        build(**fields)


def test_images_are_refused_unless_asked_for():
    with pytest.raises(ValueError, match='num_frames=4'):
        build()(clips()[:, :, :1])
