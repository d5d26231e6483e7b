"""CLIP files start the towers of video models; what CLIP lacks is named as new."""

import pytest
import torch
from torch import nn

from internvideo.checkpoint.loading import load_pretrained
from internvideo.checkpoint.report import CheckpointMismatchError
from internvideo.models.layers.residual_attention import ResidualTransformer
from internvideo.models.text.clip import CLIPText

TEXT = dict(context_length=12, vocab_size=60, width=32, heads=4, layers=2)


class Tower(nn.Module):
    """The names of a video tower that starts from CLIP, of 16 patches a frame."""

    def __init__(self, width=24, depth=2, side=4, frames=2):
        super().__init__()
        self.grid = (3, side, side)
        self.class_embedding = nn.Parameter(torch.zeros(width))
        self.positional_embedding = nn.Parameter(torch.zeros(1 + side**2, width))
        self.temporal = nn.Parameter(torch.zeros(1, width))
        self.conv1 = nn.Conv3d(3, width, (frames, 8, 8), bias=False)
        self.ln_pre = nn.LayerNorm(width)
        self.transformer = ResidualTransformer(width, depth, 4)


class Pair(nn.Module):
    def __init__(self, text=TEXT, **tower):
        super().__init__()
        self.vision_encoder = Tower(**tower)
        self.visual_ln_post = nn.LayerNorm(self.vision_encoder.class_embedding.shape[0])
        self.text_encoder = CLIPText(embed_dim=16, mask_embedding=True, **text)
        self.logit_scale = nn.Parameter(torch.zeros(()))


@pytest.fixture
def released():
    """The entries of a CLIP of 24 and 32 wide towers, as open_clip builds it."""
    from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg

    torch.manual_seed(0)
    vision = CLIPVisionCfg(layers=2, width=24, head_width=6, patch_size=8, image_size=32)
    text = CLIPTextCfg(**TEXT)
    model = CLIP(embed_dim=16, vision_cfg=vision, text_cfg=text, quick_gelu=True)
    return {name: tensor for name, tensor in model.state_dict().items() if name != 'attn_mask'}


@pytest.fixture
def save(tmp_path):
    def write(state, name='clip.pth'):
        torch.save(dict(state), tmp_path / name)
        return tmp_path / name

    return write


def test_both_towers_are_filled(released, save):
    model = Pair()
    report = load_pretrained(model, save(released), 'clip')
    state = model.state_dict()
    kernel = state['vision_encoder.conv1.weight']
    assert torch.equal(kernel[:, :, 1], released['visual.conv1.weight'])
    assert not kernel[:, :, 0].any()
    for name in ('positional_embedding', 'text_projection', 'transformer.resblocks.1.ln_2.bias'):
        assert torch.equal(state[f'text_encoder.{name}'], released[name])
    assert torch.equal(state['visual_ln_post.weight'], released['visual.ln_post.weight'])
    assert torch.equal(state['logit_scale'], released['logit_scale'])
    assert report.new == ['vision_encoder.temporal', 'text_encoder.text_mask_embedding']
    assert report.left_over == ['visual.proj']


def test_image_tower_alone_fills_a_bare_encoder(released, save):
    inner = {k.removeprefix('visual.'): v for k, v in released.items() if k.startswith('visual.')}
    model = Tower(frames=1)
    report = load_pretrained(model, save(inner), 'clip')
    assert torch.equal(model.conv1.weight[:, :, 0], inner['conv1.weight'])
    assert report.new == ['temporal']
    assert sorted(report.left_over) == ['ln_post.bias', 'ln_post.weight', 'proj']


def test_kernel_is_spread_evenly_on_request(released, save):
    model = Pair()
    load_pretrained(model, save(released), 'clip', inflation='mean')
    kernel = model.vision_encoder.conv1.weight
    torch.testing.assert_close(kernel[:, :, 0], released['visual.conv1.weight'] / 2)


@pytest.mark.parametrize('length', [5, 20])
def test_text_table_is_cut_or_filled_up(released, save, length):
    model = Pair(text=TEXT | dict(context_length=length))
    report = load_pretrained(model, save(released), 'clip')
    table, kept = model.text_encoder.positional_embedding, min(length, 12)
    assert torch.equal(table[:kept], released['positional_embedding'][:kept])
    assert not table[kept:].any()
    assert 'text_encoder.positional_embedding' in report.reshaped


def test_table_of_patches_is_resized_for_a_finer_grid(released, save):
    model = Pair(side=6)
    report = load_pretrained(model, save(released), 'clip')
    table = model.vision_encoder.positional_embedding
    assert torch.equal(table[0], released['visual.positional_embedding'][0])
    assert report.reshaped['vision_encoder.positional_embedding'] == ((17, 24), (37, 24))


def test_one_tower_is_taken_on_request(released, save):
    model = Pair()
    before = model.text_encoder.text_projection.clone()
    report = load_pretrained(model, save(released), 'clip', towers=['vision'])
    assert torch.equal(model.text_encoder.text_projection, before)
    assert 'text_encoder.ln_final.weight' in report.new


@pytest.mark.parametrize(
    ('sizes', 'reason'),
    [
        (dict(width=40), 'embed_dim=24, depth=2, the model has embed_dim=40'),
        (dict(depth=3), 'missing in the checkpoint: vision_encoder.transformer'),
        (dict(depth=1), 'unexpected in the checkpoint: vision_encoder.transformer'),
    ],
)
def test_another_architecture_is_refused(released, save, sizes, reason):
    model = Pair(**sizes)
    before = model.vision_encoder.ln_pre.weight.clone()
    with pytest.raises(CheckpointMismatchError, match=reason):
        load_pretrained(model, save(released), 'clip')
    assert torch.equal(model.vision_encoder.ln_pre.weight, before)


def test_missing_tower_and_unknown_options_are_named(released, save):
    texts = {k: v for k, v in released.items() if not k.startswith('visual.')}
    with pytest.raises(ValueError, match='holds no vision tower of CLIP'):
        load_pretrained(Pair(), save(texts), 'clip')
    with pytest.raises(ValueError, match='Linear has no vision or text tower of CLIP'):
        load_pretrained(nn.Linear(2, 2), save(released), 'clip')
    with pytest.raises(ValueError, match='towers must be of vision, text'):
        load_pretrained(Pair(), save(released), 'clip', towers=['audio'])
    with pytest.raises(ValueError, match='inflation must be one of'):
        load_pretrained(Pair(), save(released), 'clip', inflation='all')


def test_torchscript_archive_needs_trust(tmp_path):
    class Scale(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.arange(3.0))

        def forward(self, x):
            return x * self.weight

    path = tmp_path / 'scripted.pt'
    torch.jit.script(Scale()).save(path)
    model = Scale()
    nn.init.zeros_(model.weight)
    from internvideo.checkpoint.loading import load_weights

    with pytest.raises(ValueError, match='is a TorchScript archive'):
        load_weights(model, path)
    load_weights(model, path, trusted_pickle=True)
    assert model.weight.tolist() == [0, 1, 2]
