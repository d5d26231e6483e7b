"""CLIP's text tower equals open_clip's, and refuses what does not fit."""

import pytest
import torch

from internvideo.models.text.clip import CLIPText

SIZES = dict(context_length=12, vocab_size=60, width=48, heads=4, layers=3)
IDS = torch.tensor([[58, 3, 4, 59, *[0] * 8], [58, *range(2, 12), 59]])


def test_features_equal_those_of_open_clip():
    from open_clip.model import QuickGELU
    from open_clip.transformer import TextTransformer

    torch.manual_seed(0)
    ours = CLIPText(embed_dim=32, **SIZES)
    theirs = TextTransformer(output_dim=32, act_layer=QuickGELU, pool_type='argmax', **SIZES)
    theirs.load_state_dict(ours.state_dict())
    torch.testing.assert_close(ours(IDS), theirs(IDS))


def test_masked_tokens_leave_no_trace():
    torch.manual_seed(0)
    tower = CLIPText(embed_dim=32, mask_embedding=True, **SIZES)
    masked = torch.zeros(2, 12, dtype=torch.bool)
    masked[:, 1] = True
    other = IDS.clone()
    other[:, 1] = 9
    states = tower.encode_tokens(IDS, masked)
    torch.testing.assert_close(tower.encode_tokens(other, masked), states)
    assert not torch.equal(tower.encode_tokens(IDS), states)


def test_what_does_not_fit_is_refused():
    tower = CLIPText(embed_dim=32, **SIZES)
    with pytest.raises(ValueError, match='13 tokens are longer than context_length=12'):
        tower(torch.ones(1, 13, dtype=torch.long))
    with pytest.raises(ValueError, match='mask_embedding=True'):
        tower.encode_tokens(IDS, IDS > 50)
    assert tower.no_weight_decay() <= dict(tower.named_parameters()).keys()
