"""Choice of the captions of an annotation that go with its sample."""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .captions import normalise_caption
from .prompts import fill_prompt, prompt_templates

CHOICES = ('uniform', 'avs_all')
KEYS = ('caption', 'captions')
MIN_WORDS = 2


@dataclass(frozen=True)
class CaptionChoice:
    """Normalised captions of an annotation, and the one or ones of an access.

    Args:
        choice: ``'uniform'``: one of ``caption`` or ``captions``, drawn when there are several;
            ``'avs_all'``: a dict of every key that contains ``caption``, one drawn of each.
        paragraph: the captions joined by blanks are one.
        prompt: published list of sentences of which one, drawn, takes the caption in
            (``'kinetics'``, ``'imagenet'``).
        min_words: captions of fewer words are passed over.

    Raises:
        ValueError: unknown ``choice`` or ``prompt``; a paragraph of ``'avs_all'``.
    """

    choice: str = 'uniform'
    paragraph: bool = False
    prompt: str | None = None
    min_words: int = MIN_WORDS

    def __post_init__(self) -> None:
        if self.choice not in CHOICES:
            raise ValueError(f'caption_choice must be one of {CHOICES}, got {self.choice!r}')
        if self.paragraph and self.choice != 'uniform':
            raise ValueError("paragraph=True needs caption_choice='uniform'")
        if self.prompt is not None:
            prompt_templates(self.prompt)

    def usable(self, info: Mapping[str, Any]) -> dict[str, list[str]]:
        """Captions that may be chosen by key, with ``caption`` alone for ``'uniform'``.

        Raises:
            ValueError: there is none (of some key), or it is no text.
        """
        if self.choice == 'uniform':
            key = next((key for key in KEYS if info.get(key) is not None), None)
            found = {} if key is None else {'caption': self._long(key, info[key])}
        else:
            keys = [key for key in info if 'caption' in key]
            found = {key: self._long(key, info[key]) for key in keys}
        if not found:
            raise ValueError('no caption')
        return found

    def _long(self, key: str, value: Any) -> list[str]:
        texts = value if isinstance(value, list | tuple) else [value]
        if not all(isinstance(text, str) for text in texts):
            raise ValueError(f'{key} is no text but {str(value)[:40]!r}')
        # Joined before words are counted: a paragraph of short sentences is long enough.
        texts = [' '.join(texts)] if self.paragraph else texts
        normal = [normalise_caption(text) for text in texts]
        long = [text for text in normal if len(text.split()) >= max(self.min_words, 1)]
        if not long:
            least = 'is empty' if self.min_words <= 1 else f'has fewer than {self.min_words} words'
            raise ValueError(f'{key} {least}: {str(value)[:40]!r}')
        return long

    def draw(self, info: Mapping[str, Any], number: int | None = None) -> str | dict[str, str]:
        """Choose the caption of an access, by ``number`` among the usable ones or by a draw."""
        found = self.usable(info)
        if self.choice == 'avs_all':
            # From Python's own generator, which `sample_seed` has seeded for the sample.
            return {key: random.choice(texts) for key, texts in found.items()}
        return random.choice(found['caption']) if number is None else found['caption'][number]

    def prompted(self, caption: str | dict[str, str]) -> str | dict[str, str]:
        """Put the caption of :meth:`draw` into a drawn sentence if there is a ``prompt``."""
        if self.prompt is None:
            return caption
        if isinstance(caption, dict):
            return {key: self.prompted(text) for key, text in caption.items()}
        sentence = random.choice(prompt_templates(self.prompt))
        return normalise_caption(fill_prompt(sentence, caption))
