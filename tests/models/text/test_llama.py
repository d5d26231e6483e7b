"""The LLaMA text tower with and without low-rank adapters."""

import pytest
import torch

from internvideo.checkpoint.adapters.internvideo2_multi import base_layer_name, published_layer_name
from internvideo.registry import MODELS

ARCH = dict(
    hidden_size=16,
    intermediate_size=24,
    num_hidden_layers=2,
    num_attention_heads=2,
    vocab_size=40,
    max_position_embeddings=32,
    pad_token_id=0,
)


def build(**fields):
    return MODELS.build(dict(type='LlamaText', arch=ARCH, out_dim=6) | fields).eval()


def test_padding_and_later_tokens_have_no_influence():
    model = build()
    short, padded = torch.tensor([[1, 5, 9, 2]]), torch.tensor([[1, 5, 9, 2, 0, 0]])
    torch.testing.assert_close(model(short), model(padded))


def test_an_unknown_token_moves_the_place_that_is_read():
    model = build()
    seen = model.transformer(
        input_ids=torch.tensor([[1, 0, 9, 2]]), attention_mask=torch.tensor([[1, 0, 1, 1]])
    )
    expected = seen.last_hidden_state[:, 2] @ model.text_projection
    torch.testing.assert_close(model(torch.tensor([[1, 0, 9, 2]])), expected)


def test_adapters_start_as_nothing_and_alone_learn():
    torch.manual_seed(0)
    model = build(lora=dict(r=2))
    learning = [name for name, p in model.transformer.named_parameters() if p.requires_grad]
    assert learning and all('lora_' in name for name in learning)
    plain = build()
    own = set(model.state_dict())
    model.load_state_dict(
        {base_layer_name(k, own): v for k, v in plain.state_dict().items()}, strict=False
    )
    tokens = torch.tensor([[1, 5, 2]])
    torch.testing.assert_close(model(tokens), plain(tokens))


def test_names_go_both_ways():
    own = set(build(lora=dict()).state_dict())
    published = [published_layer_name(name) for name in own]
    assert {base_layer_name(name, own) for name in published} == own
    assert not any('base_layer' in name for name in published)


@pytest.mark.parametrize('fields', [dict(arch='9B'), dict(lora=dict(rank=4))], ids=str)
def test_bad_fields_are_named(fields):
    with pytest.raises(ValueError, match=r'7B|unknown fields'):
        build(**fields)
