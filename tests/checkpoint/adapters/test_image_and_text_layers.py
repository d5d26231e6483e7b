"""Files of transformers' SigLIP and ModernBERT in our image tower and layers."""

import pytest
import torch
from transformers import ModernBertConfig, SiglipVisionConfig
from transformers.models.modernbert.modeling_modernbert import ModernBertModel
from transformers.models.siglip.modeling_siglip import SiglipVisionModel

from internvideo.checkpoint.loading import load_pretrained
from internvideo.checkpoint.report import CheckpointMismatchError
from internvideo.models.backbones.siglip import SiglipVision
from internvideo.models.text.modernbert import ModernBertLayers

TABLE = 'vision_model.embeddings.position_embedding.weight'
LAYERS = dict(hidden_size=32, num_heads=2, intermediate_size=24)


def siglip_file(path, prefix='', size=28):
    torch.manual_seed(0)
    config = SiglipVisionConfig(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=size,
        patch_size=14,
    )
    tower = SiglipVisionModel(config)
    state = {f'{prefix}vision_model.{name}': value for name, value in tower.state_dict().items()}
    text = {f'{prefix}{n}': torch.ones(1) for n in ('text_model.head.weight', 'logit_scale')}
    torch.save(state | text, path)
    return tower.eval()


@torch.no_grad()
@pytest.mark.parametrize('prefix', ['', 'vision_tower.'])
def test_the_image_tower_of_a_file_is_taken(tmp_path, prefix):
    tower = siglip_file(tmp_path / 'x.pth', prefix)
    encoder = SiglipVision(**SiglipVision.small()).eval()
    report = load_pretrained(encoder, tmp_path / 'x.pth', 'siglip')
    assert len(report.left_over) == 2 and not report.reshaped
    frames = torch.randn(2, 3, 28, 28)
    expected = tower(frames).pooler_output
    torch.testing.assert_close(encoder.encode_frames(frames).pooled, expected, rtol=1e-4, atol=1e-5)


def test_a_table_of_another_size_is_resized(tmp_path):
    siglip_file(tmp_path / 'x.pth', size=56)
    report = load_pretrained(SiglipVision(**SiglipVision.small()), tmp_path / 'x.pth', 'siglip')
    assert report.reshaped == {TABLE: ((16, 32), (4, 32))}


@pytest.mark.parametrize('depth', [1, 3])
def test_a_tower_of_another_depth_is_refused(tmp_path, depth):
    siglip_file(tmp_path / 'x.pth')
    arch = dict(embed_dim=32, depth=depth, num_heads=2, mlp_ratio=2.0)
    encoder = SiglipVision(**SiglipVision.small(arch=arch))
    with pytest.raises(CheckpointMismatchError, match=r'vision_model\.encoder'):
        load_pretrained(encoder, tmp_path / 'x.pth', 'siglip')


def modernbert_file(path, layers=9):
    torch.manual_seed(0)
    config = ModernBertConfig(
        vocab_size=11,
        hidden_size=32,
        intermediate_size=24,
        num_hidden_layers=layers,
        num_attention_heads=2,
        pad_token_id=0,
    )
    model = ModernBertModel(config)
    state = {f'model.{name}': value for name, value in model.state_dict().items()}
    torch.save(state | {'head.norm.weight': torch.ones(2), 'decoder.bias': torch.ones(2)}, path)
    return model


def test_the_named_layers_of_a_file_are_taken(tmp_path):
    model = modernbert_file(tmp_path / 'x.pth')
    layers = ModernBertLayers(**LAYERS, layer_ids=(6, 7, 8), global_layer_ids=(6,))
    report = load_pretrained(layers, tmp_path / 'x.pth', 'modernbert')
    assert any(name.startswith('layers.0.') for name in report.left_over)
    for index, number in enumerate((6, 7, 8)):
        found = layers.layers[index].mlp.Wi.weight
        assert torch.equal(found, model.layers[number].mlp.Wi.weight)


def test_layers_that_a_file_lacks_are_named(tmp_path):
    modernbert_file(tmp_path / 'x.pth', layers=8)
    layers = ModernBertLayers(**LAYERS, layer_ids=(7, 8), global_layer_ids=())
    with pytest.raises(ValueError, match=r'no layers \[8\]'):
        load_pretrained(layers, tmp_path / 'x.pth', 'modernbert')


@pytest.mark.parametrize('adapter', ['siglip', 'modernbert'])
def test_models_of_another_family_are_named(tmp_path, adapter):
    torch.save({'x': torch.ones(1)}, tmp_path / 'x.pth')
    with pytest.raises(ValueError, match=r'SigLIP|ModernBERT'):
        load_pretrained(torch.nn.Linear(2, 2), tmp_path / 'x.pth', adapter)
