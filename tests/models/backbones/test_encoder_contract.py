"""Every registered video encoder, those of projects included, keeps the contract."""

import importlib
import re

import pytest
import torch

from internvideo.models.backbones.base import VideoEncoder
from internvideo.models.backbones.internvideo2 import InternVideo2
from internvideo.models.backbones.uniformerv2 import UniFormerV2
from internvideo.registry import MODELS
from internvideo.verification.encoder_checks import CHECKS, registered_encoders
from tests.paths import ROOT

for init in sorted((ROOT / 'projects').glob('*/__init__.py')):
    importlib.import_module(f'projects.{init.parent.name}')


@pytest.mark.parametrize('check', CHECKS.values(), ids=CHECKS)
@pytest.mark.parametrize('kind', registered_encoders(), ids=lambda kind: kind.__name__)
def test_registered_encoders(kind, check):
    check(kind)


@pytest.mark.parametrize(
    'fields',
    [
        dict(sep_pos_embed=True),
        dict(image_pos_embed='separate'),
        dict(clip_embed_dim=None, tubelet_size=2, qk_normalization=False, init_values=None),
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_variants_of_internvideo2(fields):
    kind = type('Variant', (InternVideo2,), dict(SMALL=InternVideo2.SMALL | fields))
    # The table of images gets no gradient from clips.
    spared = {'backward'} if 'image_pos_embed' in fields else set()
    for name in CHECKS.keys() - spared - {'named_sizes'}:
        CHECKS[name](kind)


@pytest.mark.parametrize(
    'fields',
    [
        dict(no_lmhra=True, balance=False),
        dict(temporal_downsample=True, global_layers=[0]),
        dict(double_lmhra=False, sync_batch_norm=True, global_layers=[1], mlp_dropout=[0.1]),
        dict(published_drop_path=True, backbone_drop_path_rate=0.5, drop_path_rate=0.1),
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_variants_of_uniformerv2(fields):
    kind = type('Variant', (UniFormerV2,), dict(SMALL=dict(UniFormerV2.SMALL) | fields))
    for name in CHECKS.keys() - {'named_sizes'}:
        CHECKS[name](kind)


@pytest.fixture
def example():
    """The encoder of docs/encoders.md, registered as by a project that is imported."""
    text = (ROOT / 'docs/encoders.md').read_text()
    blocks = re.findall(r'```python\n(.*?)```', text, re.DOTALL)
    (code,) = (block for block in blocks if '@MODELS.register_module' in block)
    before, scope = set(MODELS.module_dict), {}
    exec(code, scope)
    (name,) = set(MODELS.module_dict) - before
    yield scope[name]
    del MODELS.module_dict[name]


def test_an_encoder_of_a_project_is_found_and_passes(example):
    assert example in registered_encoders()
    for check in CHECKS.values():
        check(example)


def undeclared_table(kind):
    return dict(position_tables=lambda self: {})


def absent_name(kind):
    return dict(no_weight_decay=lambda self: {'cls_token', 'pos_embed'})


def one_layer(kind):
    return dict(get_layer_depth=lambda self, name, prefix='': (0, self.depth + 2))


def deaf_to_freezing(kind):
    return dict(freeze=lambda self, open_blocks=0, open_pooler=False: None)


def without_layers(kind):
    def forward(self, video, *args, **options):
        return kind.forward(self, video)

    return dict(forward=forward)


def wide_open(kind):
    def forward(self, video, mask=None, **options):
        options.pop('num_visible', None)
        return kind.forward(self, video, **options)

    return dict(forward=forward)


def random_tokens(kind):
    def forward(self, *args, **options):
        output = kind.forward(self, *args, **options)
        return output._replace(tokens=output.tokens + torch.rand(()))

    return dict(forward=forward)


@pytest.mark.parametrize(
    ('check', 'fault'),
    [
        ('position_tables', undeclared_table),
        ('no_weight_decay', absent_name),
        ('layer_depth', one_layer),
        ('freezing', deaf_to_freezing),
        ('layers', without_layers),
        ('masks', wide_open),
        ('forward', random_tokens),
        ('saving', random_tokens),
        ('bfloat16', random_tokens),
    ],
)
def test_a_broken_encoder_is_found_out(example, check, fault):
    broken = type('Broken', (example,), fault(example))
    assert issubclass(broken, VideoEncoder)
    with pytest.raises((AssertionError, IndexError)):
        CHECKS[check](broken)
