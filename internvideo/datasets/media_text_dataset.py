"""One corpus of media with captions: images, videos, sounds, or videos with their sound."""

from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.logging import print_log

from internvideo.datasets.bad_samples import BadSampleLog, MediaError, read_or_replace
from internvideo.datasets.formats.caption_choice import MIN_WORDS, CaptionChoice
from internvideo.datasets.formats.row_index import cached_index
from internvideo.datasets.formats.text_annotations import MEDIA_KEYS, TextAnnotations, path_of
from internvideo.datasets.media.loading import MediaLoading
from internvideo.registry import DATASETS, TRANSFORMS


@DATASETS.register_module()
class MediaTextDataset:
    """Media with captions, for training.

    An item is what the pipeline returns, ``dict(inputs, data_samples)`` of :class:`PackMedia`
    as a rule.  Its sample has ``path``, ``sample_index``, ``media_type``, ``caption`` (a text, or
    a dict of them with ``caption_choice='avs_all'``), ``max_text_length`` if the corpus has one,
    and ``pair_id``, a number that all items of one medium (of one caption with
    ``multi_vision``) share, in any corpus and process.  Items are asked for by number or by
    ``(epoch, number)``; all draws of an item come from ``(seed, epoch, number)``.

    Where media or texts cannot be read, another item takes the place, and file and reason are
    appended to ``bad_samples_file``.

    Args:
        ann_file: Annotations, see :class:`TextAnnotations`; several are one list.
        sampling: Transform that chooses the frames of a video, as a config or a callable.
        pipeline: Transforms of the decoded frames; sounds only go through the last, which packs.
        media_type: ``'image'``, ``'video'``, ``'audio'`` or ``'audio_video'``.
        data_prefix: Folder that relative paths start from.
        caption_choice, paragraph, prompt: Which captions go with a medium, see
            :class:`CaptionChoice`.
        filter_captions: Leave out captions of less than two words.
        multi_text: Every caption of an annotation is an item.
        multi_vision: Items of one caption, not of one medium, share their ``pair_id``.
        max_text_length: Tokens that texts are cut to; None: the tokenizer says.
        trimmed_seconds, clip_from_video, audio, audio_from_video, pad_missing_audio, backend,
            filename_tmpl: How media are read, see :class:`MediaLoading`.
        bad_samples_file: JSON-lines file for unreadable media.
        max_bad_share: Share of unreadable samples above which training stops; None for any.
        seed: Seed of the draws; the training sampler sets it.

    Raises:
        FileNotFoundError: ``ann_file`` does not exist.
        ValueError: it cannot be used, holds no usable row, or settings contradict each other.
    """

    def __init__(
        self,
        ann_file: str | Path | Sequence[str | Path],
        sampling: Mapping[str, Any] | Callable,
        pipeline: Sequence[Mapping[str, Any] | Callable],
        media_type: str = 'video',
        data_prefix: str | Path = '',
        caption_choice: str = 'uniform',
        paragraph: bool = False,
        prompt: str | None = None,
        filter_captions: bool = True,
        multi_text: bool = False,
        multi_vision: bool = False,
        max_text_length: int | None = None,
        trimmed_seconds: float | None = None,
        clip_from_video: bool = False,
        audio: Mapping[str, Any] | None = None,
        audio_from_video: bool = True,
        pad_missing_audio: bool = False,
        backend: str = 'decord',
        filename_tmpl: str = 'img_{:05}.jpg',
        bad_samples_file: str | Path | None = None,
        max_bad_share: float | None = 0.1,
        seed: int = 0,
    ) -> None:
        self.loading = MediaLoading(
            *(media_type, sampling, audio, backend, filename_tmpl, trimmed_seconds),
            *(clip_from_video, audio_from_video, pad_missing_audio),
        )
        self.captions = CaptionChoice(
            caption_choice, paragraph, prompt, min_words=MIN_WORDS if filter_captions else 1
        )
        if multi_text and (paragraph or caption_choice != 'uniform'):
            raise ValueError("multi_text=True needs caption_choice='uniform' and no paragraph")
        self.media_type, self.data_prefix = media_type, str(data_prefix)
        self.multi_text, self.multi_vision = multi_text, multi_vision
        self.max_text_length, self.seed = max_text_length, seed
        self.pipeline = [each if callable(each) else TRANSFORMS.build(each) for each in pipeline]
        self.bad_samples = BadSampleLog(bad_samples_file, max_bad_share)
        self.annotations = TextAnnotations(ann_file)
        self._is_indexed = filter_captions or multi_text
        self._index_items()
        self._report()

    def _index_items(self) -> None:
        """Find the items, where they are not simply the rows."""
        self._items = None
        if self._is_indexed:
            kind = f'items {self.captions} {self.multi_text}'
            self._items = cached_index(self.annotations.files, kind, self._find_items)

    def _find_items(self) -> np.ndarray:
        """int64 (items, 2): row, and number of the caption that is meant."""
        pairs = (
            (row, number)
            for row, info in enumerate(self.annotations.scan())
            for number in range(self._items_of(info))
        )
        return np.fromiter(chain.from_iterable(pairs), np.int64).reshape(-1, 2)

    def _items_of(self, info: dict | ValueError) -> int:
        """How many items a row is."""
        try:
            texts = {} if isinstance(info, ValueError) else self.captions.usable(info)
        except ValueError:
            return 0
        return len(texts.get('caption', ())) if self.multi_text else min(len(texts), 1)

    def _report(self) -> None:
        """Say what was left out; refuse an empty corpus."""
        files = ', '.join(map(str, self.annotations.files))
        rows = len(self.annotations)
        kept = rows if self._items is None else len(self)
        if self.multi_text:
            kept = np.count_nonzero(np.diff(self._items[:, 0])) + (len(self) > 0)
        if kept < rows:
            print_log(
                f'{files}: {rows - kept} of {rows} rows are left out, malformed (see '
                'tools/data/check.py) or without a caption of '
                f'{self.captions.min_words} words',
                'current',
            )
        if kept == 0:
            raise ValueError(f'{files}: none of {rows} rows can be used{self._first_fault()}')

    def _first_fault(self) -> str:
        """What is wrong with the first row, where none can be used."""
        fault = next(self.annotations.scan(), None)
        if isinstance(fault, dict):
            try:
                self.captions.usable(fault)
            except ValueError as error:
                fault = self.annotations.located(0, error)
        return '' if fault is None else f', such as {fault}'

    def __getstate__(self) -> dict:
        mapped = isinstance(self._items, np.memmap)
        return {k: v for k, v in self.__dict__.items() if not (mapped and k == '_items')}

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state)
        if '_items' not in state:
            self._index_items()

    @property
    def bad_samples_file(self) -> str | Path | None:
        """Where unreadable media and texts are listed."""
        return self.bad_samples.file

    @bad_samples_file.setter
    def bad_samples_file(self, file: str | Path | None) -> None:
        self.bad_samples.file = file

    def set_seed(self, seed: int) -> None:
        """Set the seed of all draws."""
        self.seed = seed

    def __len__(self) -> int:
        return len(self.annotations) if self._items is None else len(self._items)

    def get_data_info(self, item: int) -> dict:
        """The annotation of an item, with ``path`` resolved and ``sample_index`` added.

        Raises:
            MediaError: it is malformed.
        """
        item = range(len(self))[item]
        row = item if self._items is None else int(self._items[item, 0])
        try:
            info = self.annotations[row]
        except ValueError as error:
            raise MediaError(self.annotations.where(row), str(error)) from None
        sample = {key: value for key, value in info.items() if key not in MEDIA_KEYS}
        if 'audio' in info:
            sample['sound_path'] = str(Path(self.data_prefix, info['audio']))
        path = path_of(info, self.data_prefix, self.media_type)
        return sample | dict(path=path, sample_index=item, media_type=self.media_type)

    def __getitem__(self, key: int | tuple[int, int]) -> dict:
        epoch, item = key if isinstance(key, tuple) else (0, key)
        item = range(len(self))[item]
        return read_or_replace(self._read, self.bad_samples, len(self), self.seed, epoch, item)

    def _read(self, item: int) -> dict:
        sample = self._with_text(self.get_data_info(item))
        self.loading(sample)
        for transform in self.pipeline if self.loading.has_pictures else self.pipeline[-1:]:
            sample = transform(sample)
        return sample

    def _with_text(self, sample: dict) -> dict:
        item = sample['sample_index']
        number = int(self._items[item, 1]) if self.multi_text else None
        try:
            caption = self.captions.draw(sample, number)
        except ValueError as error:
            raise MediaError(sample['path'], str(error)) from None
        sample = {key: value for key, value in sample.items() if 'caption' not in key}
        if self.max_text_length is not None:
            sample['max_text_length'] = self.max_text_length
        pair_id = self._pair_id(sample, caption)
        return sample | dict(caption=self.captions.prompted(caption), pair_id=pair_id)

    def _pair_id(self, sample: dict, caption: str | dict[str, str]) -> int:
        """A number that is the same wherever the same medium, or caption, comes."""
        key = [sample['path']]
        if self.multi_vision:
            key = [str(caption)]
        elif self.loading.clip_from_video:
            key += [str(sample.get(f'video_{end}_frame')) for end in ('start', 'end')]
        digest = blake2b('\n'.join(key).encode(), digest_size=8).digest()
        return int.from_bytes(digest, 'big') >> 1  # fits an int64
