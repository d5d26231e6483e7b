"""Labelled videos from an annotation list, Kinetics or Something-Something style."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from internvideo.datasets import config_checks, example_rows, item_counts
from internvideo.datasets.base import BaseDataset
from internvideo.datasets.formats.annotations import AnnotationList
from internvideo.datasets.media.limits import MediaLimits, media_limits
from internvideo.datasets.media_loading import MediaLoading
from internvideo.datasets.media_sources import MediaSource, MediaSources
from internvideo.registry import DATASETS


@DATASETS.register_module()
class VideoDataset(BaseDataset):
    """Videos (or folders of frames) with an integer label.

    An item is usually ``dict(inputs=uint8 (V, C, T, H, W), data_samples=VideoDataSample)``, see
    :class:`BaseDataset`, as for its draws and for media that cannot be read.

    Args:
        ann_file: Annotation list, see :class:`AnnotationList`.
        sampling: Transform that chooses the frames of a video, as a config or a callable.
        pipeline: Transforms of the decoded frames, as configs or callables; run ``num_repeats``
            times on one decode.
        backend: ``'auto'``, ``'pyav'``, ``'decord'``, ``'torchcodec'``, or ``'frames'`` for
            folders of images; rows of ``total_frames`` below 0 are video files all the same.
        filename_tmpl: Names of the images of a folder, numbered from the row's ``start_index`` or
            else 1.
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
        limits: Sizes and times above which a file counts as unreadable, fields of
            :class:`MediaLimits`.

    Raises:
        FileNotFoundError: ``ann_file`` or the class file does not exist.
        ValueError: empty list, malformed line, label out of range or unknown source, naming file
            and line.
    """

    # What the class tells a rehearsal, see docs/rehearsal.md.
    with_examples = staticmethod(example_rows.labelled_list)
    count_items = staticmethod(item_counts.labelled)
    check_config = staticmethod(config_checks.labelled_list)

    def __init__(
        self,
        ann_file: str | Path,
        sampling: dict | Callable,
        pipeline: Sequence[dict | Callable],
        backend: str = 'auto',
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
        limits: MediaLimits | Mapping[str, Any] | None = None,
    ) -> None:
        own_limits = media_limits(limits)
        default = MediaSource(str(data_prefix), backend, filename_tmpl, path_suffix, own_limits)
        self.sources = MediaSources(default, sources)
        if sources is not None and 'source' not in columns:
            raise ValueError(f'`sources` for {ann_file} with no column `source` in {columns}')
        super().__init__(
            AnnotationList(ann_file, columns, delimiter),
            sampling,
            pipeline,
            data_prefix=data_prefix,
            loading=MediaLoading('video', sampling, opener=self.sources),
            num_classes=num_classes,
            classes=classes,
            test_mode=test_mode,
            num_repeats=num_repeats,
            bad_samples_file=bad_samples_file,
            max_bad_share=max_bad_share,
            seed=seed,
        )
        if check_annotations:
            of_row = None if sources is None else self.sources.of
            self.annotations.check(self.metainfo.get('num_classes'), of_row)

    @property
    def largest_label(self) -> int | None:
        """The largest label of the list, None when it has no labels."""
        return self.annotations.largest_label()

    def get_data_info(self, row: int) -> dict:
        """The row of the list with ``path`` resolved and ``sample_index`` added."""
        info = self.annotations[row]
        try:
            path = self.sources.of(info).resolve(info['path'])
        except ValueError as error:
            raise self.annotations.located(row, error) from None
        return info | dict(path=path, sample_index=int(row))
