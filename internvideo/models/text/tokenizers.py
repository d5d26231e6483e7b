"""Tokenizers of the text towers: captions to padded token ids, on the CPU.

They are looked up in ``TASK_UTILS``, take a list of strings and return
``dict(input_ids=(B, L), attention_mask=(B, L))``, both long.  An empty text is its special tokens
alone; a longer one than ``max_length`` is cut, its last special token kept.  A call's own
``max_length`` is a wish: towers of a fixed context read that context, as published.
"""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from internvideo.fileio.packaged import is_packaged, package_path
from internvideo.registry import TASK_UTILS

from .example_vocabularies import is_here, known_size, write_sentence_pieces, write_word_pieces

Tokens = dict[str, Tensor]


def check_vocabulary(size: int, model_size: int) -> None:
    """Raise ValueError when a tokenizer knows more tokens than the model has embeddings for."""
    if size > model_size:
        raise ValueError(
            f'the tokenizer knows {size} tokens, the text encoder only {model_size}: they do not '
            'belong together'
        )


def pad_tokens(rows: Sequence[Sequence[int]], length: int, pad_id: int) -> Tokens:
    """Token ids of at most ``length`` -> ids filled with ``pad_id``, and the mask of the text."""
    ids = torch.full((len(rows), length), pad_id)
    mask = torch.zeros(len(rows), length, dtype=torch.long)
    for index, row in enumerate(rows):
        ids[index, : len(row)] = torch.tensor(row)
        mask[index, : len(row)] = 1
    return dict(input_ids=ids, attention_mask=mask)


def _load(source: str | os.PathLike) -> object:
    from transformers import AutoTokenizer

    source = package_path(source) if is_packaged(source) else source
    try:
        return AutoTokenizer.from_pretrained(os.fspath(source))
    except (OSError, ValueError) as error:
        raise ValueError(
            f'no tokenizer at {os.fspath(source)!r}: neither a folder that holds one nor a name '
            f'on the hub that can be reached ({str(error).splitlines()[0]})'
        ) from error


@TASK_UTILS.register_module()
class WordPieceTokenizer:
    """BERT's tokenizer.

    Args:
        source: local folder, name on the hub, or ``package://name/path``, a folder of an
            installed package.
        max_length: L.

    Raises:
        ValueError: there is no tokenizer at ``source``.
        ImportError: transformers or the package is not installed.
    """

    # What the class tells a rehearsal, see docs/rehearsal.md.
    write_examples = staticmethod(write_word_pieces)

    @classmethod
    def count_tokens(cls, config: Mapping[str, Any]) -> int | None:
        """Number of tokens of the tokenizer of ``config``, or None when its files are missing."""
        if is_here(config):
            return cls(**{key: value for key, value in config.items() if key != 'type'}).vocab_size
        return known_size(config.get('source'), 'bert-large-uncased')

    def __init__(
        self, source: str | os.PathLike = 'bert-large-uncased', max_length: int = 32
    ) -> None:
        self.tokenizer, self.max_length = _load(source), max_length
        self.vocab_size = len(self.tokenizer)

    def __call__(self, texts: Sequence[str], max_length: int | None = None) -> Tokens:
        """Tokens of ``texts``, ``max_length`` (None: the tokenizer's own) of each."""
        length = max_length or self.max_length
        rows = self.tokenizer(list(texts), truncation=True, max_length=length)
        return pad_tokens(rows['input_ids'], length, self.tokenizer.pad_token_id)

    def count(self, text: str) -> int:
        """Tokens of a text that is not cut."""
        # Not verbose: transformers warns of texts that are longer than the model reads.
        return len(self.tokenizer(text, verbose=False)['input_ids'])


@TASK_UTILS.register_module()
class LlamaTokenizer:
    """The tokenizer of InternVL-C's text tower: ``summarize:`` glued to the text, padding id 0.

    Args:
        source: local folder, or name on the hub.
        max_length: L.
        prefix: put before every text.

    Raises:
        ValueError: there is no tokenizer at ``source``, or it has no special tokens.
        ImportError: transformers is not installed.
    """

    # What the class tells a rehearsal, see docs/rehearsal.md.
    write_examples = staticmethod(write_sentence_pieces)
    keeps_its_length = True

    @classmethod
    def count_tokens(cls, config: Mapping[str, Any]) -> int | None:
        """Number of tokens of the tokenizer of ``config``, or None when its files are missing."""
        if is_here(config):
            return cls(**{key: value for key, value in config.items() if key != 'type'}).vocab_size
        return known_size(config.get('source'), 'bert-large-uncased')

    def __init__(
        self, source: str | os.PathLike, max_length: int = 80, prefix: str = 'summarize:'
    ) -> None:
        self.tokenizer, self.max_length, self.prefix = _load(source), max_length, prefix
        self.vocab_size = len(self.tokenizer)
        self.ends = (self.tokenizer.bos_token_id, self.tokenizer.eos_token_id)
        if None in self.ends:
            raise ValueError(f'the tokenizer at {os.fspath(source)!r} has no bos or eos token')

    def __call__(self, texts: Sequence[str], max_length: int | None = None) -> Tokens:
        """Tokens of ``texts``, always of the tokenizer's own length."""
        glued = [f'{self.prefix}{text}' for text in texts]
        rows = self.tokenizer(glued, add_special_tokens=False)['input_ids']
        first, last = self.ends
        # Framed by hand, so that a text that is cut keeps its last special token.
        framed = [[first, *row[: self.max_length - 2], last] for row in rows]
        # Id 0 is padding and unknown token alike, as the published tower was trained.
        return pad_tokens(framed, self.max_length, 0)

    def count(self, text: str) -> int:
        """Tokens of a text that is not cut."""
        glued = f'{self.prefix}{text}'
        row = self.tokenizer(glued, add_special_tokens=False, verbose=False)['input_ids']
        return len(row) + len(self.ends)


CLIP_MARKUP = ('<|startoftext|>', '<|endoftext|>')
TOO_LONG = ('cut', 'refuse')


def _use_markup(tokenizer: Any, markup: Sequence[str]) -> None:
    """Give open_clip's tokenizer, which is OpenAI's but for this, other special tokens.

    A text that holds one of them literally becomes its id.
    """
    import regex

    ids = tokenizer.all_special_ids
    theirs = [tokenizer.decoder[number] for number in ids]
    words = tokenizer.pat.pattern.removeprefix('|'.join(theirs))
    if words == tokenizer.pat.pattern:
        raise ImportError('this version of open_clip splits texts in another way; 3.3 is known')
    alternatives = '|'.join(map(regex.escape, markup))
    tokenizer.pat = regex.compile(f'{alternatives}{words}', regex.IGNORECASE)
    tokenizer.cache = {word: word for word in markup}
    for number, old, new in zip(ids, theirs, markup, strict=True):
        del tokenizer.encoder[old]
        tokenizer.encoder[new], tokenizer.decoder[number] = number, new


@TASK_UTILS.register_module()
class CLIPTokenizer:
    """CLIP's byte-pair tokenizer (arXiv 2103.00020), whose vocabulary open_clip carries.

    Args:
        max_length: L.
        too_long: ``'cut'``: of a longer text the first tokens stay, the last of them the end of
            text; ``'refuse'``: it is an error.

    Raises:
        ImportError: open_clip is not installed, or of an unknown version.
        ValueError: an unknown ``too_long``.
    """

    keeps_its_length = True

    @classmethod
    def count_tokens(cls, config: Mapping[str, Any]) -> int:
        """Tokens of the vocabulary, for a rehearsal."""
        return cls().vocab_size

    def __init__(self, max_length: int = 77, too_long: str = 'cut') -> None:
        from open_clip.tokenizer import SimpleTokenizer

        if too_long not in TOO_LONG:
            raise ValueError(f'too_long must be one of {", ".join(TOO_LONG)}, got {too_long!r}')
        self.tokenizer, self.max_length = SimpleTokenizer(context_length=max_length), max_length
        _use_markup(self.tokenizer, CLIP_MARKUP)
        self.too_long, self.vocab_size = too_long, self.tokenizer.vocab_size

    def __call__(self, texts: Sequence[str], max_length: int | None = None) -> Tokens:
        """Tokens of ``texts``, always of the tokenizer's own length.

        Raises ValueError for a text of more tokens, where these are refused.
        """
        if self.too_long == 'refuse':
            self._check_lengths(texts)
        ids = self.tokenizer(list(texts))
        ends = ids.argmax(dim=1)  # the end of text has the largest id of the vocabulary
        mask = torch.arange(self.max_length)[None] <= ends[:, None]
        return dict(input_ids=ids, attention_mask=mask.long())

    def _check_lengths(self, texts: Sequence[str]) -> None:
        for text in texts:
            if (count := self.count(text)) > self.max_length:
                raise ValueError(
                    f'a text of {count} tokens is longer than max_length={self.max_length}: '
                    f'{text[:60]!r}; shorten it, or set too_long="cut" of the tokenizer'
                )

    def count(self, text: str) -> int:
        """Tokens of a text that is not cut."""
        return len(self.tokenizer.encode(text)) + 2  # start and end of text

    def decode(self, ids: Tensor) -> list[str]:
        """Texts of rows of ids (B, L), between the start and the end of text."""
        start, end = (self.tokenizer.encoder[word] for word in CLIP_MARKUP)
        texts = []
        for row in ids.tolist():
            row = row[: row.index(end)] if end in row else row
            text = self.tokenizer.decode([number for number in row if number != start])
            texts.append(' '.join(text.split()))
        return texts
