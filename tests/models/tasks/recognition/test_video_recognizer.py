"""The recogniser: losses, multi-view prediction, unreadable videos, probing."""

import pytest
import torch

from internvideo.models.backbones.videomae import VideoMAE
from internvideo.registry import MODELS
from internvideo.structures import VideoDataSample
from tests.models.backbones.test_internvideo2 import TINY


def build(**fields):
    head = dict(type='ClassificationHead', num_classes=5, in_dim=24, init_scale=50.0)
    return MODELS.build(dict(type='VideoRecognizer', backbone=TINY, head=head) | fields)


def samples(count, unreadable=()):
    made = []
    for index in range(count):
        sample = VideoDataSample(metainfo=dict(path=f'{index}.mp4')).set_gt_label(index % 5)
        if index in unreadable:
            sample.set_metainfo(dict(unreadable='truncated'))
        made.append(sample)
    return made


@pytest.mark.parametrize('chunk', [None, 1, 4])
def test_scores_are_the_mean_of_the_views_softmax(chunk):
    model, views = build(max_views_per_forward=chunk).eval(), torch.randn(2, 3, 3, 4, 28, 28)
    predicted = model(views, samples(2), mode='predict')
    expected = model(views).softmax(dim=-1).mean(dim=1)
    torch.testing.assert_close(torch.stack([s.pred_score for s in predicted]), expected)


def test_unreadable_videos_pass_through_in_order():
    given = samples(3, unreadable={1})
    predicted = build().eval()(torch.randn(2, 1, 3, 4, 28, 28), given, mode='predict')
    assert [s.path for s in predicted] == ['0.mp4', '1.mp4', '2.mp4']
    assert ['pred_score' in s for s in predicted] == [True, False, True]


def test_a_batch_without_readable_video_is_predicted_but_not_trained_on():
    model, given = build(), samples(2, unreadable={0, 1})
    assert model(None, given, mode='predict') == given
    with pytest.raises(ValueError, match='no readable clip'):
        model(None, given, mode='loss')


def test_misaligned_batch_is_refused():
    with pytest.raises(ValueError, match='2 videos came with 3 readable'):
        build()(torch.randn(2, 1, 3, 4, 28, 28), samples(3), mode='predict')


def test_unknown_mode_is_named():
    with pytest.raises(ValueError, match="'train'"):
        build()(torch.randn(1, 3, 4, 28, 28), mode='train')


def test_each_view_counts_as_a_clip_in_training():
    model, views = build().eval(), torch.randn(2, 2, 3, 4, 28, 28)
    repeated = [sample for sample in samples(2) for _ in range(2)]
    expected = model(views.flatten(0, 1), repeated, mode='loss')['loss']
    torch.testing.assert_close(model(views, samples(2), mode='loss')['loss'], expected)


@pytest.mark.parametrize('open_pooler', [False, True])
def test_probing_trains_what_is_open(open_pooler):
    model = build(freeze=dict(backbone=True, open_pooler=open_pooler)).train()
    model(torch.randn(2, 3, 4, 28, 28), samples(2), mode='loss')['loss'].backward()
    trained = {name.split('.')[1] for name, p in model.named_parameters() if p.grad is not None}
    assert trained == {'fc_norm', 'head'} | ({'clip_projector'} if open_pooler else set())
    assert not any(block.training for block in model.backbone.blocks)


def test_more_open_blocks_than_blocks_is_refused():
    with pytest.raises(ValueError, match='open_blocks=4'):
        build(freeze=dict(open_blocks=4))


@pytest.mark.parametrize('head_type', ['ClassificationHead', 'AttentiveProbeHead'])
def test_an_encoder_without_pooler_is_pooled_by_the_mean_of_its_patches(head_type):
    backbone = dict(VideoMAE.small(), type='VideoMAE')
    head = dict(type=head_type, num_classes=3, in_dim=32)
    model = build(backbone=backbone, head=head, freeze=dict(open_blocks=0)).eval()
    clips = torch.randn(2, 3, 4, 28, 28)
    features = model.extract_features(clips)
    torch.testing.assert_close(features.pooled, model.backbone(clips).tokens.mean(dim=1))
    assert model(clips, samples(2), mode='loss')['loss'].requires_grad
    assert model(clips, samples(2), mode='predict')[0].pred_score.shape == (3,)


@pytest.mark.parametrize('open_blocks', [0, 1])
def test_any_encoder_can_be_probed(open_blocks):
    arch = dict(embed_dim=24, depth=2, num_heads=2, mlp_ratio=2.0)
    backbone = dict(
        type='VideoMAE', arch=arch, img_size=28, num_frames=4, pooling='mean', drop_path_rate=0.5
    )
    model = build(backbone=backbone, freeze=dict(open_blocks=open_blocks)).train()
    model(torch.randn(2, 3, 4, 28, 28), samples(2), mode='loss')['loss'].backward()
    trained = {name for name, p in model.backbone.named_parameters() if p.grad is not None}
    assert {name.rpartition('blocks.')[2][0] for name in trained} == set('1' * open_blocks)
    assert [block.training for block in model.backbone.blocks] == [False, bool(open_blocks)]


def test_segments_of_different_videos_are_not_averaged():
    head = dict(type='ClassificationHead', num_classes=5, in_dim=24, num_segments=2)
    model, views = build(head=head), torch.randn(2, 4, 3, 4, 28, 28)
    assert model(views, samples(2), mode='loss')['loss'].requires_grad
    with pytest.raises(ValueError, match='num_segments=2 does not divide 3 views'):
        model(views[:, :3], samples(2), mode='loss')
