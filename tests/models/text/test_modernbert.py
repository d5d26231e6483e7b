"""ModernBERT's layers against those of transformers."""

import pytest
import torch
from transformers import ModernBertConfig
from transformers.models.modernbert.modeling_modernbert import ModernBertModel

from internvideo.models.text.modernbert import ModernBertLayers, window_attention
from internvideo.models.text.modernbert import window as near

SIZES = dict(hidden_size=64, intermediate_size=48)


@pytest.fixture(scope='module')
def whole():
    """A text model of nine layers, whose last five have the numbers 4 to 8."""
    torch.manual_seed(0)
    config = ModernBertConfig(
        **SIZES,
        vocab_size=11,
        num_hidden_layers=9,
        num_attention_heads=4,
        local_attention=12,
        pad_token_id=0,
        attn_implementation='eager',
    )
    model = ModernBertModel(config).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model


@pytest.fixture(scope='module')
def cut(whole):
    layers = ModernBertLayers(
        **SIZES,
        num_heads=4,
        layer_ids=range(4, 9),
        global_layer_ids=(6,),
        local_attention=12,
    ).eval()
    state = {
        f'layers.{int(name.split(".")[1]) - 4}.{name.split(".", 2)[2]}': value
        for name, value in whole.state_dict().items()
        if name.startswith('layers.') and int(name.split('.')[1]) >= 4
    }
    layers.load_state_dict(state)
    return layers


@torch.no_grad()
@pytest.mark.parametrize('length', [7, 18, 19, 50])
def test_layers_equal_those_of_the_text_model(whole, cut, length):
    ids = torch.randint(1, 11, (2, length))
    states = []
    hooks = [
        layer.register_forward_hook(lambda module, given, out: states.append((given[0], out)))
        for layer in whole.layers[4:]
    ]
    whole(ids)
    for hook in hooks:
        hook.remove()
    found = cut(states[0][0], return_layers=True)
    for ours, (_, theirs) in zip(found, states, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize('length', [10, 60])
def test_filled_up_rows_have_the_numbers_of_short_ones(cut, length):
    x = torch.randn(2, length, 64)
    lengths = (length, length - 6)
    present = torch.arange(length) < torch.tensor(lengths)[:, None]
    found = cut(x, present)
    assert torch.isfinite(found).all()
    for row, count in enumerate(lengths):
        alone = cut(x[row : row + 1, :count])
        torch.testing.assert_close(found[row : row + 1, :count], alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(('length', 'reach'), [(13, 4), (16, 4), (65, 8)])
def test_blocks_of_a_window_equal_the_masked_square(length, reach):
    q, k, v = torch.randn(3, 2, 3, length, 8, requires_grad=True)
    mask = near(length, reach, q.device)
    expected = torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    torch.testing.assert_close(window_attention(q, k, v, reach), expected, rtol=1e-4, atol=1e-5)


def test_recomputed_activations_give_the_same_gradients(cut):
    x, grads = torch.randn(1, 9, 64), []
    for count in (0, 5):
        cut.checkpoint_num = count
        cut.train().zero_grad()
        cut(x).square().mean().backward()
        grads.append(cut.layers[0].attn.Wqkv.weight.grad.clone())
    torch.testing.assert_close(*grads)


@pytest.mark.parametrize(
    'fields',
    [dict(layer_ids=()), dict(num_heads=3), dict(local_attention=1), dict(global_layer_ids=(2,))],
)
def test_impossible_sizes_are_refused(fields):
    with pytest.raises(ValueError, match=r'layer_ids|heads'):
        ModernBertLayers(**SIZES | dict(num_heads=4) | fields)
