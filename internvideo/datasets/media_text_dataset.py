"""One corpus of media with captions: images, videos, audio, or videos with their audio."""

from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.logging import print_log

from internvideo.datasets import example_rows
from internvideo.datasets.bad_samples import MediaError
from internvideo.datasets.base import BaseDataset
from internvideo.datasets.formats.caption_choice import MIN_WORDS, CaptionChoice
from internvideo.datasets.formats.row_index import cached_index
from internvideo.datasets.formats.text_annotations import TextAnnotations
from internvideo.datasets.media.limits import MediaLimits
from internvideo.datasets.media_loading import MediaLoading
from internvideo.registry import DATASETS


@DATASETS.register_module()
class MediaTextDataset(BaseDataset):
    """Media with captions, for training.

    An item is what the pipeline returns, ``dict(inputs, data_samples)`` of :class:`PackMedia`
    as a rule.  Its sample has ``path``, ``sample_index``, ``media_type``, ``caption`` (a text, or
    a dict of them with ``caption_choice='avs_all'``), ``max_text_length`` if the corpus has one,
    and ``pair_id``, a number that all items of one file (of one caption with
    ``multi_vision``) share, in any corpus and process.  Texts that cannot be used count as
    unreadable media do, see :class:`BaseDataset`.

    Args:
        ann_file: Annotations, see :class:`TextAnnotations`; several are one list.
        sampling: Transform that chooses the frames of a video, as a config or a callable.
        pipeline: Transforms of the decoded frames; audio only goes through the last, which packs.
        media_type: ``'image'``, ``'video'``, ``'audio'`` or ``'audio_video'``.
        data_prefix: Folder that relative paths start from.
        caption_choice, paragraph, prompt: Which captions go with a sample, see
            :class:`CaptionChoice`.
        filter_captions: Leave out captions of less than two words.
        multi_text: Every caption of an annotation is an item.
        multi_vision: Items of one caption, not of one file, share their ``pair_id``.
        max_text_length: Tokens that texts are cut to; None: the tokenizer says.
        trimmed_seconds, clip_from_video, audio, audio_from_video, pad_missing_audio, backend,
            filename_tmpl, limits: How media are read, see :class:`MediaLoading`.
        bad_samples_file: JSON-lines file for unreadable media.
        max_bad_share: Share of unreadable samples above which training stops; None for any.
        seed: Seed of the draws; the training sampler sets it.

    Raises:
        FileNotFoundError: ``ann_file`` does not exist.
        ValueError: it cannot be used, holds no usable row, or settings contradict each other.
    """

    # What the class tells a rehearsal, see docs/rehearsal.md.
    with_examples = staticmethod(example_rows.captioned)

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
        backend: str = 'auto',
        filename_tmpl: str = 'img_{:05}.jpg',
        bad_samples_file: str | Path | None = None,
        max_bad_share: float | None = 0.1,
        seed: int = 0,
        limits: MediaLimits | Mapping[str, Any] | None = None,
    ) -> None:
        if multi_text and (paragraph or caption_choice != 'uniform'):
            raise ValueError("multi_text=True needs caption_choice='uniform' and no paragraph")
        self.captions = CaptionChoice(
            caption_choice, paragraph, prompt, min_words=MIN_WORDS if filter_captions else 1
        )
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
            bad_samples_file=bad_samples_file,
            max_bad_share=max_bad_share,
            seed=seed,
        )
        self.multi_text, self.multi_vision = multi_text, multi_vision
        self.clip_from_video, self.max_text_length = clip_from_video, max_text_length
        self._is_indexed = filter_captions or multi_text
        self._index_items()
        self._report()

    def _index_items(self) -> None:
        """Find the items, where they are not simply the rows."""
        self._items = None
        if self._is_indexed:
            # What decides the items is in the name of the cache, so that another setting makes
            # another.
            kind = f'items {self.captions} {self.multi_text}'
            self._items = cached_index(self.annotations.files, kind, self._find_items)

    def _find_items(self) -> np.ndarray:
        """int64 (items, 2): row, and number of the caption that is meant."""
        pairs = (
            (row, number)
            for row, info in enumerate(self.annotations.scan())
            for number in range(self._items_of(info))
        )
        # Straight into an array: a list of tuples would take many times its memory.
        return np.fromiter(chain.from_iterable(pairs), np.int64).reshape(-1, 2)

    def _items_of(self, info: dict | ValueError) -> int:
        """Number of items of a row."""
        try:
            texts = {} if isinstance(info, ValueError) else self.captions.usable(info)
        except ValueError:
            return 0
        return len(texts.get('caption', ())) if self.multi_text else min(len(texts), 1)

    def _report(self) -> None:
        """Say what was left out, and refuse an empty corpus."""
        files = ', '.join(map(str, self.annotations.files))
        rows = len(self.annotations)
        kept = rows if self._items is None else len(self)
        if self.multi_text:
            # Items of a row follow each other, so that the changes of row count the rows.
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
        """Fault of the first row, where none can be used."""
        fault = next(self.annotations.scan(), None)
        if isinstance(fault, dict):
            try:
                self.captions.usable(fault)
            except ValueError as error:
                fault = self.annotations.located(0, error)
        return '' if fault is None else f', such as {fault}'

    def __getstate__(self) -> dict:
        # A memory map is pickled as the whole array; a worker process maps the file again instead.
        mapped = isinstance(self._items, np.memmap)
        return {k: v for k, v in self.__dict__.items() if not (mapped and k == '_items')}

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state)
        if '_items' not in state:
            self._index_items()

    def __len__(self) -> int:
        return len(self.annotations) if self._items is None else len(self._items)

    def row_of(self, item: int) -> int:
        """See :class:`BaseDataset`."""
        return item if self._items is None else int(self._items[item, 0])

    def get_data_info(self, item: int) -> dict:
        """The annotation of an item, see :class:`BaseDataset`.

        Raises:
            MediaError: it is malformed.
        """
        try:
            return super().get_data_info(item)
        except ValueError as error:
            # Lists that are not scanned may hold such rows: they count as unreadable.
            where = self.annotations.where(self.row_of(range(len(self))[item]))
            raise MediaError(where, str(error)) from None

    def make(self, sample: dict) -> dict:
        """Draw the caption, then read the media, see :class:`BaseDataset`."""
        return super().make(self._with_text(sample))

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
        """A number that is the same wherever the same file, or caption, comes."""
        key = [sample['path']]
        if self.multi_vision:
            key = [str(caption)]
        elif self.clip_from_video:
            key += [str(sample.get(f'video_{end}_frame')) for end in ('start', 'end')]
        # Not hash(), which gives texts another number in every process.
        digest = blake2b('\n'.join(key).encode(), digest_size=8).digest()
        return int.from_bytes(digest, 'big') >> 1  # fits an int64
