"""Labelled videos from an annotation list, Kinetics or Something-Something style."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from internvideo.datasets.bad_samples import BadSampleLog, MediaError, read_or_replace
from internvideo.datasets.formats.annotations import AnnotationList
from internvideo.datasets.media.sources import MediaSource, MediaSources
from internvideo.datasets.seeding import sample_seed
from internvideo.datasets.transforms.loading import DecodeFrames
from internvideo.registry import DATASETS, TRANSFORMS
from internvideo.structures import VideoDataSample


@DATASETS.register_module()
class VideoDataset:
    """Videos (or folders of frames) with an integer label.

    An item is what the pipeline returns, usually ``dict(inputs=uint8 (V, C, T, H, W),
    data_samples=VideoDataSample)``; with ``num_repeats = r > 1`` a list of ``r`` of them, made
    from one decode.  Items are asked for by row or by ``(epoch, row)``; all draws of an item come
    from ``(seed, epoch, row)``.

    Media that cannot be read: in training another sample takes the place and the file and reason
    are appended to ``bad_samples_file``; with ``test_mode`` the item is ``dict(inputs=None,
    data_samples=...)`` whose data sample says ``unreadable=reason``.

    Args:
        ann_file: Annotation list, see :class:`AnnotationList`.
        sampling: Transform that chooses the frames of a video, as a config or a callable.
        pipeline: Transforms of the decoded frames, as configs or callables; run ``num_repeats``
            times on one decode.
        backend: ``'decord'``, ``'torchcodec'``, ``'pyav'``, or ``'frames'`` for folders of images.
        filename_tmpl: Names of the images of a folder, numbered from 1.
        data_prefix: Folder that relative paths of the list start from.
        columns, delimiter: Layout of the list; ``delimiter=None`` finds it.
        num_classes: Number of classes; every label is checked against it.
        classes: Class names, or a text file with one a line; sets ``num_classes`` when absent.
        test_mode: Whether unreadable media are reported in place of being replaced.
        num_repeats: Augmentations of each decode (repeated augmentation).
        path_suffix: Appended to paths that hold no dot, for lists without extensions.
        sources: For lists of many data sets, with a column ``source``: by tag, which of
            ``data_prefix``, ``backend``, ``filename_tmpl`` and ``path_suffix`` differ for it.
        check_annotations: Check every line at load; off for lists that were checked before.
        bad_samples_file: JSON-lines file for unreadable media.
        max_bad_share: Share of unreadable samples above which training stops; None for any.
        seed: Seed of the draws; the training sampler sets it.

    Raises:
        FileNotFoundError: ``ann_file`` or the class file does not exist.
        ValueError: empty list, malformed line, label out of range or unknown source, naming file
            and line.
    """

    def __init__(
        self,
        ann_file: str | Path,
        sampling: dict | Callable,
        pipeline: Sequence[dict | Callable],
        backend: str = 'decord',
        filename_tmpl: str = 'img_{:05}.jpg',
        data_prefix: str | Path = '',
        columns: Sequence[str] = ('path', 'label'),
        delimiter: str | None = None,
        num_classes: int | None = None,
        classes: str | Path | Sequence[str] | None = None,
        test_mode: bool = False,
        num_repeats: int = 1,
        path_suffix: str = '',
        sources: Mapping[str, Mapping[str, str]] | None = None,
        check_annotations: bool = True,
        bad_samples_file: str | Path | None = None,
        max_bad_share: float | None = 0.1,
        seed: int = 0,
    ) -> None:
        default = MediaSource(str(data_prefix), backend, filename_tmpl, path_suffix)
        self.sources = MediaSources(default, sources)
        if sources is not None and 'source' not in columns:
            raise ValueError(f'`sources` for {ann_file} with no column `source` in {columns}')
        self.annotations = AnnotationList(ann_file, columns, delimiter)
        self.metainfo = _class_facts(classes, num_classes)
        self.test_mode, self.num_repeats, self.seed = test_mode, num_repeats, seed
        self.bad_samples = BadSampleLog(bad_samples_file, max_bad_share)
        if num_repeats < 1:
            raise ValueError(f'num_repeats must be at least 1, got {num_repeats}')
        self.loading = (self.sources, _build(sampling), DecodeFrames())
        self.pipeline = [_build(transform) for transform in pipeline]
        if check_annotations:
            of_row = None if sources is None else self.sources.of
            self.annotations.check(self.metainfo.get('num_classes'), of_row)

    @property
    def bad_samples_file(self) -> str | Path | None:
        """Where unreadable training media are listed."""
        return self.bad_samples.file

    @bad_samples_file.setter
    def bad_samples_file(self, file: str | Path | None) -> None:
        self.bad_samples.file = file

    @property
    def largest_label(self) -> int | None:
        """The largest label of the list; None when it has no labels."""
        return self.annotations.largest_label()

    def set_seed(self, seed: int) -> None:
        """Set the seed of all draws."""
        self.seed = seed

    def __len__(self) -> int:
        return len(self.annotations)

    def get_data_info(self, row: int) -> dict:
        """The row of the list with ``path`` resolved and ``sample_index`` added."""
        info = self.annotations[row]
        try:
            path = self.sources.of(info).resolve(info['path'])
        except ValueError as error:
            raise self.annotations.located(row, error) from None
        return info | dict(path=path, sample_index=int(row))

    def __getitem__(self, key: int | tuple[int, int]) -> dict | list[dict]:
        epoch, row = key if isinstance(key, tuple) else (0, key)
        row = range(len(self))[row]
        if self.test_mode:
            return self._test_item(epoch, row)
        return read_or_replace(
            lambda chosen: self._run(self.get_data_info(chosen)),
            *(self.bad_samples, len(self), self.seed, epoch, row),
        )

    def _test_item(self, epoch: int, row: int) -> dict | list[dict]:
        info = self.get_data_info(row)
        try:
            with sample_seed(self.seed, epoch, row):
                return self._run(dict(info))
        except MediaError as error:
            return dict(inputs=None, data_samples=_unreadable_sample(info, error.reason))

    def _run(self, sample: dict) -> dict | list[dict]:
        for transform in self.loading:
            sample = transform(sample)
        repeats = [self._augment(dict(sample)) for _ in range(self.num_repeats)]
        return repeats if self.num_repeats > 1 else repeats[0]

    def _augment(self, sample: dict) -> dict:
        for transform in self.pipeline:
            sample = transform(sample)
        return sample


def _build(transform: dict | Callable) -> Callable:
    return transform if callable(transform) else TRANSFORMS.build(transform)


def _unreadable_sample(info: dict, reason: str) -> VideoDataSample:
    facts = dict(path=info['path'], sample_index=info['sample_index'], unreadable=reason)
    sample = VideoDataSample(metainfo=facts)
    return sample.set_gt_label(info['label']) if 'label' in info else sample


def _class_facts(
    classes: str | Path | Sequence[str] | None, num_classes: int | None
) -> dict[str, int | tuple[str, ...]]:
    facts: dict = {}
    if classes is not None:
        facts['classes'] = _class_names(classes)
        if num_classes not in (None, len(facts['classes'])):
            raise ValueError(
                f'num_classes={num_classes} but {len(facts["classes"])} class names are given'
            )
        num_classes = len(facts['classes'])
    if num_classes is not None:
        facts['num_classes'] = num_classes
    return facts


def _class_names(classes: str | Path | Sequence[str]) -> tuple[str, ...]:
    if not isinstance(classes, str | Path):
        return tuple(classes)
    if not Path(classes).is_file():
        raise FileNotFoundError(f'class-name file not found: {classes}')
    lines = Path(classes).read_text(encoding='utf-8').splitlines()
    return tuple(line.strip() for line in lines if line.strip())
