"""Captions as the published multi-modality models read them."""

import re

# As published: hyphens and slashes part words, the other marks vanish and join theirs.
MARKS = str.maketrans('-/', '  ', ',.\'!?"()*#:;~')
BLANKS = re.compile(r'\s{2,}')


def normalise_caption(text: str, max_words: int | None = None) -> str:
    """Normalise to lower case without punctuation, with ``<person>`` as a word.

    Runs of two and more white-space characters become one blank; a single one stays as it is.

    Args:
        text: a caption.
        max_words: keep at most so many words; None keeps all.
    """
    text = text.lower().translate(MARKS).replace('<person>', 'person')
    text = BLANKS.sub(' ', text).rstrip('\n').strip(' ')
    words = text.split(' ')
    return text if max_words is None else ' '.join(words[:max_words])
