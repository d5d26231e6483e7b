"""VideoMAE's own choices: tables, pooling, hidden tokens that cost nothing."""

import pytest
import torch

from internvideo.models.backbones.videomae import VideoMAE
from internvideo.models.layers.position import interleaved_sinusoid
from internvideo.verification.encoder_checks import CHECKS

SIZES = dict(arch=dict(embed_dim=24, depth=2, num_heads=2, mlp_ratio=2.0), num_frames=4)


def build(**fields):
    return VideoMAE(**SIZES | dict(img_size=32, patch_size=16) | fields).eval()


@pytest.mark.parametrize(
    'fields',
    [
        dict(pos_embed='learned', pooling='first'),
        dict(pos_embed='own', tubelet_size=4, qk_scale=0.3, init_values=0.1),
        dict(pos_embed='stored', qkv_bias=False),
        dict(final_norm=False, pooling='mean', img_size=(32, 48), patch_size=16),
    ],
    ids=lambda fields: '-'.join(map(str, fields.values())),
)
def test_variants_keep_the_contract(fields):
    kind = type('Variant', (VideoMAE,), dict(SMALL=VideoMAE.SMALL | fields))
    for name in CHECKS.keys() - {'named_sizes'}:
        CHECKS[name](kind)


@pytest.mark.parametrize('patch_size', [14, 16])
def test_at_the_base_size_all_constant_tables_are_one(patch_size):
    base = dict(img_size=224, num_frames=16, patch_size=patch_size)
    tables = [build(**base, pos_embed=kind).pos_embed for kind in ('resized', 'own', 'stored')]
    assert torch.equal(tables[0], tables[1]) and torch.equal(tables[0], tables[2])


def test_pretraining_counts_its_own_tokens_and_fine_tuning_resizes():
    own, resized = build(pos_embed='own').pos_embed, build().pos_embed
    assert torch.equal(own[0], interleaved_sinusoid(8, 24))
    assert own.shape == resized.shape and not torch.allclose(own, resized, atol=0.1)


def test_a_learned_table_learns():
    model = build(pos_embed='learned')
    mask = torch.tensor([[False, True] * 4] * 2)
    model(torch.randn(2, 3, 4, 32, 32), mask).tokens.square().sum().backward()
    rows = model.pos_embed.grad[0].abs().sum(dim=1) > 0
    assert rows.tolist() == [True, False] * 4
    assert model.no_weight_decay() == {'pos_embed'}


@pytest.mark.parametrize('pooling', ['mean', 'first'])
def test_pooled_vectors_are_those_of_the_tokens(pooling):
    output = build(pooling=pooling)(torch.randn(2, 3, 4, 32, 32))
    expected = output.tokens.mean(dim=1) if pooling == 'mean' else output.tokens[:, 0]
    torch.testing.assert_close(output.pooled, expected)


def test_hidden_patches_are_not_embedded():
    model, seen = build(), []
    model.patch_embed.embed = lambda tubes: (
        seen.append(tubes.shape[1]) or tubes.flatten(2)[..., :24]
    )
    model(torch.randn(1, 3, 4, 32, 32), torch.tensor([[True] * 6 + [False] * 2]))
    assert seen == [2]


def test_sides_that_patches_do_not_divide_are_halved_to_those_of_a_rehearsal():
    from internvideo.structures.rehearsal import SmallSizes

    small = VideoMAE.shrink(dict(type='VideoMAE', arch='base', patch_size=16), SmallSizes())
    assert (small['img_size'], small['patch_size']) == (56, 14)
    VideoMAE(**{key: value for key, value in small.items() if key != 'type'})
