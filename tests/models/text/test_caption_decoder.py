"""The caption decoder: published layout, attention with one key, rotation, labels, writing."""

import json

import pytest
import torch
from torch import nn

from internvideo.models.losses.masked_language import IGNORED
from internvideo.models.text.caption_decoder import (
    CaptionDecoder,
    ParallelBlock,
    RotaryFrequencies,
    SharedKeyAttention,
    next_tokens,
)
from internvideo.models.text.clip import CLIPText
from tests.paths import PARITY

SMALL = dict(width=16, vision_width=24, n_layers=2, heads=2, num_visual_queries=3, vocab_size=40)


@pytest.fixture
def decoder():
    torch.manual_seed(0)
    return CaptionDecoder(**SMALL).eval()


def test_layout_of_the_published_size():
    file = PARITY / 'internvideo1_pretrain/internvideo_mm_l14_caption_decoder.manifest.json'
    manifest = json.loads(file.read_text())
    facts = {name: value for name, value in manifest['facts'].items() if name != 'note'}
    with torch.device('meta'):
        model = CaptionDecoder(**facts)
    own = {name: list(tensor.shape) for name, tensor in model.state_dict().items()}
    assert own == {name: shape for name, shape, _ in manifest['state']}
    assert sum(p.numel() for p in model.parameters()) == manifest['params']


def shared_head_attention(attention, x, context):
    """Cross-attention written out head by head."""
    x, context = attention.norm(x), attention.context_norm(context)
    keys, values = attention.to_kv(context).chunk(2, dim=-1)
    heads = attention.to_q(x).split(attention.head_dim, dim=-1)
    scale = attention.head_dim**-0.5
    mixed = [(scale * q @ keys.transpose(1, 2)).softmax(dim=-1) @ values for q in heads]
    out = attention.to_out(torch.cat(mixed, dim=-1))
    if attention.ff is not None:
        wide, gate = attention.ff[0](x).chunk(2, dim=-1)
        out = out + attention.ff[2](wide * nn.functional.silu(gate))
    return out


@pytest.mark.parametrize('ff_mult', [None, 2])
def test_cross_attention_shares_keys_and_values(ff_mult):
    torch.manual_seed(0)
    attention = SharedKeyAttention(12, 20, 3, ff_mult, norm_context=True)
    for parameter in attention.parameters():
        nn.init.normal_(parameter, std=0.5)
    x, context = torch.randn(2, 5, 12), torch.randn(2, 7, 20)
    wanted = shared_head_attention(attention, x, context)
    torch.testing.assert_close(attention(x, context), wanted)


def test_rotation_is_that_of_transformers():
    from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

    rotary, x = RotaryFrequencies(8), torch.randn(2, 6, 3, 8)
    angles = torch.outer(torch.arange(6.0), rotary.inv_freq).repeat(1, 2)[None]
    wanted, _ = apply_rotary_pos_emb(x, x, angles.cos(), angles.sin(), unsqueeze_dim=2)
    torch.testing.assert_close(rotary(x), wanted)


def test_parallel_block_sees_no_later_token():
    torch.manual_seed(0)
    block, x = ParallelBlock(16, 2, 4), torch.randn(1, 6, 16)
    nn.init.normal_(block.fused_attn_ff_proj.weight)
    other = x.clone()
    other[:, 4:] = torch.randn(2, 16)
    torch.testing.assert_close(block(x)[:, :4], block(other)[:, :4])
    assert not torch.allclose(block(x)[:, 4:], block(other)[:, 4:])


def test_half_precision_turns_by_the_angles_of_float32():
    x = torch.ones(1, 400, 1, 8, dtype=torch.bfloat16)
    rotary = RotaryFrequencies(8)
    torch.testing.assert_close(rotary(x).float(), rotary(x.float()), atol=4e-3, rtol=0)


def test_padding_is_no_label():
    ids = torch.tensor([[38, 3, 4, 39, 0, 0], [38, 1, 2, 3, 4, 39]])
    assert next_tokens(ids).tolist() == [[3, 4, 39, IGNORED, IGNORED], [1, 2, 3, 4, 39]]


def test_loss_is_that_of_the_logits(decoder):
    video, states = torch.randn(2, 9, 24), torch.randn(2, 6, 16)
    ids = torch.tensor([[38, 3, 4, 39, 0, 0], [38, 1, 2, 3, 4, 39]])
    logits = decoder(video, states[:, :-1])
    assert logits.shape == (2, 5, 40)
    wanted = nn.functional.cross_entropy(logits.flatten(0, 1), next_tokens(ids).flatten())
    torch.testing.assert_close(decoder.loss(video, states, ids), wanted)
    # What stands behind the end of text changes nothing.
    states[0, 4:] += 1
    torch.testing.assert_close(decoder.loss(video, states, ids), wanted)


def test_recomputed_activations_give_the_same_gradients():
    grads = []
    for number in (0, 2):
        torch.manual_seed(0)
        model = CaptionDecoder(**SMALL, checkpoint_num=number).train()
        model(torch.randn(2, 9, 24), torch.randn(2, 5, 16)).square().mean().backward()
        grads.append([p.grad for p in model.parameters()])
    torch.testing.assert_close(*grads, atol=0, rtol=0)


def text_tower():
    torch.manual_seed(1)
    sizes = dict(context_length=8, vocab_size=40, width=16, heads=2, layers=1)
    return CLIPText(embed_dim=8, **sizes).eval()


def test_captions_are_the_likeliest_words_one_by_one(decoder):
    text, video = text_tower(), torch.randn(3, 9, 24)
    ids = decoder.generate(video, text.encode_tokens, 38, 39, max_length=8)
    assert ids.shape[1] <= 8 and (ids[:, 0] == 38).all()
    for row, tokens in zip(ids, video, strict=True):
        length = int((row == 39).int().argmax()) + 1
        assert row[length - 1] == 39 and not row[length:].any()
        logits = decoder(tokens[None], text.encode_tokens(row[None, : length - 1]))[0]
        last = length - 1 if length == 8 else length
        assert torch.equal(logits.argmax(dim=-1)[: last - 1], row[1:last])


def test_a_caption_without_end_is_closed(decoder):
    nn.init.zeros_(decoder.predictor[4].weight)
    decoder.predictor[4].bias.data[7] = 1
    ids = decoder.generate(torch.randn(1, 9, 24), text_tower().encode_tokens, 38, 39, 5)
    assert ids.tolist() == [[38, 7, 7, 7, 39]]


@pytest.mark.parametrize(
    ('call', 'message'),
    [
        (lambda: CaptionDecoder(**SMALL | dict(heads=3)), 'width=16 is not divisible'),
        (
            lambda: CaptionDecoder(**SMALL).generate(torch.randn(1, 9, 24), None, 38, 39, 1),
            'max_length=1 has no room',
        ),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
