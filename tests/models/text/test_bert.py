"""BERT as text and fusion encoder, and its masked-language head."""

import pytest
import torch

from internvideo.models.losses.masked_language import (
    IGNORED,
    MaskingDraws,
    TokenMasker,
    masked_language_loss,
)
from internvideo.registry import MODELS

ARCH = dict(
    hidden_size=16,
    num_hidden_layers=4,
    num_attention_heads=2,
    intermediate_size=24,
    vocab_size=50,
    max_position_embeddings=12,
    fusion_layer=2,
)


def build(kind='FusionBert', **fields):
    return MODELS.build(dict(type=kind, arch=ARCH, media_dim=8) | fields).eval()


def texts(batch=3, length=6):
    ids = torch.randint(5, 50, (batch, length), generator=torch.Generator().manual_seed(0))
    mask = torch.ones(batch, length)
    mask[0, 4:] = 0
    return ids, mask


def test_text_then_fusion_is_multi_modal():
    model, (ids, mask), media = build(), texts(), torch.randn(3, 5, 8)
    states = model(ids, mask, mode='text')
    fused = model(embeds=states, attention_mask=mask, media=media, mode='fusion')
    torch.testing.assert_close(fused, model(ids, mask, media=media))


def test_rows_let_texts_share_media():
    model, (ids, mask), media = build(), texts(), torch.randn(2, 5, 8)
    seen, rows = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0]]), torch.tensor([1, 0, 1])
    shared = model(ids, mask, media=media, media_mask=seen, rows=rows)
    repeated = model(ids, mask, media=media[rows], media_mask=seen[rows])
    torch.testing.assert_close(shared, repeated)
    torch.testing.assert_close(shared[0], model(ids, mask, media=media[rows][:, :2])[0])


def test_a_single_clip_is_shared_without_copies():
    model, (ids, mask), media = build(), texts(), torch.randn(1, 5, 8)
    seen, rows = torch.tensor([[1, 1, 1, 0, 1]]), torch.zeros(3, dtype=torch.long)
    shared = model(ids, mask, media=media, media_mask=seen, rows=rows)
    repeated = model(ids, mask, media=media[rows], media_mask=seen[rows])
    torch.testing.assert_close(shared, repeated)


def test_media_that_are_all_hidden_are_averaged():
    model, (ids, mask), media = build(), texts(), torch.randn(3, 5, 8)
    attention = model.encoder['layer'][3].crossattention
    torch.nn.init.zeros_(attention.self['query'].weight)  # attends evenly to what it sees
    torch.nn.init.zeros_(model.encoder['layer'][2].crossattention.self['query'].weight)
    seen = torch.tensor([[0] * 5, [1] * 5, [1, 0, 0, 0, 0]])
    hidden = model(ids, mask, media=media, media_mask=seen)
    torch.testing.assert_close(hidden[:2], model(ids, mask, media=media)[:2])


@pytest.mark.parametrize('backend', ['sdpa', 'eager'])
def test_padding_has_no_influence(backend):
    model, (ids, mask) = build(attn_backend=backend), texts()
    other = ids.clone()
    other[0, 4:] = 7
    first, second = (model(x, mask, mode='text')[0, :4] for x in (ids, other))
    torch.testing.assert_close(first, second)


def test_a_decoder_sees_no_later_token():
    model, (ids, _) = build(is_decoder=True), texts()
    other = ids.clone()
    other[:, 3:] = 7
    first, second = (model(x, mode='text')[:, :3] for x in (ids, other))
    torch.testing.assert_close(first, second)


def test_without_media_width_all_layers_read_text():
    model = build(media_dim=None)
    assert model.fusion_layer == 4
    assert not any('crossattention' in name for name in model.state_dict())
    assert model(*texts()).shape == (3, 6, 16)


def test_tokens_are_predicted_by_the_embedding_table():
    model = build('FusionBertForMaskedLM')
    assert model.predict_tokens(torch.randn(2, 3, 16)).shape == (2, 3, 50)
    assert not any('decoder' in name for name in model.state_dict())


@pytest.mark.parametrize(
    ('call', 'message'),
    [
        (dict(input_ids=torch.ones(1, 13, dtype=torch.long)), '13 tokens is longer than the 12'),
        (dict(input_ids=texts()[0]), 'need media'),
        (dict(input_ids=texts()[0], mode='all'), "mode must be .*'all'"),
        (dict(), 'either input_ids or embeds'),
    ],
)
def test_bad_calls_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        build()(**dict(mode='multi_modal') | call)


@pytest.mark.parametrize(
    'fields', [dict(arch='huge'), dict(fusion_layer=5), dict(attn_backend='flash_attn')], ids=str
)
def test_bad_fields_are_named(fields):
    with pytest.raises(ValueError, match=f'{next(iter(fields))}'):
        build(**fields)


def test_masking_spares_padding_and_the_first_token():
    masker = TokenMasker(1.0, vocab_size=50, mask_id=3, cls_id=1)
    ids = torch.tensor([[1, 9, 8, 2, 0], [1, 7, 2, 0, 0]])
    masked, labels = masker(ids)
    assert labels.tolist() == [[IGNORED, 9, 8, 2, IGNORED], [IGNORED, 7, 2, IGNORED, IGNORED]]
    assert torch.equal(masked[labels == IGNORED], ids[labels == IGNORED])


def test_draws_decide_what_becomes_of_a_target():
    masker, ids = TokenMasker(vocab_size=50, mask_id=3, cls_id=1), torch.full((1, 4), 9)
    flags = torch.tensor([[1, 1, 1, 0]]), torch.tensor([[1, 0, 0, 1]]), torch.tensor([[0, 1, 0, 1]])
    masked, labels = masker(ids, MaskingDraws(*flags, torch.full((1, 4), 30)))
    assert masked.tolist() == [[3, 30, 9, 9]] and labels.tolist() == [[9, 9, 9, IGNORED]]


def test_no_target_is_no_loss():
    logits = torch.randn(2, 3, 50, requires_grad=True)
    loss = masked_language_loss(logits, torch.full((2, 3), IGNORED))
    loss.backward()
    assert loss == 0 and not logits.grad.any()


def test_shares_of_the_draws():
    torch.manual_seed(0)
    draws = TokenMasker(0.3).draw((200, 200), 'cpu')
    shares = [flags.float().mean() for flags in draws[:3]]
    torch.testing.assert_close(
        torch.stack(shares), torch.tensor([0.3, 0.8, 0.5]), atol=0.01, rtol=0
    )


@pytest.mark.parametrize('fields', [dict(probability=1.5), dict(vocab_size=100)], ids=str)
def test_bad_masking_is_named(fields):
    with pytest.raises(ValueError, match='probability' if 'probability' in fields else 'outside'):
        TokenMasker(**fields)
