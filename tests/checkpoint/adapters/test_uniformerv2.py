"""UniFormerV2 files fit by name and shape, both ways, and what does not fit is told why."""

import json

import pytest
import torch

from internvideo.checkpoint import LoadReport
from internvideo.checkpoint.adapters.kinetics import k710_rows
from internvideo.checkpoint.adapters.uniformerv2 import UniFormerV2Adapter
from internvideo.checkpoint.loading import load_pretrained
from internvideo.checkpoint.report import CheckpointMismatchError
from internvideo.registry import MODELS
from tests.paths import PARITY

FOLDER = PARITY / 'internvideo1_pretrain'
KINETICS = dict(num_classes=400)
LOCAL = dict(no_lmhra=False, temporal_downsample=True, num_frames=16, num_classes=174)
# Manifest, size, parameters as the publication counts them.
PUBLISHED = [
    ('b16_k400_f8', KINETICS, 114_552_208),
    ('b16_ssv2_f16', LOCAL | dict(global_layers=range(4, 12)), 162_992_814),
    ('l14_k400_f8', KINETICS, 354_099_600),
    ('l14_336_k400_f32', KINETICS | dict(img_size=336, num_frames=32), 354_427_280),
    ('l14_336_frozen_k400_f8', KINETICS | dict(img_size=336, balance=False), 354_426_256),
    ('l14_ssv2_f16', LOCAL | dict(global_layers=range(8, 24)), 573_949_966),
]


def recognizer(num_classes=5, **backbone):
    backbone = dict(type='UniFormerV2') | backbone
    width = MODELS.get('UniFormerV2').resolve_arch(backbone.get('arch', 'base'))['embed_dim']
    head = dict(type='ClassificationHead', num_classes=num_classes, in_dim=width)
    return MODELS.build(dict(type='VideoRecognizer', backbone=backbone, head=head))


def small(num_classes=5, **backbone):
    arch = dict(embed_dim=16, depth=3, num_heads=2, mlp_ratio=2.0)
    options = dict(arch=arch, img_size=16, patch_size=8, num_frames=2) | backbone
    return recognizer(num_classes, **options)


def shapes(state):
    return {name: tuple(tensor.shape) for name, tensor in state.items()}


@pytest.fixture
def save(tmp_path):
    def write(model):
        torch.save(UniFormerV2Adapter().to_published(model.state_dict()), tmp_path / 'file.pyth')
        return tmp_path / 'file.pyth'

    return write


@pytest.mark.parametrize(('name', 'options', 'count'), PUBLISHED, ids=lambda value: str(value)[:12])
def test_published_layouts_go_both_ways(name, options, count):
    arch = dict(arch='large', patch_size=14) if name.startswith('l14') else {}
    with torch.device('meta'):
        model = recognizer(**arch, **options)
    entries = json.loads((FOLDER / f'uniformerv2_{name}.manifest.json').read_text())['state']
    published = {f'backbone.{n}': torch.empty(shape, device='meta') for n, shape, _ in entries}
    adapter, report = UniFormerV2Adapter(), LoadReport()
    assert shapes(adapter.to_ours(published, model, report)) == shapes(model.state_dict())
    assert not (report.reshaped or report.new or report.left_over)
    assert shapes(adapter.to_published(model.state_dict())) == shapes(published)
    assert sum(p.numel() for p in model.parameters()) == count


def test_values_go_both_ways(save):
    source, model = small(), small()
    load_pretrained(model, save(source), 'uniformerv2')
    for name, value in source.state_dict().items():
        assert torch.equal(model.state_dict()[name], value), name


def test_names_without_prefix_and_our_own_are_understood():
    model, adapter = small(), UniFormerV2Adapter()
    published = adapter.to_published(model.state_dict())
    inner = {name.removeprefix('backbone.'): value for name, value in published.items()}
    for state in (published, inner, model.state_dict()):
        assert shapes(adapter.to_ours(state, small())) == shapes(model.state_dict())
    assert adapter.is_ours(model.state_dict()) and not adapter.is_ours(published)
    assert adapter.is_published(published) and not adapter.is_published(model.state_dict())
    assert not adapter.lacks(published)


def test_a_bare_encoder_leaves_the_classifier_over(save):
    encoder = small().backbone
    report = load_pretrained(encoder, save(small()), 'uniformerv2')
    assert sorted(report.left_over) == [
        f'transformer.proj.{part}.{kind}' for part in (0, 2) for kind in ('bias', 'weight')
    ]


@pytest.mark.parametrize('num_classes', [400, 600, 700])
def test_classes_of_a_kinetics_710_file(save, num_classes):
    source, model = small(710), small(num_classes)
    load_pretrained(model, save(source), 'uniformerv2', head='remap')
    rows = k710_rows(num_classes)
    assert torch.equal(model.head.head.weight, source.head.head.weight[rows])
    assert torch.equal(model.head.fc_norm.weight, source.head.fc_norm.weight)


def test_classes_by_a_list_of_ones_own(save, tmp_path):
    path = tmp_path / 'map.json'
    path.write_text(json.dumps([700, 3, 9]))
    source, model = small(710), small(3)
    load_pretrained(model, save(source), 'uniformerv2', head='remap', label_map=path)
    assert torch.equal(model.head.head.bias, source.head.head.bias[[700, 3, 9]])
    path.write_text(json.dumps([710, 3, 9]))
    with pytest.raises(ValueError, match=r'map\.json must be a JSON list of 3 classes'):
        load_pretrained(model, save(source), 'uniformerv2', head='remap', label_map=path)
    with pytest.raises(ValueError, match="needs head='remap'"):
        UniFormerV2Adapter(label_map=path)


@pytest.mark.parametrize('options', [dict(head='reset'), dict(delete_special_head=True)])
def test_a_new_classifier_keeps_the_norm_of_the_file(save, options):
    source, model = small(710), small(7)
    torch.nn.init.normal_(source.head.fc_norm.weight)
    before = model.head.head.weight.clone()
    report = load_pretrained(model, save(source), 'uniformerv2', **options)
    assert torch.equal(model.head.head.weight, before)
    assert torch.equal(model.head.fc_norm.weight, source.head.fc_norm.weight)
    assert report.new == ['head.head.weight', 'head.head.bias']
    assert report.left_over == ['transformer.proj.2.weight', 'transformer.proj.2.bias']


def test_a_classifier_of_the_models_classes_is_not_special(save):
    source, model = small(7), small(7)
    report = load_pretrained(model, save(source), 'uniformerv2', delete_special_head=True)
    assert torch.equal(model.head.head.weight, source.head.head.weight) and not report.new
    report = load_pretrained(small(7), save(source), 'uniformerv2', head='reset')
    assert report.new == ['head.head.weight', 'head.head.bias']


def test_the_table_takes_another_resolution(save):
    model = small(img_size=32)
    report = load_pretrained(model, save(small()), 'uniformerv2')
    assert list(report.reshaped) == ['backbone.positional_embedding']
    with pytest.raises(CheckpointMismatchError, match='positional_embedding'):
        load_pretrained(model, save(small()), 'uniformerv2', interpolate=False)


@pytest.mark.parametrize(
    ('file', 'model', 'reason'),
    [
        (dict(balance=False), {}, 'balance is False in the checkpoint .* frozen models have none'),
        ({}, dict(balance=False), 'balance is True in the checkpoint and False in the model'),
        (dict(no_lmhra=False), {}, 'no_lmhra is False in the checkpoint'),
        (dict(no_lmhra=False, double_lmhra=False), dict(no_lmhra=False), 'double_lmhra is False'),
        (dict(no_lmhra=False), dict(no_lmhra=False, dw_reduction=2), 'dw_reduction.* is 10 in'),
        (dict(temporal_downsample=True), {}, 'temporal_downsample is True in the checkpoint'),
        ({}, dict(global_layers=[1, 2]), 'number of global_layers is 3 in the checkpoint and 2'),
        (dict(num_classes=9), {}, 'another class count: 9 in the checkpoint, 5 in the model'),
        (
            dict(arch=dict(embed_dim=24, depth=3, num_heads=2, mlp_ratio=2.0)),
            {},
            'the checkpoint has embed_dim=24, depth=3, the model has embed_dim=16, depth=3',
        ),
    ],
)
def test_what_does_not_fit_is_told_why(save, file, model, reason):
    target = small(**model)
    before = {name: value.clone() for name, value in target.state_dict().items()}
    with pytest.raises(CheckpointMismatchError, match=reason):
        load_pretrained(target, save(small(**file)), 'uniformerv2')
    for name, value in target.state_dict().items():
        assert torch.equal(value, before[name]), f'{name} changed'


def test_another_encoder_is_refused():
    with pytest.raises(ValueError, match='has no UniFormerV2 encoder'):
        UniFormerV2Adapter().to_ours({}, torch.nn.Linear(2, 2))
    with pytest.raises(ValueError, match='head must be one of'):
        UniFormerV2Adapter(head='cut')
