"""Questions about generated clips, and the shapes of batches of them."""

import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from internvideo.datasets.formats.text_annotations import TextAnnotations
from internvideo.structures import VideoDataSample

DATASET = 'QuestionAnswers'
ANSWERS = ('a red circle', 'blue', 'it moves down', 'round')
OPTIONS = 5
KNOWN_QUESTIONS = {
    'msrvtt/qa_train': 158_600,
    'msvd/qa_train': 30_900,
    'anet/qa_train': 32_000,
    'tgif/frame_train': 39_400,
    'tgif/action_train': 20_500,
    'tgif/transition_train': 52_700,
}
"""Training questions, rounded public figures, for when the annotations are not on this machine."""


def asks(dataset: Mapping[str, Any] | None) -> bool:
    """Whether a data set's config is one of questions."""
    return (dataset or {}).get('type') == DATASET


def question_row(index: int, task: str, clip: str) -> dict[str, Any]:
    """Row ``index`` of annotations for ``task``."""
    row = dict(video=clip, question=f'what is it {index}', question_id=index)
    if task == 'open_ended':
        return row | dict(answer=ANSWERS[index % len(ANSWERS)])
    options = [f'{answer} {index}' for answer in (*ANSWERS, 'nothing')]
    return row | dict(option=options, answer=index % OPTIONS)


def generated_questions(
    dataset: Mapping[str, Any], rows: int, root: Path, suffix: str, clips: int, folder: Path
) -> dict[str, Any]:
    """A copy of a data set's config with ``rows`` questions about generated clips.

    Args:
        dataset: its config.
        rows: number of questions.
        root: folder of the clips ``clip_<number><suffix>``.
        clips: number of them.
        folder: where the annotations go.
    """
    changed = copy.deepcopy(dict(dataset))
    task = changed.get('task', 'open_ended')
    written = [question_row(i, task, f'clip_{i % clips}{suffix}') for i in range(rows)]
    path = folder / f'questions_{len(list(folder.iterdir()))}.json'
    path.write_text(json.dumps(written), encoding='utf-8')
    changed.update(ann_file=str(path), data_prefix=str(root))
    if changed.get('answers') is not None:
        changed['answers'] = list(ANSWERS)
    return changed


@dataclass(frozen=True)
class QuestionShape:
    """A clip and what is asked about it.

    Attributes:
        video: (C, T, H, W).
        questions: asked about a clip.
        options: of a question; 0: it is open-ended.
        length: tokens of a question, or of one with its option.
        answer_length: tokens of an answer.
    """

    video: tuple[int, ...]
    questions: int
    options: int
    length: int
    answer_length: int

    @property
    def frames(self) -> int:
        """Frames of a clip."""
        return self.video[1]

    def batch(self, clips: int, dtype: torch.dtype = torch.float32) -> tuple[dict[str, Any], list]:
        """Inputs and data samples of all questions about ``clips`` clips."""
        count = clips * self.questions
        inputs: dict[str, Any] = dict(video=torch.empty((clips, *self.video), dtype=dtype))
        if self.options:
            inputs['option'] = _tokens(count * self.options, self.length)
        else:
            inputs['question'] = _tokens(count, self.length)
            inputs['answer'] = _tokens(count, self.answer_length)
        return inputs, [self._sample(row // self.questions) for row in range(count)]

    def _sample(self, clip: int) -> VideoDataSample:
        if self.options:
            facts = dict(option=('',) * self.options, answer=0)
        else:
            facts = dict(answers=('',), weights=(1.0,), num_answers=1)
        return VideoDataSample(metainfo=facts | dict(clip=clip))


def _tokens(rows: int, length: int) -> dict[str, torch.Tensor]:
    names = ('input_ids', 'attention_mask')
    return {name: torch.zeros(rows, length, dtype=torch.long) for name in names}


def question_shape(
    dataset: Mapping[str, Any], model: Mapping[str, Any], video: tuple[int, ...]
) -> QuestionShape:
    """The shape of a data set's items, whose clips are ``video`` (C, T, H, W)."""
    preprocessor = model.get('data_preprocessor') or {}
    tokenizer = preprocessor.get('tokenizer') or {}
    length = preprocessor.get('max_question_length') or tokenizer.get('max_length') or 32
    return QuestionShape(
        video=video,
        questions=dataset.get('questions_per_clip', 1),
        options=OPTIONS if dataset.get('task') == 'multiple_choice' else 0,
        length=length,
        answer_length=preprocessor.get('max_answer_length') or 10,
    )


def count_items(dataset: Mapping[str, Any]) -> tuple[int, bool]:
    """(training items, counted or not); 0 when nothing is known.

    Videos are taken to be asked whole groups of ``questions_per_clip``.

    Raises ValueError when the annotations are there and unusable.
    """
    path, per_clip = Path(str(dataset.get('ann_file') or '')), dataset.get('questions_per_clip', 1)
    if path.is_file():
        return -(-len(TextAnnotations(path)) // per_clip), True
    return KNOWN_QUESTIONS.get(f'{path.parent.name}/{path.stem}', 0) // per_clip, False
