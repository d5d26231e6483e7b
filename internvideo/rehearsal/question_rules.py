"""Rules about questions and answers."""

import copy
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from internvideo.registry import DATASETS

from .data_rules import TRAIN
from .file_rules import readable_media
from .findings import Finding, one_line
from .subject import Subject

ANSWERERS = dict(open_ended='VideoQuestionAnswering', multiple_choice='VideoMultipleChoice')
HANDING = 'CandidateAnswersHook'


def annotations(subject: Subject) -> Iterator[Finding]:
    """Annotations and lists of answers are there and can be used, and so can their media."""
    for name, loader in subject.loaders.items():
        dataset = loader['dataset']
        lost = [
            Finding(f'{name}.dataset.{field}', f'{dataset[field]} does not exist', True)
            for field in ('ann_file', 'answers')
            if isinstance(dataset.get(field), str) and not Path(dataset[field]).is_file()
        ]
        yield from lost or _usable(name, dataset)


def _usable(name: str, dataset: Mapping[str, Any]) -> Iterator[Finding]:
    try:
        built = DATASETS.build(copy.deepcopy(dict(dataset)))
    except Exception as error:
        yield Finding(f'{name}.dataset', one_line(error))
        return
    if name != TRAIN:
        yield from readable_media(name, built, len(built))


def tasks(subject: Subject) -> Iterator[Finding]:
    """All loaders hold what the model answers."""
    kind = subject.config['model'].get('type')
    for name, loader in subject.loaders.items():
        task = loader['dataset'].get('task', 'open_ended')
        if kind in ANSWERERS.values() and ANSWERERS.get(task) != kind:
            yield Finding(f'{name}.dataset.task', f'{task!r} are no questions for {kind}')


def lists_of_answers(subject: Subject) -> Iterator[Finding]:
    """A list of answers to choose from reaches the model."""
    hooks = [hook.get('type') for hook in subject.config.get('custom_hooks') or ()]
    for name, loader in subject.loaders.items():
        if loader['dataset'].get('answers') is not None and HANDING not in hooks:
            yield Finding(
                f'{name}.dataset.answers',
                f'custom_hooks has no {HANDING}, without which the model answers freely',
            )


def collation(subject: Subject) -> Iterator[Finding]:
    """Batches are put together for questions."""
    for name, loader in subject.loaders.items():
        kind = (loader.get('collate_fn') or {}).get('type')
        if kind != 'collate_questions':
            yield Finding(f'{name}.collate_fn', f'{kind}; questions need collate_questions')


QUESTION_RULES = (annotations, tasks, lists_of_answers, collation)
