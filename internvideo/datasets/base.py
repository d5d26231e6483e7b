"""Base of all data sets: keys, seeds, unreadable media, classes and pipelines."""

from collections.abc import Callable, Mapping, Sequence
from numbers import Integral
from pathlib import Path
from typing import Any, ClassVar

from internvideo.datasets.bad_samples import BadSampleLog, MediaError, read_or_replace
from internvideo.datasets.formats.class_names import class_facts
from internvideo.datasets.formats.text_annotations import MEDIA_KEYS, path_of
from internvideo.datasets.frame_records import add_record, described_sampling
from internvideo.datasets.media.limits import MediaLimits
from internvideo.datasets.media_loading import MediaLoading
from internvideo.datasets.seeding import sample_seed
from internvideo.registry import TRANSFORMS
from internvideo.structures import VideoDataSample

Transform = Mapping[str, Any] | Callable
Item = dict | list[dict]


class BaseDataset:
    """Annotated media that are read on demand, for training and testing.

    An item is what the pipeline returns, ``dict(inputs, data_samples)`` as a rule; with
    ``num_repeats = r > 1`` a list of ``r`` of them, made from one decode.  Items are asked for by
    number or by ``(epoch, number)``; all draws of an item come from ``(seed, epoch, number)``, so
    that they depend on no worker, rank or interruption.

    Media that cannot be read: in training another item takes the place and file and reason are
    appended to ``bad_samples_file``; with ``test_mode`` the item is ``dict(inputs=None,
    data_samples=...)`` whose data sample says ``unreadable=reason``.

    A subclass gives the rows of its format to the constructor, and overrides what is different
    for it: :meth:`row_of` (which row an item is), :meth:`get_data_info` (what a row says about its
    item) or :meth:`make` (from there to the packed item).

    Args:
        annotations: Rows by number, dicts with a path under ``path``, ``video``, ``image``,
            ``audio`` or ``filename``.  Long lists had better be parsed on access
            (:class:`AnnotationList`, :class:`TextAnnotations`): workers then share them.
        sampling: Transform that chooses the frames of a video, as a config or a callable.
        pipeline: Transforms of what was read, as configs or callables, run ``num_repeats`` times
            on one decode; audio only goes through the last, which packs.
        media_type: ``'image'``, ``'video'``, ``'audio'`` or ``'audio_video'``.
        data_prefix: Folder that relative paths start from.
        backend, filename_tmpl, limits: How videos are read, see :class:`OpenVideo`.
        loading: Reads the media of a sample in place of a :class:`MediaLoading` made from
            ``media_type``, ``sampling``, ``backend``, ``filename_tmpl`` and ``limits``.
        num_classes: Number of classes, for ``metainfo``.
        classes: Class names, or a text file with one a line; sets ``num_classes`` when absent.
        test_mode: Whether unreadable media are reported in place of being replaced.
        num_repeats: Augmentations of each decode (repeated augmentation).
        bad_samples_file: JSON-lines file for unreadable media.
        max_bad_share: Share of unreadable samples above which training stops; None for any.
        seed: Seed of the draws; the training sampler sets it.

    Raises:
        FileNotFoundError: the class file does not exist.
        ValueError: a setting is out of range or contradicts another.
    """

    fact_keys: ClassVar[tuple[str, ...]] = ('path', 'sample_index', 'media_type')
    """What the data sample of unreadable media says, as far as :meth:`get_data_info` does."""

    record_frames: bool = False
    """Whether data samples carry ``frame_record``, see :func:`record_frames_of`."""

    def __init__(
        self,
        annotations: Sequence[Mapping[str, Any]],
        sampling: Transform,
        pipeline: Sequence[Transform],
        media_type: str = 'video',
        data_prefix: str | Path = '',
        backend: str = 'auto',
        filename_tmpl: str = 'img_{:05}.jpg',
        loading: Callable[[dict], dict] | None = None,
        num_classes: int | None = None,
        classes: str | Path | Sequence[str] | None = None,
        test_mode: bool = False,
        num_repeats: int = 1,
        bad_samples_file: str | Path | None = None,
        max_bad_share: float | None = 0.1,
        seed: int = 0,
        limits: MediaLimits | Mapping[str, Any] | None = None,
    ) -> None:
        if num_repeats < 1:
            raise ValueError(f'num_repeats must be at least 1, got {num_repeats}')
        self.annotations = annotations
        self.media_type, self.data_prefix = media_type, str(data_prefix)
        self.test_mode, self.num_repeats, self.seed = test_mode, num_repeats, seed
        self.metainfo: dict[str, Any] = class_facts(classes, num_classes)
        self.bad_samples = BadSampleLog(bad_samples_file, max_bad_share)
        self.loading = loading or MediaLoading(
            media_type, sampling, backend=backend, filename_tmpl=filename_tmpl, limits=limits
        )
        self.pipeline = [each if callable(each) else TRANSFORMS.build(each) for each in pipeline]

    @property
    def bad_samples_file(self) -> str | Path | None:
        """File that lists media that cannot be read in training."""
        return self.bad_samples.file

    @bad_samples_file.setter
    def bad_samples_file(self, file: str | Path | None) -> None:
        self.bad_samples.file = file

    def set_seed(self, seed: int) -> None:
        """Set the seed of all draws."""
        self.seed = seed

    def __len__(self) -> int:
        return len(self.annotations)

    def row_of(self, item: int) -> int:
        """The row of the annotations that an item is read from."""
        return item

    def get_data_info(self, item: int) -> dict:
        """The row of an item with ``path`` resolved, ``sample_index`` and ``media_type`` added.

        Audio beside a video (``audio`` of the row) becomes ``sound_path``.
        """
        item = range(len(self))[item]
        row = self.annotations[self.row_of(item)]
        sample = {key: value for key, value in row.items() if key not in MEDIA_KEYS}
        if 'audio' in row:
            sample['sound_path'] = str(Path(self.data_prefix, row['audio']))
        path = path_of(row, self.data_prefix, self.media_type)
        return sample | dict(path=path, sample_index=item, media_type=self.media_type)

    def __getitem__(self, key: int | tuple[int, int]) -> Item:
        epoch, item = key if isinstance(key, tuple) else (0, key)
        item = range(len(self))[item]
        if self.test_mode:
            return self.read_for_test(epoch, item)
        return read_or_replace(self.read, self.bad_samples, len(self), self.seed, epoch, item)

    def read(self, item: int) -> Item:
        """The item itself, in training.

        Raises:
            MediaError: it cannot be read; another takes its place.
        """
        return self.make(self.get_data_info(item))

    def read_for_test(self, epoch: int, item: int) -> Item:
        """The item, or what is known of one that cannot be read."""
        # Outside `try`, and copied below: an unreadable item is still reported by what its row
        # says.
        info = self.get_data_info(item)
        try:
            with sample_seed(self.seed, epoch, item):
                return self.make(dict(info))
        except MediaError as error:
            return dict(inputs=None, data_samples=self.unreadable_sample(info, error.reason))

    def make(self, sample: dict) -> Item:
        """Read the media of a sample and run the pipeline.

        Raises:
            MediaError: they cannot be read.
        """
        if self.record_frames:
            sample['record_frames'] = True
        sample = self.loading(sample)
        # One decode serves all repeats: a transform puts new arrays into a sample, it never
        # writes into the old ones.
        repeats = [self.augment(dict(sample)) for _ in range(self.num_repeats)]
        return repeats if self.num_repeats > 1 else repeats[0]

    def augment(self, sample: dict) -> dict:
        """Run the pipeline on what was read."""
        # Sounds have no frames to transform: they are only packed.
        packed = sample
        for transform in self.pipeline[-1:] if self.media_type == 'audio' else self.pipeline:
            packed = transform(packed)
        if self.record_frames:
            add_record(packed, sample, described_sampling(self.loading), self.pipeline)
        return packed

    def unreadable_sample(self, info: Mapping[str, Any], reason: str) -> VideoDataSample:
        """The data sample of media that cannot be read in testing."""
        facts = {key: info[key] for key in self.fact_keys if key in info}
        sample = VideoDataSample(metainfo=facts | dict(unreadable=reason))
        label = info.get('label')
        return sample.set_gt_label(int(label)) if isinstance(label, Integral) else sample
