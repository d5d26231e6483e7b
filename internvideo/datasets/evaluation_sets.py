"""Evaluation sets of media and texts: retrieval, zero-shot actions, multiple choice."""

import difflib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from internvideo.datasets import config_checks, example_rows
from internvideo.datasets.base import BaseDataset
from internvideo.datasets.formats.caption_choice import CaptionChoice
from internvideo.datasets.formats.captions import normalise_caption
from internvideo.datasets.formats.class_names import class_names
from internvideo.datasets.formats.prompts import fill_prompt, prompt_templates
from internvideo.datasets.formats.question_rows import options_of, right_option
from internvideo.datasets.formats.text_annotations import TextAnnotations, path_of
from internvideo.datasets.media.limits import MediaLimits
from internvideo.datasets.media_loading import MediaLoading
from internvideo.datasets.tables import build_entry
from internvideo.registry import DATASETS, near_names

TEXT_KEYS = ('caption', 'option', 'answer')
MODALITIES = dict(image='vision', video='vision', audio='audio', audio_video='audio_vision')
"""Modality of a sample -> what a model encodes of it."""
CLIP_KEYS = ('video_start_frame', 'video_end_frame')


class EvaluationSet(BaseDataset):
    """Media of one set, each once however often the annotations name it, and the texts they meet.

    An item is what the pipeline returns, without caption; media that cannot be read are reported,
    see :class:`BaseDataset`.

    Attributes:
        texts: all texts, normalised, in groups of ``num_prompts`` that count as one.
        task: kind of ground truth, by which metrics choose the sets that they score:
            ``'retrieval'``, ``'action'``, ``'choice'``.

    Args:
        name: of the set.
        ann_file: Annotations, see :class:`TextAnnotations`.
        sampling, pipeline: As of :class:`MediaTextDataset`.
        media_type, data_prefix, audio, trimmed_seconds, clip_from_video, audio_from_video,
            pad_missing_audio, backend, filename_tmpl, limits: As of :class:`MediaTextDataset`.
        max_text_length: Tokens that texts are cut to; None: the tokenizer says.

    Raises:
        FileNotFoundError: ``ann_file`` does not exist.
        ValueError: a row is malformed, naming file and row.
    """

    fact_keys = (*BaseDataset.fact_keys, 'set_name')
    num_prompts = 1
    task: ClassVar[str]

    # What the class tells a rehearsal, see docs/rehearsal.md.
    with_examples = staticmethod(example_rows.captioned)

    def __init__(
        self,
        name: str,
        ann_file: str | Path | Sequence[str | Path],
        sampling: Mapping[str, Any] | Callable,
        pipeline: Sequence[Mapping[str, Any] | Callable],
        media_type: str = 'video',
        data_prefix: str | Path = '',
        audio: Mapping[str, Any] | None = None,
        max_text_length: int | None = None,
        trimmed_seconds: float | None = None,
        clip_from_video: bool = False,
        audio_from_video: bool = True,
        pad_missing_audio: bool = False,
        backend: str = 'auto',
        filename_tmpl: str = 'img_{:05}.jpg',
        limits: MediaLimits | Mapping[str, Any] | None = None,
    ) -> None:
        self.name, self.max_text_length = name, max_text_length
        self.clip_from_video = clip_from_video
        loading = MediaLoading(
            *(media_type, sampling, audio, backend, filename_tmpl, trimmed_seconds),
            *(clip_from_video, audio_from_video, pad_missing_audio),
            limits=limits,
        )
        super().__init__(
            TextAnnotations(ann_file),
            sampling,
            pipeline,
            media_type=media_type,
            data_prefix=data_prefix,
            loading=loading,
            test_mode=True,
        )
        self.texts: list[str] = []
        self._rows: list[int] = []
        """Row of the annotations that each sample is read by."""
        self._read_rows()

    def _read_rows(self) -> None:
        numbers: dict[tuple, int] = {}
        for row, info in enumerate(self.annotations.scan()):
            # In training a bad row is left out; a metric over a part of a set compares with no
            # other.
            if isinstance(info, ValueError):
                raise info
            number = numbers.setdefault(self._identity(info), len(numbers))
            if number == len(self._rows):
                self._rows.append(row)
            try:
                self.add(number, info)
            except ValueError as error:
                raise self.annotations.located(row, error) from None
        if not self._rows:
            raise ValueError(f'{self.files}: the set is empty')
        self.finish()

    def _identity(self, info: Mapping[str, Any]) -> tuple:
        clip = CLIP_KEYS if self.clip_from_video else ()
        return (path_of(info, '', self.media_type), *(info.get(key) for key in clip))

    def add(self, sample: int, info: Mapping[str, Any]) -> None:
        """Take the texts of one row.  Raises ValueError when it has none that can be used."""
        raise NotImplementedError

    def finish(self) -> None:
        """Called after the last row."""

    @property
    def files(self) -> str:
        """The annotation files, for reports."""
        return ', '.join(map(str, self.annotations.files))

    @property
    def modality(self) -> str:
        """Modalities that a model encodes of a sample."""
        return MODALITIES[self.media_type]

    @property
    def ground_truth(self) -> Any:
        """Ground truth as metrics of the task take it."""
        raise NotImplementedError

    def __len__(self) -> int:
        return len(self._rows)

    def row_of(self, sample: int) -> int:
        """See :class:`BaseDataset`."""
        return self._rows[sample]

    def get_data_info(self, sample: int) -> dict:
        """Annotation of a sample without its texts, see :class:`BaseDataset`."""
        info = super().get_data_info(sample)
        kept = {k: v for k, v in info.items() if k not in TEXT_KEYS and 'caption' not in k}
        return kept | dict(set_name=self.name)


@DATASETS.register_module()
class RetrievalSet(EvaluationSet):
    """Media and the captions that describe them, to find each other.

    Rows of one sample are merged: it then has several captions.  With ``multi_vision`` equal
    captions are one, which describes several media.  ``paragraph``: the captions of a row, joined
    by blanks, are one.  ``caption_key``: where rows have captions of several kinds, the kind.
    Further arguments: see :class:`EvaluationSet`.

    Raises:
        ValueError: a row without a caption, naming file and row.
    """

    task = 'retrieval'

    def __init__(
        self,
        *args: Any,
        paragraph: bool = False,
        multi_vision: bool = False,
        caption_key: str | None = None,
        **kwargs: Any,
    ) -> None:
        self.caption_key = caption_key
        self._captions = CaptionChoice(paragraph=paragraph, min_words=1)
        self.multi_vision = multi_vision
        self._texts_of: list[list[int]] = []
        self._number_of: dict[str, int] = {}
        super().__init__(*args, **kwargs)

    def add(self, sample: int, info: Mapping[str, Any]) -> None:
        """See :class:`EvaluationSet`."""
        if sample == len(self._texts_of):
            self._texts_of.append([])
        if self.caption_key is not None:
            info = dict(caption=info.get(self.caption_key))
        for text in self._captions.usable(info)['caption']:
            number = self._number_of.get(text) if self.multi_vision else None
            if number is None:
                number = self._number_of[text] = len(self.texts)
                self.texts.append(text)
            self._texts_of[sample].append(number)

    @property
    def ground_truth(self) -> list[list[int]]:
        """Texts of every sample."""
        return self._texts_of


@DATASETS.register_module()
class ActionSet(EvaluationSet):
    """Videos and the names of their actions, each in every published sentence.

    ``caption`` of a row is the class.  ``classes``: all names, as a list or a text file with one
    a line; None: those that the annotations hold.  They are sorted.  ``templates``: name of the
    list of sentences.  Further arguments: see :class:`EvaluationSet`.

    Raises:
        ValueError: a row without class, or of a class that ``classes`` lack.
    """

    task = 'action'

    # What the class tells a rehearsal, see docs/rehearsal.md.
    with_examples = staticmethod(example_rows.named_actions)

    def __init__(
        self,
        *args: Any,
        classes: Sequence[str] | str | Path | None = None,
        templates: str = 'kinetics_action_clip',
        **kwargs: Any,
    ) -> None:
        self.templates = prompt_templates(templates)
        self.num_prompts = len(self.templates)
        # The published order is that of a Python set, another in every process.
        self.classes = None if classes is None else sorted(set(class_names(classes)))
        self._class_of: list[str] = []
        super().__init__(*args, **kwargs)

    def add(self, sample: int, info: Mapping[str, Any]) -> None:
        """See :class:`EvaluationSet`."""
        name = info.get('caption')
        if not isinstance(name, str) or not normalise_caption(name):
            raise ValueError(f'caption is no class name but {str(name)[:40]!r}')
        if self.classes is not None and name not in self.classes:
            near = difflib.get_close_matches(name, self.classes, n=1)
            raise ValueError(
                f'{name!r} is no class; {f"did you mean {near[0]!r}?" if near else ""}'
            )
        if sample < len(self._class_of) and self._class_of[sample] != name:
            raise ValueError(f'the video is {name!r} here and {self._class_of[sample]!r} before')
        # Once for each video: its later rows have only been compared.
        self._class_of += [name] * (sample == len(self._class_of))

    def finish(self) -> None:
        """See :class:`EvaluationSet`."""
        self.classes = self.classes or sorted(set(self._class_of))
        # Class by class, since each group of `num_prompts` texts is averaged to one.
        self.texts = [
            normalise_caption(fill_prompt(template, name))
            for name in self.classes
            for template in self.templates
        ]

    @property
    def ground_truth(self) -> list[int]:
        """Class of every video."""
        numbers = {name: number for number, name in enumerate(self.classes)}
        return [numbers[name] for name in self._class_of]


@DATASETS.register_module()
class ChoiceSet(EvaluationSet):
    """Videos with options, one or several of which are right.

    ``option`` (or ``caption``) of a row is the list of options, ``answer`` the number of the right
    one, or a 0 or 1 for each.  Equal options are one text.  A row is a question; a video that
    several ask about is one sample, decoded once.  Further arguments: see :class:`EvaluationSet`.

    Raises:
        ValueError: options that are no list of texts or of another number than before, or an
            answer that does not fit them; naming file and row.
    """

    task = 'choice'

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.options: list[list[int]] = []
        self.answers: list[int] | list[list[int]] = []
        self.samples: list[int] = []
        self._number_of: dict[str, int] = {}
        super().__init__(*args, **kwargs)

    def add(self, sample: int, info: Mapping[str, Any]) -> None:
        """See :class:`EvaluationSet`."""
        options = options_of(info)
        if self.options and len(options) != len(self.options[0]):
            raise ValueError(f'{len(options)} options, expected {len(self.options[0])}')
        self.answers.append(_checked_answer(info.get('answer'), len(options), self.answers))
        self.options.append([self._number(normalise_caption(text)) for text in options])
        self.samples.append(sample)

    def _number(self, text: str) -> int:
        if text not in self._number_of:
            self._number_of[text] = len(self.texts)
            self.texts.append(text)
        return self._number_of[text]

    @property
    def ground_truth(self) -> dict[str, list]:
        """Questions by video ``samples`` (Q,), texts ``options`` (Q, K) and right ones ``answers``.
        ``answers``, (Q,) numbers or (Q, K) flags.
        """
        return dict(samples=self.samples, options=self.options, answers=self.answers)


def _checked_answer(answer: Any, count: int, others: Sequence[Any]) -> int | list[int]:
    if others and isinstance(answer, list) != isinstance(others[0], list):
        raise ValueError('answer is a number in some rows and a list in others')
    if isinstance(answer, list):
        if len(answer) != count or not all(flag in (0, 1) for flag in answer):
            raise ValueError(f'answer must hold a 0 or 1 for each of {count} options, got {answer}')
        return answer
    return right_option(answer, count)


@DATASETS.register_module()
class EvaluationSets:
    """Some sets of a table, one after the other.

    Args:
        table: By name, config of every set that may be chosen: ``type`` and the fields of its
            class; those of this class are defaults.
        sets: Names of the chosen ones.
        sampling, pipeline, audio, max_text_length, backend, limits: As of :class:`EvaluationSet`.

    Raises:
        ValueError: nothing is chosen, or a name is not in the table; whatever a set raises,
            naming it.
    """

    # What the class tells a rehearsal, see docs/rehearsal.md.
    with_examples = staticmethod(example_rows.tabled)
    check_config = staticmethod(config_checks.evaluation_sets)

    def __init__(
        self,
        table: Mapping[str, Mapping[str, Any]],
        sets: str | Sequence[str],
        sampling: Mapping[str, Any] | Callable,
        pipeline: Sequence[Mapping[str, Any] | Callable],
        audio: Mapping[str, Any] | None = None,
        max_text_length: int | None = None,
        backend: str = 'auto',
        limits: MediaLimits | Mapping[str, Any] | None = None,
    ) -> None:
        names = [sets] if isinstance(sets, str) else list(dict.fromkeys(sets))
        if not names:
            raise ValueError(f'`sets` chooses nothing; known: {", ".join(table)}')
        defaults = dict(sampling=sampling, pipeline=pipeline, audio=audio, backend=backend)
        defaults |= dict(max_text_length=max_text_length, limits=limits)
        for name in names:
            if name not in table:
                raise ValueError(f'sets: {name!r} is not in the table; {near_names(name, table)}')
        self.sets: list[EvaluationSet] = [
            build_entry(name, table, dict(defaults, name=name)) for name in names
        ]
        self.metainfo: dict[str, Any] = {}
        self._places = [(part, row) for part in self.sets for row in range(len(part))]

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, key: int | tuple[int, int]) -> dict:
        epoch, place = key if isinstance(key, tuple) else (0, key)
        part, row = self._places[place]
        return part[epoch, row]
