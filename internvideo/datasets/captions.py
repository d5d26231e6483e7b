"""Captions as the published multi-modality models read them."""

import re

REMOVED = str.maketrans('', '', ',.\'!?"()*#:;~')
SPACED = str.maketrans('-/', '  ')


def normalise_caption(text: str, max_words: int | None = None) -> str:
    """Lower-case, without punctuation; ``-`` and ``/`` become blanks, ``<person>`` a word.

    Runs of two and more white-space characters become one blank; a single one stays as it is.

    Args:
        text: a caption.
        max_words: keep at most so many words; None keeps all.
    """
    text = text.lower().translate(REMOVED).translate(SPACED).replace('<person>', 'person')
    text = re.sub(r'\s{2,}', ' ', text).rstrip('\n').strip(' ')
    words = text.split(' ')
    return text if max_words is None else ' '.join(words[:max_words])
