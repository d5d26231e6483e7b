"""Faults of annotations that give media their texts: JSON lists and SQLite tables."""

from collections.abc import Iterator, Mapping
from typing import Any

from .captions import normalise_caption
from .text_annotations import TextAnnotations, path_of, texts_of

ID_KEYS = ('id', 'question_id', 'pair_id')
SPECIAL_TOKENS = 2
"""Tokens that every text has beside its words."""


def text_faults(info: Mapping[str, Any], max_length: int, paragraph: bool) -> Iterator[str]:
    """Fault of the texts of a row: absent, empty, too long for ``max_length`` tokens.

    A word takes at least one token, so a text that is said to be too long is cut.
    """
    texts = list(texts_of(info))
    if not texts:
        yield 'no caption, question or option'
    if paragraph and all(isinstance(text, str) for _, text in texts):
        texts = [('caption', ' '.join(text for key, text in texts if key == 'caption'))]
    for key, text in texts:
        normal = normalise_caption(text) if isinstance(text, str) else ''
        least = len(normal.split()) + SPECIAL_TOKENS
        if not isinstance(text, str):
            yield f'{key} is no text but {text!r}'
        elif not normal:
            yield f'{key} is empty'
        elif least > max_length:
            yield f'{key} of at least {least} tokens is cut to {max_length}'


def duplicates(annotations: TextAnnotations, media: bool) -> Iterator[tuple[int, str]]:
    """Rows, with reasons, that have the id or, with ``media``, the file of an earlier one."""
    seen: dict[tuple[str, Any], int] = {}
    for row, info in enumerate(annotations.scan()):
        if isinstance(info, ValueError):
            continue  # said elsewhere
        keys = [(key, info[key]) for key in ID_KEYS if info.get(key) is not None]
        keys += [('medium', path_of(info, ''))] if media else []
        for key in keys:
            first = seen.setdefault(key, row)
            if first != row:
                yield row, f'{key[0]} {key[1]!r} as in {annotations.where(first)}'
