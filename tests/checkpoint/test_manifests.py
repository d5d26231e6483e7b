"""Full-size published layouts against full-size models, without their weights."""

import json

import pytest
import torch

from internvideo.checkpoint import LoadReport
from internvideo.checkpoint.adapters.internvideo2_single import InternVideo2SingleAdapter
from internvideo.registry import MODELS
from tests.paths import PARITY

FOLDER = PARITY / 'internvideo2_single'
ARCHITECTURES = {'S14': 'small', 'B14': 'base', 'L14': 'large', '1B': '1B', '6B': '6B'}


def manifest(name):
    """Name to tensor on the meta device."""
    state = json.loads((FOLDER / f'{name}.manifest.json').read_text())['state']
    return {name: torch.empty(shape, device='meta') for name, shape, _ in state}


def recognizer(arch):
    with torch.device('meta'):
        return MODELS.build(
            dict(
                type='VideoRecognizer',
                backbone=dict(type='InternVideo2', arch=arch),
                head=dict(type='ClassificationHead', num_classes=400),
            )
        )


def shapes(state):
    return {name: tuple(tensor.shape) for name, tensor in state.items()}


@pytest.mark.parametrize('size', ARCHITECTURES)
def test_names_and_shapes_go_both_ways(size):
    model, published = recognizer(ARCHITECTURES[size]), manifest(f'internvideo2_{size}_k400')
    adapter, report = InternVideo2SingleAdapter(), LoadReport()
    assert shapes(adapter.to_ours(published, model, report)) == shapes(model.state_dict())
    assert not (report.reshaped or report.new or report.left_over)
    assert shapes(adapter.to_published(model.state_dict())) == shapes(published)


@pytest.mark.parametrize(
    ('name', 'arch'), [('pretrain_internvideo2_1B', '1B'), ('distill_internvideo2_B14', 'base')]
)
def test_only_decoders_are_left_over_and_only_the_head_is_new(name, arch):
    model, report = recognizer(arch), LoadReport()
    state = InternVideo2SingleAdapter().to_ours(manifest(name), model, report)
    report.compare(shapes(state), shapes(model.state_dict()))
    assert report.explained and not report.reshaped
    assert all(name.startswith('head.') for name in report.new)
    assert all('decoder' in name or 'pos_embed' in name for name in report.left_over)
