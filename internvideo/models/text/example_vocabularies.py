"""Small vocabularies made on the spot, in place of those that only the hub has.

Tokenizers hand these out as ``write_examples``, for a rehearsal.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from internvideo.fileio.packaged import is_packaged

WORDS = [
    'a', 'ball', 'big', 'blue', 'circle', 'down', 'fast', 'green', 'grey', 'is', 'it', 'left',
    'moves', 'of', 'quickly', 'red', 'right', 'round', 'shape', 'sound', 'square', 'still', 'the',
    'to', 'triangle', 'up', 'video', 'what', 'which', 'with', 'yellow',
]  # fmt: skip
BERT_SPECIAL = {0: '[PAD]', 100: '[UNK]', 101: '[CLS]', 102: '[SEP]', 103: '[MASK]'}
"""Where BERT has its special tokens, which masked language modelling relies on."""
KNOWN_SIZES = {
    'bert-base-uncased': 30522,
    'bert-large-uncased': 30522,
    'bert-base-chinese': 21128,
    'chinese_alpaca_lora_7b': 49954,
}
"""Tokens of public vocabularies, for when they are not on this machine."""


def write_word_pieces(folder: Path) -> None:
    """A folder that transformers loads as a BERT tokenizer, of letters and a few words."""
    first = [BERT_SPECIAL.get(i, f'[unused{i}]') for i in range(104)]
    letters = [chr(code) for code in range(ord('a'), ord('z') + 1)] + list('0123456789')
    table = dict.fromkeys([*first, *letters, *(f'##{each}' for each in letters), *WORDS])
    (folder / 'vocab.txt').write_text('\n'.join(table), encoding='utf-8')
    _write_settings(folder, dict(tokenizer_class='BertTokenizer', do_lower_case=True))


def write_sentence_pieces(folder: Path) -> None:
    """A folder that transformers loads as a tokenizer with the special tokens of LLaMA's."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = {word: i for i, word in enumerate(['<unk>', '<s>', '</s>', *dict.fromkeys(WORDS)])}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token='<unk>'))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.save(str(folder / 'tokenizer.json'))
    special = dict(bos_token='<s>', eos_token='</s>', unk_token='<unk>')
    _write_settings(folder, dict(tokenizer_class='PreTrainedTokenizerFast') | special)


def _write_settings(folder: Path, settings: dict[str, Any]) -> None:
    (folder / 'tokenizer_config.json').write_text(json.dumps(settings), encoding='utf-8')


def known_size(source: Any, usual: str) -> int | None:
    """Number of tokens of a public vocabulary, or None for another."""
    return KNOWN_SIZES.get(re.split(r'[\\/]', str(source or usual))[-1])


def is_here(config: Mapping[str, Any]) -> bool:
    """Whether the files of a tokenizer's config are on this machine."""
    source = config.get('source')
    return bool(source) and (Path(str(source)).is_dir() or is_packaged(str(source)))
