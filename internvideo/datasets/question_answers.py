"""Questions about videos, with answers to be given or options to choose from."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.logging import print_log

from internvideo.datasets import config_checks, example_rows, item_counts
from internvideo.datasets.bad_samples import MediaError
from internvideo.datasets.base import BaseDataset
from internvideo.datasets.formats.question_rows import TASKS, Facts, closed_list
from internvideo.datasets.formats.text_annotations import TextAnnotations, path_of
from internvideo.datasets.media.limits import MediaLimits
from internvideo.datasets.media_loading import MediaLoading
from internvideo.datasets.seeding import sample_seed
from internvideo.registry import DATASETS
from internvideo.structures import VideoDataSample

TYPE_KEYS = ('question_type', 'type')


@DATASETS.register_module()
class QuestionAnswers(BaseDataset):
    """Videos that are asked questions, any number of them each.

    An item is ``dict(inputs={'video': uint8 (3, T, H, W)}, data_samples=VideoDataSample)`` of one
    question; in training with ``questions_per_clip`` a list of several about one decoded clip.
    The sample has ``path``, ``sample_index`` (row of the annotations), ``clip_id`` (the same for
    all questions about a video), ``question``, ``question_id``, ``question_type`` if there is one
    and, by task, what :func:`open_question` or :func:`choice_question` say.  Draws, and media
    that cannot be read: see :class:`BaseDataset`.  In testing the questions about a video follow
    each other, and it is decoded once for those that a worker meets in a row.

    Args:
        ann_file: Annotations, see :class:`TextAnnotations`: ``video``, ``question``, ``answer``
            (text or list of texts; number of an option), ``option``, ``question_id`` (default:
            the row) and ``question_type``.
        sampling: Transform that chooses the frames of a video, as a config or a callable.
        pipeline: Transforms of the decoded frames; the last packs them (:class:`PackMedia`).
        task: ``'open_ended'`` or ``'multiple_choice'``.
        data_prefix: Folder that relative paths start from.
        answers: What :func:`closed_list` makes the candidates of a test from, for
            ``metainfo['answers']``; None: answers are free.
        max_answers: Keep at most so many candidates.
        test_mode: Whether faults are reported rather than replaced.
        questions_per_clip: In training, questions about a video that share one decode.
        trimmed_seconds: Look only at the first seconds of a video.
        backend, filename_tmpl, limits: How media are read, see :class:`OpenVideo`.
        bad_samples_file: JSON-lines file for unreadable media.
        max_bad_share: Share of unreadable samples above which training stops; None for any.
        seed: Seed of the draws; the training sampler sets it.

    Raises:
        FileNotFoundError: a file does not exist.
        ValueError: no usable row; in testing any row that is not, or a ``question_id`` that
            comes twice, naming file and row.  In training such rows are left out, with a count.
    """

    # What the class tells a rehearsal, see docs/rehearsal.md.
    with_examples = staticmethod(example_rows.questions)
    count_items = staticmethod(item_counts.questions)
    check_config = staticmethod(config_checks.questions)

    def __init__(
        self,
        ann_file: str | Path | Sequence[str | Path],
        sampling: Mapping[str, Any] | Callable,
        pipeline: Sequence[Mapping[str, Any] | Callable],
        task: str = 'open_ended',
        data_prefix: str | Path = '',
        answers: str | Path | Sequence[str] | None = None,
        max_answers: int | None = None,
        test_mode: bool = False,
        questions_per_clip: int = 1,
        trimmed_seconds: float | None = None,
        backend: str = 'auto',
        filename_tmpl: str = 'img_{:05}.jpg',
        bad_samples_file: str | Path | None = None,
        max_bad_share: float | None = 0.1,
        seed: int = 0,
        limits: MediaLimits | Mapping[str, Any] | None = None,
    ) -> None:
        if task not in TASKS:
            raise ValueError(f'task must be one of {", ".join(TASKS)}, got {task!r}')
        if questions_per_clip < 1 or (test_mode and questions_per_clip > 1):
            raise ValueError(
                f'questions_per_clip={questions_per_clip} must be positive, and 1 with test_mode'
            )
        self.task = task
        super().__init__(
            TextAnnotations(ann_file),
            sampling,
            pipeline,
            data_prefix=data_prefix,
            loading=MediaLoading(
                *('video', sampling, None, backend, filename_tmpl, trimmed_seconds), limits=limits
            ),
            test_mode=test_mode,
            bad_samples_file=bad_samples_file,
            max_bad_share=max_bad_share,
            seed=seed,
        )
        if answers is not None:
            self.metainfo['answers'] = closed_list(answers, max_answers)
        self._index(questions_per_clip)
        self._decoded: tuple[int, dict | MediaError] | None = None

    def _index(self, per_clip: int) -> None:
        """Find rows, their clips, and where the rows of every item start."""
        found = list(self._usable_rows())
        files, total = ', '.join(map(str, self.annotations.files)), len(self.annotations)
        if len(found) < total:
            print_log(
                f'{files}: {total - len(found)} of {total} rows are left out, such as '
                f'{self._fault}; tools/data/check.py lists faults of texts',
                'current',
            )
        if not found:
            raise ValueError(f'{files}: none of {total} rows can be used, such as {self._fault}')
        pairs = np.array(found, np.int64)
        # By video, so that neighbours share a decode; stable, to keep the order of its questions.
        pairs = pairs[np.argsort(pairs[:, 1], kind='stable')]
        self._rows, self._clips = pairs.T.copy()
        starts, place = [], 0
        for count in np.unique(self._clips, return_counts=True)[1].tolist():
            # Each video starts anew, so that no item is about two of them.
            starts += range(place, place + count, per_clip)
            place += count
        self._starts = np.array([*starts, place], np.int64)
        self._is_grouped = per_clip > 1

    def _usable_rows(self) -> Iterator[tuple[int, int]]:
        """(row, number of its video) of every row that can be used."""
        self._fault = ''
        videos: dict[str, int] = {}
        ids: dict[str, int] = {}
        for row, info in enumerate(self.annotations.scan()):
            try:
                self._facts(row, info, ids)
            except ValueError as error:
                if self.test_mode:
                    raise
                self._fault = self._fault or str(error)
            else:
                yield row, videos.setdefault(path_of(info, ''), len(videos))

    def _facts(self, row: int, info: dict | ValueError, ids: dict[str, int]) -> None:
        """Check a row, with a ValueError that names it."""
        if isinstance(info, ValueError):
            raise info
        try:
            TASKS[self.task](info)
        except ValueError as error:
            raise self.annotations.located(row, error) from None
        name = str(info.get('question_id', row))
        first = ids.setdefault(name, row)
        if self.test_mode and first != row:
            where = self.annotations.where(first)
            raise self.annotations.located(row, f'question_id {name!r} as in {where}')

    def __len__(self) -> int:
        return len(self._starts) - 1

    def get_data_info(self, item: int) -> dict:
        """The first question of an item and the video that it is about."""
        return self._questions(range(len(self))[item])[0]

    def _questions(self, item: int) -> list[Facts]:
        places = range(self._starts[item], self._starts[item + 1])
        return [self._question(int(self._rows[p]), int(self._clips[p])) for p in places]

    def _question(self, row: int, clip: int) -> Facts:
        info = self.annotations[row]
        facts = TASKS[self.task](info) | dict(question_id=info.get('question_id', row))
        kind = next((info[key] for key in TYPE_KEYS if info.get(key) is not None), None)
        if kind is not None:
            facts['question_type'] = str(kind)
        path = path_of(info, self.data_prefix)
        return facts | dict(path=path, sample_index=row, media_type='video', clip_id=clip)

    def read(self, item: int) -> dict | list[dict]:
        """Read the questions of an item, which share one decode, see :class:`BaseDataset`."""
        questions = self._questions(item)
        packed = self._load(questions[0])
        items = [self._with_question(packed, each) for each in questions]
        return items if self._is_grouped else items[0]

    def _load(self, question: Facts) -> dict:
        """The packed clip that a question is about."""
        return self.make({key: question[key] for key in ('path', 'sample_index', 'media_type')})

    def _with_question(self, packed: dict, question: Facts) -> dict:
        sample = packed['data_samples'].clone()
        sample.set_metainfo(question)
        return dict(inputs=packed['inputs'], data_samples=sample)

    def read_for_test(self, epoch: int, item: int) -> dict:
        """Decode a video once for questions in a row, see :class:`BaseDataset`."""
        (question,) = self._questions(item)
        clip = question['clip_id']
        if self._decoded is None or self._decoded[0] != clip:
            try:
                # By video, not by item: which of its questions comes first must not decide the
                # frames.
                with sample_seed(self.seed, epoch, clip):
                    self._decoded = clip, self._load(question)
            except MediaError as error:
                # Kept as well, or a broken video is opened again for each of its questions.
                self._decoded = clip, error
        packed = self._decoded[1]
        if isinstance(packed, MediaError):
            facts = question | dict(unreadable=packed.reason)
            return dict(inputs=None, data_samples=VideoDataSample(metainfo=facts))
        return self._with_question(packed, question)
