"""From batches of media and captions to what models read."""

import pytest
import torch

from internvideo.registry import MODELS
from internvideo.structures import VideoDataSample


class Letters:
    """A token a letter."""

    max_length = 6

    def __call__(self, texts, max_length=None):
        length = max_length or self.max_length
        ids = torch.zeros(len(texts), length, dtype=torch.long)
        for row, text in enumerate(texts):
            kept = torch.tensor([ord(letter) for letter in text[:length]])
            ids[row, : len(kept)] = kept
        return dict(input_ids=ids, attention_mask=(ids > 0).long())


def build(tokenizer=True):
    letters = Letters() if tokenizer else None
    return MODELS.build(dict(type='MediaTextPreprocessor', tokenizer=letters))


def batch(*captions, lengths=(), audio=False):
    inputs = dict(video=torch.randint(0, 256, (len(captions), 3, 2, 4, 4), dtype=torch.uint8))
    if audio:
        inputs['audio'] = torch.randn(len(captions), 5, 3)
    facts = [dict(caption=c) if c is not None else {} for c in captions]
    for fact, length in zip(facts, lengths, strict=False):
        fact['max_text_length'] = length
    return dict(inputs=inputs, data_samples=[VideoDataSample(metainfo=f) for f in facts])


def test_pictures_are_normalised_and_captions_become_tokens():
    data = batch('ab', 'c', audio=True)
    before = data['inputs']['video'].clone()
    out = build()(data)['inputs']
    expected = (before[:, 0].float() / 255 - 0.485) / 0.229
    torch.testing.assert_close(out['video'][:, 0], expected, rtol=1e-5, atol=1e-5)
    assert out['text']['input_ids'].shape == (2, 6)
    assert out['text']['attention_mask'].sum().item() == 3
    assert torch.equal(out['audio'], data['inputs']['audio'])
    assert torch.equal(data['inputs']['video'], before) and 'text' not in data['inputs']


def test_the_longest_wish_of_a_batch_is_its_length():
    out = build()(batch('ab', 'c', lengths=(3, 9)))['inputs']
    assert out['text']['input_ids'].shape == (2, 9)


def test_captions_of_several_kinds_are_tokens_by_kind():
    captions = [dict(vision='a', audio='bc', more='d'), dict(vision='e', audio='f')]
    text = build()(batch(*captions))['inputs']['text']
    assert list(text) == ['vision', 'audio']
    assert text['audio']['attention_mask'].sum(dim=1).tolist() == [2, 1]


def test_media_without_captions_have_no_text():
    out = build(tokenizer=False)(batch(None, None))
    assert list(out['inputs']) == ['video']


def test_unreadable_media_bring_no_text():
    data = batch('ab', 'c')
    data['inputs']['video'] = data['inputs']['video'][:1]
    assert build()(data)['inputs']['text']['input_ids'].shape == (1, 6)
    assert build()(dict(inputs=None, data_samples=[]))['inputs'] is None


@pytest.mark.parametrize(
    ('captions', 'tokenizer', 'reason'),
    [
        (('a', None), True, 'some have none'),
        (('a', 'b'), False, 'data_preprocessor.tokenizer'),
        ((dict(x='a'), dict(y='b')), True, 'share no kind; they have x, y'),
        ((dict(x='a'), 'b'), True, 'of several kinds and some of one'),
    ],
    ids=str,
)
def test_captions_that_do_not_fit_are_refused(captions, tokenizer, reason):
    with pytest.raises(ValueError, match=reason):
        build(tokenizer)(batch(*captions))
