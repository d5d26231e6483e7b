"""Sources of ``check-data``: names of data sets, configs, lists, files and folders."""

import argparse
import dataclasses
from collections.abc import Iterable, Iterator
from pathlib import Path

from internvideo.datasets.checking.lists import AnyList, FileList, MediaList, TextList
from internvideo.datasets.formats.text_annotations import SUFFIXES
from internvideo.datasets.inference.video_lists import find_videos
from internvideo.datasets.media.suffixes import AUDIO_SUFFIXES, VIDEO_SUFFIXES

TABLES = ('corpora', 'evaluation_table', 'evaluation_sets')
"""Config files below ``_base_/datasets`` with a table of media and texts."""


def find_lists(args: argparse.Namespace) -> list[AnyList]:
    """The lists to check, from configs, tables or the command line.

    Raises ValueError or FileNotFoundError when a source is none of them, or a list is not there.
    """
    found: dict[AnyList, None] = {}
    for source in args.sources:
        found |= dict.fromkeys(_lists_of(source, args.split))
    found = _join_files(found)
    given = dict(
        data_prefix=args.root,
        columns=tuple(args.columns) if args.columns else None,
        num_classes=args.num_classes,
        backend=args.backend,
        min_frames=args.min_frames,
        full=args.full or None,
        speed=args.speed or None,
        deadline=args.deadline,
        max_text_length=args.max_text_length,
        media_type=args.media_type,
    )
    return [_changed(media, given) for media in found]


def _join_files(lists: Iterable[AnyList]) -> list[AnyList]:
    """The lists with all plain files in one."""
    others = [media for media in lists if not isinstance(media, FileList)]
    files = [file for media in lists if isinstance(media, FileList) for file in media.files]
    return others + ([FileList(files=tuple(dict.fromkeys(files)))] if files else [])


def _lists_of(source: str, splits: Iterable[str]) -> Iterator[AnyList]:
    """The lists that a source stands for: names of data sets come before folders."""
    path = Path(source)
    if path.suffix.lower() in VIDEO_SUFFIXES | AUDIO_SUFFIXES and path.is_file():
        yield FileList(files=(source,))
        return
    if (entry := _find_entry(source)) is not None:
        yield entry
        return
    try:
        config = _find_config(source)
    except FileNotFoundError:
        if not path.is_dir():
            raise
        files = find_videos(path, VIDEO_SUFFIXES | AUDIO_SUFFIXES)
        yield FileList(files=tuple(map(str, files)))
        return
    if config is None:
        yield MediaList(source)
    else:
        yield from _config_lists(config, splits)


def _changed(media: AnyList, given: dict) -> AnyList:
    known = {field.name for field in dataclasses.fields(media)}
    changes = {name: value for name, value in given.items() if value is not None and name in known}
    return dataclasses.replace(media, **changes)


def _find_entry(source: str) -> TextList | None:
    """A list of texts: a file by its suffix, or an entry of the tables by its name."""
    if Path(source).suffix in SUFFIXES:
        return TextList(source)
    from mmengine.config import Config

    from internvideo.hub.model_zoo import configs_root

    for name in TABLES:
        file = configs_root() / '_base_' / 'datasets' / f'{name}.py'
        loaders = Config.fromfile(file).values() if file.is_file() else ()
        for loader in loaders:
            dataset = loader.get('dataset') if isinstance(loader, dict) else None
            entry = (dataset or {}).get('table', {}).get(source)
            if entry is not None:
                known = {field.name for field in dataclasses.fields(TextList)}
                fields = {key: value for key, value in entry.items() if key in known}
                if not isinstance(entry['ann_file'], str):
                    fields['ann_file'] = tuple(entry['ann_file'])
                return TextList(**fields, is_set=entry.get('type') == 'RetrievalSet')
    return None


def _find_config(source: str) -> Path | None:
    if Path(source).suffix == '.py':
        return Path(source)
    if Path(source).is_file():
        return None
    from internvideo.hub.model_zoo import configs_root

    folder = configs_root() / '_base_' / 'datasets'
    if (folder / f'{source}.py').is_file():
        return folder / f'{source}.py'
    known = sorted(path.stem for path in folder.glob('*.py'))
    raise FileNotFoundError(
        f'{source} is no annotation list, config, data set, media file or folder; data sets: '
        f'{", ".join(known)}'
    )


def _config_lists(config: Path, splits: Iterable[str]) -> Iterator[MediaList]:
    from mmengine.config import Config

    loaders = Config.fromfile(config)
    known = {field.name for field in dataclasses.fields(MediaList)}
    for split in splits:
        dataset = (loaders.get(f'{split}_dataloader') or {}).get('dataset', {})
        if 'ann_file' in dataset:
            fields = {name: dataset[name] for name in known & set(dataset)}
            # Tuples, to be hashable: a process keeps the reader of a list by its MediaList.
            if 'columns' in fields:
                fields['columns'] = tuple(fields['columns'])
            if fields.get('sources') is not None:
                table = fields['sources'].items()
                fields['sources'] = tuple((tag, tuple(entry.items())) for tag, entry in table)
            yield MediaList(**fields, min_frames=_sampled_frames(dataset))


def _sampled_frames(dataset: dict) -> int:
    sampling = dataset.get('sampling') or {}
    return sampling.get('num_frames', 1) * sampling.get('stride', 1)
