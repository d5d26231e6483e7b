"""Two coordinated encoders: an ensemble at the start, who reads whom, what learns, bad input."""

import pytest
import torch
from torch import nn

from internvideo.registry import MODELS
from internvideo.structures import VideoDataSample

MASKED = dict(
    type='VideoMAE',
    arch=dict(embed_dim=24, depth=3, num_heads=2, mlp_ratio=2.0),
    img_size=16,
    patch_size=8,
    num_frames=4,
    pooling='mean',
)
MULTIMODAL = dict(
    type='UniFormerV2',
    arch=dict(embed_dim=16, depth=2, num_heads=2, mlp_ratio=2.0),
    img_size=16,
    patch_size=8,
    num_frames=2,
    mlp_dropout=0.0,
)
PIXELS = dict(
    data_preprocessor=dict(type='ClipDataPreprocessor', mean=[100.0] * 3, std=[50.0] * 3),
    multimodal_pixels=dict(mean=[110.0] * 3, std=[40.0] * 3),
)


def head(dim):
    # Larger than usual, so that scores differ.
    return dict(type='ClassificationHead', num_classes=5, in_dim=dim, init_scale=20.0)


def build(**fields):
    torch.manual_seed(0)
    config = dict(
        backbone=MASKED,
        multimodal_encoder=MULTIMODAL,
        head=head(24),
        multimodal_head=head(16),
        cross_layers=[(0, 0), (2, 1)],
        num_heads=2,
        frame_stride=2,
    )
    return MODELS.build(dict(type='CrossModelRecognizer') | config | fields)


def clips(size=3):
    return torch.randn(size, 3, 4, 16, 16, generator=torch.Generator().manual_seed(1))


def samples(size=3):
    found = [VideoDataSample() for _ in range(size)]
    for index, sample in enumerate(found):
        sample.set_gt_label(index % 5)
    return found


def open_gates(model):
    for name, parameter in model.named_parameters():
        if name.endswith('_gate'):
            nn.init.constant_(parameter, 0.5)


@pytest.mark.parametrize('fields', [{}, PIXELS], ids=['one scale', 'two scales'])
def test_the_start_is_the_ensemble_of_both(fields):
    model, video = build(**fields).eval(), clips()
    first = MODELS.build(dict(type='VideoRecognizer', backbone=MASKED, head=head(24)))
    second = MODELS.build(dict(type='VideoRecognizer', backbone=MULTIMODAL, head=head(16)))
    first.backbone.load_state_dict(model.backbone.state_dict())
    first.head.load_state_dict(model.head.state_dict())
    second.backbone.load_state_dict(model.multimodal_encoder.state_dict())
    second.head.load_state_dict(model.multimodal_head.state_dict())
    frames = video[:, :, ::2]
    if fields:  # back to grey levels, and normalised as the second encoder knows them
        frames = (frames * 50 + 100 - 110) / 40
    wanted = (first.eval()(video).softmax(-1) + second.eval()(frames).softmax(-1)) / 2
    torch.testing.assert_close(model(video).softmax(-1), wanted)
    found = model(video, samples(), mode='predict')
    torch.testing.assert_close(found[1].pred_score, wanted[1].detach())


def test_each_side_reads_the_other_once_gates_open():
    model, video = build().eval(), clips()
    before = model.encode_both(video)
    open_gates(model)
    nn.init.zeros_(model.last_cross_attention.attn_gate)
    nn.init.zeros_(model.last_cross_attention.mlp_gate)
    masked, multimodal = model.encode_both(video)
    assert not torch.allclose(masked.pooled, before[0].pooled)
    torch.testing.assert_close(multimodal.pooled, before[1].pooled)
    open_gates(model)
    assert not torch.allclose(model.encode_both(video)[1].pooled, before[1].pooled)
    # The encoder alone is as it was: nothing stays behind in it.
    alone = model.backbone(video).pooled
    torch.testing.assert_close(alone, before[0].pooled)


def test_modules_heads_and_the_query_token_learn():
    model = build()
    open_gates(model)
    loss = model(clips(), samples(), mode='loss')['loss']
    loss.backward()
    learning = {name for name, p in model.named_parameters() if p.requires_grad}
    inside = {n for n in learning if n.startswith(('backbone.', 'multimodal_encoder.'))}
    assert inside == {'multimodal_encoder.transformer.temporal_cls_token'}
    assert {n for n, p in model.named_parameters() if p.grad is not None} == learning
    assert not model.train().backbone.blocks[0].training


def test_training_opens_the_gates():
    model = build()
    optimiser = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=0.02)
    video, targets, losses = clips(), samples(), []
    for _ in range(12):
        optimiser.zero_grad()
        loss = model(video, targets, mode='loss')['loss']
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
    assert all(module.attn_gate.abs() > 0.01 for module in model.cross_attention)
    assert model.last_cross_attention.attn_gate.abs() > 0.01


def test_views_are_clips():
    model = build().eval()
    views = clips(6).unflatten(0, (3, 2))
    torch.testing.assert_close(model(views)[2, 1], model(views[2, 1:])[0])


@pytest.mark.parametrize(
    ('fields', 'message'),
    [
        (dict(cross_layers=[(3, 0)]), r'cross_layers=\[\(3, 0\)\] must be pairs .* below \(3, 2\)'),
        (dict(cross_layers=[(0, 0), (0, 1)]), 'each block of the backbone once'),
        (dict(cross_layers=[]), 'cross_layers'),
        (dict(num_heads=5), 'embed_dim=24 is not divisible by num_heads=5'),
        (dict(multimodal_pixels=PIXELS['multimodal_pixels']), 'needs a data_preprocessor'),
        (
            dict(multimodal_encoder=dict(MASKED, pooling=None)),
            'multimodal_encoder gives no pooled vector',
        ),
    ],
    ids=str,
)
def test_bad_input_is_named(fields, message):
    with pytest.raises(ValueError, match=message):
        build(**fields)
