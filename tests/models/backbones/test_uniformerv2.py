"""UniFormerV2 against the paper written out with torch's own modules, and its options."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from internvideo.checkpoint.loading import load_pretrained
from internvideo.checkpoint.report import CheckpointMismatchError
from internvideo.models.backbones.uniformerv2 import UniFormerV2
from internvideo.models.layers.residual_attention import MultiheadAttention
from internvideo.registry import MODELS
from internvideo.verification.encoder_checks import build as build_filled

ARCH = dict(embed_dim=24, depth=3, num_heads=3, mlp_ratio=4.0)
FIELDS = dict(arch=ARCH, img_size=24, patch_size=8, num_frames=4, global_layers=[0, 2])
LOCAL = dict(no_lmhra=False, temporal_downsample=True)


def build(**options):
    """An encoder far from where it starts, in evaluation mode."""
    kind = type('Filled', (UniFormerV2,), dict(SMALL=FIELDS | options))
    encoder = build_filled(kind)
    for module in encoder.modules():
        if isinstance(module, nn.BatchNorm3d):
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 2.0)
    return encoder


def clip(frames=4, batch=2):
    return torch.randn(batch, 3, frames, 24, 24, generator=torch.Generator().manual_seed(0))


# --- the published layout, (tokens, batch * frames, width) throughout ---------------------------


def attention(parameters, query, context):
    layer = nn.MultiheadAttention(24, parameters.num_heads)
    layer.load_state_dict(parameters.state_dict())
    return layer(query, context, context, need_weights=False)[0]


def mlp(parameters, x):
    hidden = parameters.c_fc(x)
    return parameters.c_proj(hidden * torch.sigmoid(1.702 * hidden))


def local(block, x, frames):
    if block is None:
        return x
    side = int((x.shape[0] - 1) ** 0.5)
    patches = x[1:].view(side, side, -1, frames, 24).permute(2, 4, 3, 0, 1)
    patches = patches + block.pos_embed(patches.contiguous())
    return torch.cat([x[:1], patches.permute(3, 4, 0, 2, 1).reshape(side**2, -1, 24)])


def published(encoder, video):
    """Tokens of the last layer, query after each global block, pooled vector."""
    parts = encoder.transformer
    halves = encoder.conv1.weight.shape[2] == 3
    stride = (2 if halves else 1, 8, 8)
    x = F.conv3d(video, encoder.conv1.weight, stride=stride, padding=(int(halves), 0, 0))
    batch, _, frames, rows, columns = x.shape
    x = x.permute(3, 4, 0, 2, 1).reshape(rows * columns, batch * frames, 24)
    x = torch.cat([encoder.class_embedding.expand(1, batch * frames, -1), x])
    x = encoder.ln_pre(x + encoder.positional_embedding[:, None])
    query, queries = parts.temporal_cls_token.expand(1, batch, -1), []
    for index, block in enumerate(parts.resblocks):
        x = local(block.lmhra1, x, frames)
        x = x + attention(block.attn, block.ln_1(x), block.ln_1(x))
        x = local(block.lmhra2, x, frames)
        x = x + mlp(block.mlp, block.ln_2(x))
        if index not in encoder.global_layers:
            continue
        place = encoder.global_layers.index(index)
        patches = x[1:].view(rows, columns, batch, frames, 24).permute(2, 4, 3, 0, 1)
        patches = patches + parts.dpe[place](patches)
        patches = patches.permute(3, 4, 2, 0, 1).reshape(rows * columns * frames, batch, 24)
        cls = x[0].view(batch, frames, 24).transpose(0, 1)
        tokens, dec = torch.cat([cls, patches]), parts.dec[place]
        query = query + attention(dec.attn, dec.ln_1(query), dec.ln_3(tokens))
        query = query + mlp(dec.mlp, dec.ln_2(query))
        queries.append(query[0])
    pooled = query[0]
    if parts.balance is not None:
        share = parts.balance.sigmoid()
        pooled = (1 - share) * pooled + share * x[0].view(batch, frames, 24).mean(1)
    return x, queries, pooled


@torch.no_grad()
@pytest.mark.parametrize(
    'options',
    [{}, LOCAL, dict(no_lmhra=False, double_lmhra=False), dict(balance=False, global_num_heads=2)],
    ids=lambda options: next(iter(options), 'plain'),
)
def test_the_paper_written_out_gives_the_same(options):
    encoder = build(**options)
    found = encoder(clip())
    tokens, _, pooled = published(encoder, clip())
    ours = encoder.split_frames(found.tokens).permute(2, 0, 1, 3).flatten(1, 2)
    torch.testing.assert_close(ours, tokens, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found.pooled, pooled, rtol=1e-4, atol=1e-5)


def test_one_query_without_keys_and_values_gives_values_and_gradients_of_the_kernels():
    torch.manual_seed(0)
    folded, kernel = (MultiheadAttention(24, 3, backend) for backend in ('auto', 'sdpa'))
    nn.init.normal_(folded.in_proj_bias)
    nn.init.normal_(folded.in_proj_weight, std=0.3)
    kernel.load_state_dict(folded.state_dict())
    query, tokens, grads = torch.randn(2, 2, 24), torch.randn(2, 50, 24), []
    outputs = []
    for layer in (folded, kernel):
        inputs = [query.clone().requires_grad_(), tokens.clone().requires_grad_()]
        outputs.append(layer(*inputs))
        outputs[-1].square().sum().backward()
        grads.append([*(x.grad for x in inputs), *(p.grad for p in layer.parameters())])
    torch.testing.assert_close(*outputs)
    for one, two in zip(*grads, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-5)


# --- start ----------------------------------------------------------------------------------------


@torch.no_grad()
def test_training_starts_from_half_the_class_tokens_whatever_the_new_parts():
    encoder = UniFormerV2(**FIELDS, no_lmhra=False).eval()
    output = encoder(clip())
    torch.testing.assert_close(output.pooled, output.tokens[:, :4].mean(dim=1) / 2)
    plain = UniFormerV2(**FIELDS).eval()
    plain.load_state_dict(encoder.state_dict(), strict=False)
    torch.testing.assert_close(plain(clip()).tokens, output.tokens)


@pytest.fixture
def released(tmp_path):
    """A CLIP image tower of 24 px in open_clip's names."""
    from open_clip.transformer import QuickGELU, VisionTransformer

    torch.manual_seed(0)

    def write(width=24, image_size=24):
        tower = VisionTransformer(
            image_size, 8, width, 3, 3, 4.0, output_dim=16, act_layer=QuickGELU
        )
        state = {f'visual.{name}': value for name, value in tower.state_dict().items()}
        torch.save(state, tmp_path / 'clip.pt')
        return tmp_path / 'clip.pt', tower.eval()

    return write


@torch.no_grad()
@pytest.mark.parametrize('options', [{}, LOCAL], ids=['plain', 'local'])
def test_clip_starts_the_frames_and_leaves_the_rest_new(released, options):
    path, tower = released()
    recognizer = MODELS.build(
        dict(
            type='VideoRecognizer',
            backbone=dict(type='UniFormerV2', **FIELDS, **options),
            head=dict(type='ClassificationHead', num_classes=3, in_dim=24),
        )
    ).eval()
    report = load_pretrained(recognizer, path, 'clip')
    parts = {name.removeprefix('backbone.transformer.').split('.')[0] for name in report.new}
    assert parts == {'temporal_cls_token', 'balance', 'dpe', 'dec', 'head'} | (
        {'resblocks'} if options else set()
    )
    local = [name for name in report.new if 'resblocks' in name]
    assert all('.lmhra' in name for name in local)
    encoder, video = recognizer.backbone, clip()
    frames = video[:, :, ::2] if options else video
    images = frames.transpose(1, 2).flatten(0, 1)
    seen = []
    tower.transformer.register_forward_hook(lambda module, given, tokens: seen.append(tokens))
    tower(images)
    expected = seen[0].unflatten(0, (2, -1))
    found = encoder.split_frames(encoder(video).tokens)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_clip_of_another_size_fits_and_of_another_width_does_not(released):
    path, _ = released(image_size=32)
    report = load_pretrained(UniFormerV2(**FIELDS), path, 'clip')
    assert set(report.reshaped) == {'positional_embedding', 'conv1.weight'}
    path, _ = released(width=48)
    with pytest.raises(CheckpointMismatchError, match='embed_dim=48, depth=3'):
        load_pretrained(UniFormerV2(**FIELDS), path, 'clip')


# --- bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(num_frames=5, temporal_downsample=True), 'takes an even num_frames, got 5'),
        (dict(global_layers=[1, 3]), r'ascending block indices in \[0, 3\)'),
        (dict(global_layers=[-1, 1]), 'ascending block indices'),
        (dict(global_layers=[2, 1]), 'ascending block indices'),
        (dict(global_layers=[1, 1]), 'ascending block indices'),
        (dict(global_layers=[]), 'ascending block indices'),
        (dict(mlp_dropout=[0.1, 0.2, 0.3]), r'mlp_dropout=\[0.1, 0.2, 0.3\] is not one rate'),
        (dict(dw_reduction=48, no_lmhra=False), 'dw_reduction=48 leaves nothing'),
        (dict(drop_path_rate=1.0), 'must be in'),
        (dict(arch='huge'), 'arch must be one of base, large'),
    ],
)
def test_impossible_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        UniFormerV2(**FIELDS | options)


def test_clips_of_any_length_are_taken_but_halved_only_evenly():
    encoder = build()
    assert encoder.num_prefix_tokens == 4
    for frames in (1, 3, 8):
        output = encoder(clip(frames))
        assert output.grid == (frames, 3, 3) and output.tokens.shape[1] == frames * 10
    halving = build(**LOCAL)
    assert halving.num_prefix_tokens == 2 and halving(clip(6)).grid == (3, 3, 3)
    for frames in (1, 3, 0):
        with pytest.raises(ValueError, match='got clips of shape'):
            halving(clip(frames))


@torch.no_grad()
def test_images_are_frames_of_their_own():
    encoder = build()
    assert encoder.is_image(1) and not encoder.is_image(2) and not build(**LOCAL).is_image(1)
    video = clip()
    images = encoder(video.transpose(1, 2).flatten(0, 1)[:, :, None])
    tokens = encoder.split_frames(encoder(video).tokens)
    # Frames meet in the global path only.
    torch.testing.assert_close(images.tokens.unflatten(0, (2, 4)), tokens)


def test_tokens_of_layers_go_back_to_frames():
    encoder = build(**LOCAL)
    output = encoder(clip(), return_layers=[1])
    for tokens in (output.tokens, output.layers[0]):
        frames = encoder.split_frames(tokens)
        assert frames.shape == (2, 2, 10, 24)
        assert torch.equal(frames[:, 1, 0], tokens[:, 1])
        assert torch.equal(frames[:, 1, 3], tokens[:, 2 + 9 + 2])


# --- training -------------------------------------------------------------------------------------


def test_recomputed_activations_count_a_batch_once():
    plain, recomputed = (
        build(no_lmhra=False).train(),
        build(no_lmhra=False, checkpoint_num=3).train(),
    )
    recomputed.load_state_dict(plain.state_dict())
    for encoder in (plain, recomputed):
        torch.manual_seed(0)
        encoder(clip()).pooled.sum().backward()
    for (name, one), two in zip(plain.named_buffers(), recomputed.buffers(), strict=True):
        torch.testing.assert_close(one, two, msg=name)
    assert plain.transformer.resblocks[0].lmhra1.pos_embed[0].num_batches_tracked == 1


def test_freezing_leaves_the_global_path_and_the_head():
    recognizer = MODELS.build(
        dict(
            type='VideoRecognizer',
            backbone=dict(type='UniFormerV2', **FIELDS, no_lmhra=False, balance=False),
            head=dict(type='ClassificationHead', num_classes=3, in_dim=24),
            freeze=dict(open_pooler=True),
        )
    ).train()
    learns = {
        name.removeprefix('backbone.transformer.').split('.')[0]
        for name, parameter in recognizer.named_parameters()
        if parameter.requires_grad
    }
    assert learns == {'temporal_cls_token', 'dpe', 'dec', 'head'}
    before = {name: value.clone() for name, value in recognizer.named_buffers()}
    output = recognizer.backbone(clip())
    assert output.pooled.requires_grad and not output.tokens.requires_grad
    for name, value in recognizer.named_buffers():
        assert torch.equal(value, before[name]), f'{name} moved'


def dropped_positions(encoder):
    """Whether the branches of a block fall out by clip and by token position."""
    block = encoder.blocks[-1].train()
    torch.manual_seed(3)
    x = torch.randn(64, 2, 10, 24)
    factors = block.drop_path(torch.ones_like(x))
    return [len(factors.flatten(1).unique(dim=0)) > 1, len(factors[0, 0].unique(dim=0)) > 1]


def test_stochastic_depth_drops_clips_or_as_published_token_positions():
    rates = dict(backbone_drop_path_rate=0.5, drop_path_rate=0.5, no_lmhra=False)
    assert dropped_positions(build(**rates)) == [True, False]
    published_way = build(**rates, published_drop_path=True)
    assert dropped_positions(published_way) == [False, True]
    ones = torch.ones(64, 1, 24)
    dec = published_way.transformer.dec[-1].train()
    assert len(dec.drop_path(ones).unique()) == 1
    dec = build(**rates).transformer.dec[-1].train()
    assert len(dec.drop_path(ones).unique()) == 2
    # Local blocks drop clips in both.
    dropped = published_way.blocks[-1].drop_local(torch.ones(64, 2, 9, 24))
    assert len(dropped.flatten(1).unique(dim=0)) == 2


def test_rates_rise_from_zero_along_the_depth():
    encoder = UniFormerV2(**FIELDS, backbone_drop_path_rate=0.2, drop_path_rate=0.4)
    assert [block.drop_path.rate for block in encoder.blocks] == pytest.approx([0, 0.1, 0.2])
    assert [block.drop_path.rate for block in encoder.transformer.dec] == pytest.approx([0, 0.4])
