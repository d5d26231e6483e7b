"""VideoMAE's files: full published layouts, prefixes, classifiers of Kinetics, starts of runs."""

import json

import pytest
import torch

from internvideo.checkpoint.adapters.videomae import (
    VideoMAEFinetuneAdapter,
    VideoMAEPretrainAdapter,
)
from internvideo.checkpoint.files import write_state_dict
from internvideo.checkpoint.loading import load_pretrained
from internvideo.checkpoint.report import CheckpointMismatchError, LoadReport
from internvideo.hub.video_encoders import get_encoder
from internvideo.registry import MODELS
from tests.models.tasks.pretraining.small_models import MAE_TOWER, autoencoder, mae_classifier
from tests.paths import PARITY

FOLDER = PARITY / 'internvideo1_pretrain'
SIZES = dict(b='base', l='large', h='huge')
DECODERS = dict(b=(384, 4, 6), l=(512, 12, 8), h=(512, 8, 8))


def manifest(name):
    content = json.loads((FOLDER / f'{name}.manifest.json').read_text())
    state = {name: torch.empty(shape, device='meta') for name, shape, _ in content['state']}
    return state, content['params']


def shapes(state):
    return {name: tuple(tensor.shape) for name, tensor in state.items()}


def encoder(size, **fields):
    return dict(type='VideoMAE', arch=SIZES[size], patch_size=16, **fields)


@pytest.mark.parametrize('size', SIZES)
def test_a_full_pretraining_layout_goes_both_ways(size):
    width, depth, heads = DECODERS[size]
    with torch.device('meta'):
        model = MODELS.build(
            autoencoder(
                backbone=encoder(size, pos_embed='own'),
                decoder=dict(type='VideoMAEDecoder', embed_dim=width, depth=depth, num_heads=heads),
                masker=dict(type='TubeMask', ratio=0.9),
            )
        )
    published, count = manifest(f'videomae_pretrain_vit_{size}16')
    adapter, report = VideoMAEPretrainAdapter(), LoadReport()
    assert shapes(adapter.to_ours(published, model, report)) == shapes(model.state_dict())
    assert not (report.reshaped or report.new or report.left_over)
    assert shapes(adapter.to_published(model.state_dict())) == shapes(published)
    assert sum(p.numel() for p in model.parameters()) == count


@pytest.mark.parametrize('size', SIZES)
def test_a_full_classifier_layout_goes_both_ways(size):
    with torch.device('meta'):
        backbone = encoder(size, final_norm=False, pooling='mean')
        width = MODELS.build(backbone).embed_dim
        head = dict(type='ClassificationHead', num_classes=400, in_dim=width, norm_eps=1e-6)
        model = MODELS.build(dict(type='VideoRecognizer', backbone=backbone, head=head))
    published, count = manifest(f'videomae_finetune_vit_{size}16_k400')
    adapter, report = VideoMAEFinetuneAdapter(), LoadReport()
    assert shapes(adapter.to_ours(published, model, report)) == shapes(model.state_dict())
    assert not (report.reshaped or report.new or report.left_over)
    assert shapes(adapter.to_published(model.state_dict())) == shapes(published)
    assert sum(p.numel() for p in model.parameters()) == count


def published_pretraining():
    model = MODELS.build(autoencoder())
    return model, VideoMAEPretrainAdapter().to_published(model.state_dict())


@pytest.mark.parametrize('prefix', ['', 'module.'])
@pytest.mark.parametrize('container', ['model', 'module'])
def test_prefixes_and_containers_are_seen_through(tmp_path, prefix, container):
    source, published = published_pretraining()
    state = {f'{prefix}{name}': tensor for name, tensor in published.items()}
    torch.save({container: state}, tmp_path / 'pretrained.pth')
    autoencoder_report = load_pretrained(
        model := MODELS.build(autoencoder()), tmp_path / 'pretrained.pth', 'videomae_pretrain'
    )
    assert autoencoder_report.explained and not autoencoder_report.new
    assert torch.equal(model.mask_token, source.mask_token)
    classifier = MODELS.build(mae_classifier())
    report = load_pretrained(classifier, tmp_path / 'pretrained.pth', 'videomae_finetune')
    assert set(report.new) == {n for n in classifier.state_dict() if n.startswith('head.')}
    assert {'backbone.norm.weight', 'mask_token'} <= set(report.left_over)
    qkv = source.backbone.blocks[2].attn.qkv.weight
    assert torch.equal(classifier.backbone.blocks[2].attn.qkv.weight, qkv)


def test_an_encoder_with_a_final_norm_takes_that_of_pretraining(tmp_path):
    source, published = published_pretraining()
    torch.save(dict(model=published), tmp_path / 'pretrained.pth')
    for model in (MODELS.build(mae_classifier(final_norm=True)), MODELS.build(MAE_TOWER)):
        model.init_weights()
        load_pretrained(model, tmp_path / 'pretrained.pth', 'videomae_finetune')
        norm = getattr(model, 'backbone', model).norm
        assert torch.equal(norm.weight, source.backbone.norm.weight)


def test_our_own_pretraining_run_starts_a_classifier(tmp_path):
    source = MODELS.build(autoencoder())
    torch.save(dict(state_dict=source.state_dict()), tmp_path / 'epoch_1.pth')
    model = MODELS.build(mae_classifier())
    report = load_pretrained(model, tmp_path / 'epoch_1.pth', 'videomae_finetune')
    assert report.explained and all(name.startswith('head.') for name in report.new)
    weight = source.backbone.patch_embed.proj.weight
    assert torch.equal(model.backbone.patch_embed.proj.weight, weight)


def published_classifier(num_classes):
    model = MODELS.build(mae_classifier(num_classes))
    with torch.no_grad():
        model.head.head.bias.copy_(torch.arange(num_classes))
    return VideoMAEFinetuneAdapter().to_published(model.state_dict())


def test_kinetics_710_becomes_kinetics_400_and_600():
    published = published_classifier(710)
    for classes in (400, 600):
        model = MODELS.build(mae_classifier(classes))
        state = VideoMAEFinetuneAdapter(head='remap').to_ours(published, model)
        rows = state['head.head.bias'].long()
        assert torch.equal(state['head.head.weight'], published['head.weight'][rows])
        assert classes != 400 or rows.tolist() == list(range(400))


def test_another_class_count_is_named_and_the_head_can_be_started_anew(tmp_path):
    torch.save(dict(model=published_classifier(7)), tmp_path / 'other.pth')
    path, model = tmp_path / 'other.pth', MODELS.build(mae_classifier(3))
    with pytest.raises(CheckpointMismatchError, match=r'another class count: 7 .* 3 in the model'):
        load_pretrained(model, path, 'videomae_finetune')
    report = load_pretrained(model, path, 'videomae_finetune', head='reset')
    assert report.new == ['head.head.weight', 'head.head.bias']
    assert 'head.fc_norm.weight' in report.matched
    with pytest.raises(ValueError, match='head must be one of keep, reset, remap'):
        VideoMAEFinetuneAdapter(head='drop')


def test_a_classifier_with_another_pooling_does_not_load_half(tmp_path):
    torch.save(dict(model=published_classifier(3)), tmp_path / 'mean.pth')
    config = mae_classifier(final_norm=True, pooling='first')
    config['head'] |= dict(norm_eps=None)
    with pytest.raises(CheckpointMismatchError, match=r'missing .*backbone\.norm'):
        load_pretrained(MODELS.build(config), tmp_path / 'mean.pth', 'videomae_finetune')


def test_a_learned_table_is_resized():
    small, large = (
        MODELS.build(mae_classifier(pos_embed='learned', img_size=size)) for size in (28, 42)
    )
    adapter, report = VideoMAEFinetuneAdapter(), LoadReport()
    published = adapter.to_published(small.state_dict())
    assert shapes(adapter.to_ours(published, large, report)) == shapes(large.state_dict())
    assert set(report.reshaped) == {'backbone.pos_embed'}


def test_an_encoder_of_the_hub_is_filled_from_both_kinds_of_file(tmp_path):
    from mmengine.config import Config

    source, published = published_pretraining()
    torch.save(dict(model=published), tmp_path / 'pretrained.pth')
    torch.save(dict(module=published_classifier(3)), tmp_path / 'finetuned.pth')
    init = dict(type='Published', adapter='videomae_finetune', checkpoint='none.pth')
    config = Config(dict(model=mae_classifier() | dict(init_cfg=init)))
    first, second = (
        get_encoder(config, pretrained=tmp_path / f'{name}.pth')
        for name in ('pretrained', 'finetuned')
    )
    assert torch.equal(first.patch_embed.proj.bias, source.backbone.patch_embed.proj.bias)
    assert not torch.equal(first.patch_embed.proj.bias, second.patch_embed.proj.bias)
    pretraining = dict(init, adapter='videomae_pretrain')
    whole = Config(dict(model=autoencoder() | dict(init_cfg=pretraining)))
    third = get_encoder(whole, pretrained=tmp_path / 'pretrained.pth')
    assert torch.equal(third.norm.weight, source.backbone.norm.weight)


def test_a_missing_norm_is_not_taken_for_another_architecture(tmp_path):
    for adapter, lost, state, model in (
        ('videomae_pretrain', 'encoder.blocks.0.norm1.weight', *published_pretraining()[::-1]),
        (
            'videomae_finetune',
            'blocks.0.norm1.weight',
            published_classifier(5),
            MODELS.build(mae_classifier(5)),
        ),
    ):
        del state[lost]
        path = write_state_dict(state, tmp_path / 'part.pth')
        with pytest.raises(CheckpointMismatchError, match=r'norm1\.weight') as error:
            load_pretrained(model, path, adapter)
        assert 'architecture' not in str(error.value)


def test_a_file_for_another_family_is_named_with_the_adapter(tmp_path):
    path = write_state_dict(published_classifier(5), tmp_path / 'videomae.pth')
    with pytest.raises(ValueError, match=r'videomae\.pth, adapter internvideo2_single: '):
        load_pretrained(MODELS.build(mae_classifier(5)), path, 'internvideo2_single')
