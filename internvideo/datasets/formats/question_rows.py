"""Questions, options and answers as annotations hold them."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from .captions import normalise_caption
from .text_annotations import TextAnnotations

Facts = dict[str, Any]


def open_question(info: Mapping[str, Any]) -> Facts:
    """``question``, ``answers`` (distinct, most frequent first), ``weights`` (their shares,
    which sum to 1) and ``num_answers`` (given in all) of a row.

    Raises ValueError when it has no question or no answer.
    """
    question = _text(info.get('question'), 'question')
    counts = Counter(_answers(info))
    total = counts.total()
    if not total:
        raise ValueError(f'no answer but {info.get("answer")!r}')
    ranked = counts.most_common()
    return dict(
        question=question,
        answers=tuple(text for text, _ in ranked),
        weights=tuple(count / total for _, count in ranked),
        num_answers=total,
    )


def choice_question(info: Mapping[str, Any]) -> Facts:
    """``question`` (empty where options speak for themselves), ``option`` and ``answer``, the
    number of the right one, of a row.

    Raises ValueError for options that are no list of at least two texts, or an answer that is
    none of them.
    """
    options = options_of(info)
    answer = right_option(info.get('answer'), len(options))
    question = info.get('question')
    return dict(
        question='' if question is None else _text(question, 'question'),
        option=tuple(_text(text, 'option') for text in options),
        answer=answer,
    )


def options_of(info: Mapping[str, Any]) -> list[str]:
    """The options of a row, ``option`` or ``caption``, as they are written.

    Raises ValueError for what is no list of at least two texts.
    """
    options = info.get('option', info.get('caption'))
    if not isinstance(options, list) or not all(isinstance(text, str) for text in options):
        raise ValueError(f'option is no list of texts but {str(options)[:40]!r}')
    if len(options) < 2:
        raise ValueError(f'{len(options)} options, expected at least 2')
    return options


def right_option(answer: Any, count: int) -> int:
    """``answer``, the number of one of ``count`` options, or a ValueError for anything else."""
    # To Python `true` of JSON is the integer 1, but it names no option.
    if isinstance(answer, bool) or not isinstance(answer, int) or not 0 <= answer < count:
        raise ValueError(f'answer {answer!r} is none of 0..{count - 1}')
    return answer


TASKS: dict[str, Callable[[Mapping[str, Any]], Facts]] = dict(
    open_ended=open_question, multiple_choice=choice_question
)


def _text(value: Any, field: str) -> str:
    text = normalise_caption(value) if isinstance(value, str) else ''
    if not text:
        raise ValueError(f'{field} is empty' if value in (None, '') else f'no {field}: {value!r}')
    return text


def _answers(info: Mapping[str, Any]) -> list[str]:
    """The answers of a row, normalised, numbers as their digits."""
    given = info.get('answer')
    given = given if isinstance(given, list | tuple) else [given]
    texts = [str(a) for a in given if isinstance(a, str | int | float) and not isinstance(a, bool)]
    return [text for text in map(normalise_caption, texts) if text]


def closed_list(source: str | Path | Sequence[str], most: int | None = None) -> tuple[str, ...]:
    """The answers that a closed-list test chooses from, normalised, each once.

    Args:
        source: the answers; or a file of them, a JSON list (or object, whose keys count) or one
            a line (``.txt``); or an annotation file, whose answers are taken, the most frequent
            first.
        most: keep at most so many.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it cannot be read or holds no answer.
    """
    texts = _listed(Path(source)) if isinstance(source, str | Path) else source
    # The order stays, so that `most` leaves out the last, the rarest of annotations.
    kept = tuple(dict.fromkeys(text for text in map(normalise_caption, texts) if text))[:most]
    if not kept:
        raise ValueError(f'{source}: the list of answers is empty')
    return kept


def _listed(path: Path) -> Iterable[str]:
    if not path.is_file():
        raise FileNotFoundError(f'list of answers not found: {path}')
    if path.suffix == '.txt':
        return path.read_text(encoding='utf-8').splitlines()
    if path.suffix == '.json':
        try:
            content = json.loads(path.read_text(encoding='utf-8'))
        except ValueError as error:
            raise ValueError(f'{path} is no JSON: {error}') from None
        if isinstance(content, Mapping):
            return list(content)
        if isinstance(content, list) and all(isinstance(each, str) for each in content):
            return content
    rows = TextAnnotations(path).scan()
    counts = Counter(text for row in rows if isinstance(row, Mapping) for text in _answers(row))
    return [text for text, _ in counts.most_common()]
