"""Tokenizers: special tokens, padding, cutting, empty captions and bad sources."""

import hashlib
import json
from pathlib import Path

import pytest
import torch

from internvideo.models.text.tokenizers import check_vocabulary
from internvideo.registry import TASK_UTILS
from tests.paths import PARITY

WORDS = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', 'a', 'red', 'ball', 'roll', '##s']


def build(kind, *args, **fields):
    return TASK_UTILS.get(kind)(*args, **fields)


@pytest.fixture
def bert_folder(tmp_path):
    tmp_path = tmp_path / 'bert'
    tmp_path.mkdir()
    (tmp_path / 'vocab.txt').write_text('\n'.join(WORDS))
    (tmp_path / 'tokenizer_config.json').write_text(
        json.dumps(dict(tokenizer_class='BertTokenizer', do_lower_case=True))
    )
    return tmp_path


@pytest.fixture
def llama_folder(tmp_path):
    tmp_path = tmp_path / 'llama'
    tmp_path.mkdir()
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = {word: i for i, word in enumerate(['<unk>', '<s>', '</s>', 'say:', 'a', 'ball'])}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token='<unk>'))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.save(str(tmp_path / 'tokenizer.json'))
    (tmp_path / 'tokenizer_config.json').write_text(
        json.dumps(
            dict(tokenizer_class='PreTrainedTokenizerFast', bos_token='<s>', eos_token='</s>')
        )
    )
    return tmp_path


def test_word_pieces(bert_folder):
    tokenizer = build('WordPieceTokenizer', bert_folder, max_length=6)
    found = tokenizer(['A red ball', '', 'a red ball rolls a red ball'])
    assert found['input_ids'].tolist() == [
        [2, 5, 6, 7, 3, 0],
        [2, 3, 0, 0, 0, 0],
        [2, 5, 6, 7, 8, 3],
    ]
    assert found['attention_mask'].sum(1).tolist() == [5, 2, 6]
    assert tokenizer.vocab_size == len(WORDS)


def test_a_calls_length_counts_but_for_towers_of_a_fixed_context(bert_folder, llama_folder):
    texts, length = ['a red ball'], 4
    assert build('WordPieceTokenizer', bert_folder)(texts, length)['input_ids'].shape[1] == 4
    for tokenizer in (build('LlamaTokenizer', llama_folder, max_length=9), build('CLIPTokenizer')):
        own = tokenizer(texts)
        assert torch.equal(tokenizer(texts, length)['input_ids'], own['input_ids'])


def test_llama_frames_and_glues(llama_folder):
    tokenizer = build('LlamaTokenizer', llama_folder, max_length=5, prefix='say: ')
    found = tokenizer(['a ball', '', 'a a a a'])['input_ids']
    assert found.tolist() == [[1, 3, 4, 5, 2], [1, 3, 2, 0, 0], [1, 3, 4, 4, 2]]


def test_byte_pairs_end_with_the_largest_id():
    found = build('CLIPTokenizer', max_length=8)(['a red ball', '', 'ball ' * 20])
    ids, mask = found['input_ids'], found['attention_mask']
    ends = ids.gather(1, mask.sum(1, keepdim=True) - 1)
    assert torch.equal(ends[:, 0], torch.full((3,), 49407)) and mask.sum(1).tolist() == [5, 2, 8]


FACTS = json.loads((PARITY / 'internvideo1_pretrain' / 'clip_tokenizer.json').read_text())


@pytest.mark.parametrize('case', FACTS['cases'], ids=lambda case: repr(case['text'])[:30])
def test_published_ids_of_clip(case):
    tokenizer = build('CLIPTokenizer', max_length=32)
    assert tokenizer([case['text']])['input_ids'][0].tolist() == case['context_32']
    assert tokenizer.count(case['text']) == len(case['ids']) + 2
    whole = build('CLIPTokenizer')([case['text']])['input_ids'][0].tolist()
    ids = [FACTS['facts']['start'], *case['ids'], FACTS['facts']['end']]
    assert whole == (ids + [0] * 77)[:77]


def test_the_vocabulary_of_clip_is_the_published_one():
    import open_clip

    facts, tokenizer = FACTS['facts'], build('CLIPTokenizer')
    file = Path(open_clip.__file__).with_name(facts['vocabulary_file'])
    assert hashlib.sha256(file.read_bytes()).hexdigest() == facts['vocabulary_sha256']
    assert tokenizer.vocab_size == facts['vocab_size'] == facts['end'] + 1
    assert tokenizer.max_length == facts['default_context'] and facts['pad'] == 0
    assert len(tokenizer.tokenizer.bpe_ranks) == facts['merges_used']


def test_clip_cuts_a_long_text_before_its_end():
    tokenizer, text = build('CLIPTokenizer', max_length=32), FACTS['long_text']
    assert tokenizer([text['text']])['input_ids'][0].tolist() == text['truncated_32']
    assert tokenizer.count(text['text']) == len(text['ids']) + 2
    assert build('CLIPTokenizer', max_length=len(text['ids']) + 2, too_long='refuse')(
        [text['text']]
    )


def test_markup_of_clip_means_its_special_tokens_and_that_of_open_clip_nothing():
    tokenizer = build('CLIPTokenizer', max_length=16)
    marked = tokenizer(['a <|endoftext|> b <|StartOfText|>'])['input_ids'][0].tolist()
    assert marked[:6] == [49406, 320, 49407, 321, 49406, 49407]
    # Signs in front are one word with the beginning of the markup, which then is none.
    assert 49407 not in tokenizer(['!<|endoftext|>'])['input_ids'][0, :-1].tolist()[1:4]
    plain = tokenizer(['<end_of_text>'])['input_ids'][0].tolist()
    assert plain.index(49407) > 3


def test_texts_longer_than_the_context_are_refused_on_request():
    tokenizer = build('CLIPTokenizer', max_length=5, too_long='refuse')
    assert tokenizer(['a red ball'])['input_ids'].shape == (1, 5)
    with pytest.raises(ValueError, match="6 tokens is longer than max_length=5: 'a big red ball'"):
        tokenizer(['a red ball', 'a big red ball'])
    with pytest.raises(ValueError, match='too_long must be one of cut, refuse'):
        build('CLIPTokenizer', too_long='wrap')


def test_tokens_are_counted_before_they_are_cut(bert_folder, llama_folder):
    tokenizers = (
        build('WordPieceTokenizer', bert_folder, max_length=5),
        build('LlamaTokenizer', llama_folder, max_length=6),  # with the prefix, glued to a word
        build('CLIPTokenizer', max_length=5),
    )
    for tokenizer in tokenizers:
        for text in ('a', 'a a a', 'a a a a', 'a a a a a a'):
            kept = tokenizer([text])['attention_mask'].sum().item()
            assert kept == min(tokenizer.count(text), tokenizer.max_length)


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(ValueError, match=r'no tokenizer at .*nowhere'):
        build('WordPieceTokenizer', tmp_path / 'nowhere')


def test_a_foreign_vocabulary_is_named():
    check_vocabulary(5, 5)
    with pytest.raises(ValueError, match='knows 6 tokens, the text encoder only 5'):
        check_vocabulary(6, 5)


def test_ids_of_clip_are_read_back():
    tokenizer = build('CLIPTokenizer', max_length=8)
    ids = tokenizer(['A red  ball, rolling!', '', 'one two three four five six seven'])['input_ids']
    found = ['a red ball , rolling !', '', 'one two three four five six']
    assert tokenizer.decode(ids) == found
    assert tokenizer.decode(ids[:1, :3]) == ['a red']
