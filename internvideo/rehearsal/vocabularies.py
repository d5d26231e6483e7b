"""Small vocabularies made on the spot, in place of those that only the hub has."""

import json
import re
from collections.abc import Callable, Mapping
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

FIXED_CONTEXT = ('LlamaTokenizer', 'CLIPTokenizer')
"""Tokenizers that keep their own length, whatever a set of texts wishes for."""

KNOWN_VOCABULARIES = {
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


WRITERS: dict[str, Callable[[Path], None]] = {
    'WordPieceTokenizer': write_word_pieces,
    'LlamaTokenizer': write_sentence_pieces,
}
"""Kind of tokenizer that needs files -> what writes them."""


def is_tokenizer(value: Any) -> bool:
    """Whether a config is that of a tokenizer."""
    return isinstance(value, Mapping) and str(value.get('type', '')).endswith('Tokenizer')


def with_small_vocabularies(value: Any, folder_of: Callable[[str], Path]) -> Any:
    """``value`` with every tokenizer that needs files reading small ones.

    Args:
        value: a config.
        folder_of: kind of tokenizer -> folder of its files, see :data:`WRITERS`.
    """
    if isinstance(value, Mapping):
        changed = {key: with_small_vocabularies(v, folder_of) for key, v in value.items()}
        if changed.get('type') in WRITERS:
            changed['source'] = str(folder_of(changed['type']))
        return changed
    if isinstance(value, list | tuple):
        return type(value)(with_small_vocabularies(item, folder_of) for item in value)
    return value


def vocabulary_size(tokenizer: Mapping[str, Any]) -> int | None:
    """Number of tokens of a tokenizer's config, or None when its files are not known here.

    Raises:
        ValueError: there are files, and they hold no tokenizer.
        ImportError: the package that holds them is not installed.
    """
    from internvideo.registry import TASK_UTILS

    source = tokenizer.get('source')
    is_here = source and (Path(source).is_dir() or is_packaged(source))
    if tokenizer['type'] not in WRITERS or is_here:
        return TASK_UTILS.build(dict(tokenizer)).vocab_size
    name = re.split(r'[\\/]', str(source or 'bert-large-uncased'))[-1]
    return KNOWN_VOCABULARIES.get(name)
