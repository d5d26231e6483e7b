"""Names of classes, from a config or from a text file with one a line."""

from collections.abc import Sequence
from pathlib import Path


def class_names(classes: str | Path | Sequence[str]) -> tuple[str, ...]:
    """Read the names from a list or from the lines of a file.

    Raises:
        FileNotFoundError: the file does not exist.
    """
    if not isinstance(classes, str | Path):
        return tuple(classes)
    if not Path(classes).is_file():
        raise FileNotFoundError(f'class-name file not found: {classes}')
    lines = Path(classes).read_text(encoding='utf-8').splitlines()
    return tuple(line.strip() for line in lines if line.strip())


def class_facts(
    classes: str | Path | Sequence[str] | None, num_classes: int | None
) -> dict[str, int | tuple[str, ...]]:
    """``classes`` and ``num_classes`` for the ``metainfo`` of a data set, as far as known.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: the two contradict each other.
    """
    facts: dict = {}
    if classes is not None:
        facts['classes'] = class_names(classes)
        if num_classes not in (None, len(facts['classes'])):
            raise ValueError(
                f'num_classes={num_classes} but {len(facts["classes"])} class names are given'
            )
        num_classes = len(facts['classes'])
    if num_classes is not None:
        facts['num_classes'] = num_classes
    return facts
