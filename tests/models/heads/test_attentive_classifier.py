"""The attentive probe with learned queries against transformers' V-JEPA 2."""

import pytest
import torch
from transformers import VJEPA2Config
from transformers.models.vjepa2.modeling_vjepa2 import VJEPA2AttentivePooler

from internvideo.models.backbones.base import EncoderOutput
from internvideo.models.heads.attentive_classifier import AttentiveClassifierHead, QueryPooler
from internvideo.registry import MODELS
from internvideo.structures import VideoDataSample

NAMES = {
    'cross_attention_layer.layer_norm': 'cross_attention_block.norm',
    'cross_attention_layer.cross_attn.q_proj': 'cross_attention_block.xattn.q',
    'cross_attention_layer.mlp': 'cross_attention_block.mlp',
    'self_attention_layers.': 'blocks.',
    '.layer_norm': '.norm',
    '.self_attn.out_proj': '.attn.proj',
}


def our_names(state):
    """The pooler's entries under our names, separate maps of queries, keys and values joined."""
    found = {}
    for name, value in state.items():
        for theirs, ours in NAMES.items():
            name = name.replace(theirs, ours)
        found[name] = value
    for kind in ('weight', 'bias'):
        parts = [f'cross_attention_layer.cross_attn.{p}_proj.{kind}' for p in 'kv']
        found[f'cross_attention_block.xattn.kv.{kind}'] = torch.cat([found.pop(p) for p in parts])
        for index in range(2):
            parts = [f'blocks.{index}.self_attn.{p}_proj.{kind}' for p in 'qkv']
            found[f'blocks.{index}.attn.qkv.{kind}'] = torch.cat([found.pop(p) for p in parts])
    return found


@torch.no_grad()
def test_the_pooler_is_that_of_transformers():
    torch.manual_seed(0)
    config = VJEPA2Config(
        hidden_size=32,
        num_attention_heads=4,
        num_pooler_layers=2,
        mlp_ratio=4,
        layer_norm_eps=1e-5,
        attn_implementation='eager',
    )
    theirs = VJEPA2AttentivePooler(config).eval()
    for parameter in theirs.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    ours = QueryPooler(32, 4, depth=3)
    ours.load_state_dict(our_names(theirs.state_dict()))
    tokens = torch.randn(2, 9, 32)
    torch.testing.assert_close(ours(tokens)[:, 0], theirs(tokens), rtol=1e-4, atol=1e-5)


def test_it_trains_on_a_frozen_encoder_of_several_class_tokens():
    backbone = dict(
        type='InternVideoNext',
        arch=dict(embed_dim=32, depth=2, num_heads=2, mlp_ratio=2.0),
        img_size=28,
        num_frames=2,
        clip_embed_dim=None,
    )
    head = dict(type='AttentiveClassifierHead', num_classes=3, embed_dim=32, num_heads=2, depth=2)
    model = MODELS.build(
        dict(type='VideoRecognizer', backbone=backbone, head=head, freeze=dict(open_blocks=0))
    )
    samples = [VideoDataSample(gt_label=torch.tensor(label)) for label in (0, 2)]
    losses = model(torch.randn(2, 3, 2, 28, 28), samples, mode='loss')
    losses['loss'].backward()
    open_ = {n.partition('.')[0] for n, p in model.named_parameters() if p.grad is not None}
    assert open_ == {'head'}


@pytest.mark.parametrize(
    ('fields', 'word'), [(dict(depth=0), 'depth=0'), (dict(num_heads=3), 'num_heads=3')]
)
def test_impossible_sizes_are_refused(fields, word):
    with pytest.raises(ValueError, match=word):
        AttentiveClassifierHead(**dict(num_classes=2, embed_dim=32, num_heads=2) | fields)


def test_tokens_of_another_width_are_named():
    features = EncoderOutput(torch.zeros(1, 4, 24), None, [], None, (1, 2, 2))
    with pytest.raises(ValueError, match=r'head\.embed_dim=32, .* 24 wide'):
        AttentiveClassifierHead(2, embed_dim=32, num_heads=2)(features)
