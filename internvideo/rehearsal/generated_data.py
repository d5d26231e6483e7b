"""Small real media in the format that a data set asks for, and lists that name them."""

import copy
import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from internvideo.datasets.synthetic.audio import SAMPLE_RATE, render_audio
from internvideo.datasets.synthetic.media import write_video
from internvideo.datasets.synthetic.render import render_clip
from internvideo.datasets.synthetic.specs import ClipSpec, draw_clip, random_stream
from internvideo.datasets.synthetic.vocabulary import QUICK_MOTIONS, SEEN
from internvideo.fileio.atomic import atomic_path

from .generated_media import TableGenerator, write_sound
from .question_items import asks, generated_questions
from .vocabularies import WRITERS

NUM_CLIPS = 4
NUM_FRAMES, FPS, SIDE = 40, 10, 96
INTERVAL = (0.5, 3.5)
"""Start and end in seconds of the rows of lists with intervals."""

LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')


class UnknownFormatError(ValueError):
    """No media can be generated for a data set; the message names the field."""


def clip_specs() -> list[ClipSpec]:
    """Descriptions of the clips, always the same."""
    vocabulary = SEEN.with_shapes_for(QUICK_MOTIONS)
    return [
        draw_clip(
            random_stream(0, 'rehearsal', index),
            vocabulary,
            [QUICK_MOTIONS[index]],
            NUM_FRAMES,
            SIDE,
            FPS,
        )
        for index in range(NUM_CLIPS)
    ]


class MediaCache:
    """Generated clips: videos, and folders of frames per file name template.

    Made when first asked for; processes may share a folder.

    Args:
        root: a folder, whose owner removes it.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)

    def prepare(self) -> None:
        """Make what most data sets use, once, before processes share the folder."""
        _ = self.videos
        self.frame_folders('img_{:05}.jpg')
        _ = self.media
        for kind in WRITERS:
            self.vocabulary(kind)

    @property
    def videos(self) -> Path:
        """Folder of ``clip_0.mp4`` and so on."""
        return self._made('videos', _write_videos)

    def frame_folders(self, template: str) -> Path:
        """Folder of folders ``clip_0`` and so on, images named by ``template`` from 1.

        Raises:
            UnknownFormatError: the template names no image.
        """
        name = f'frames-{template.encode().hex()}'
        return self._made(name, lambda folder: _write_frames(folder, template))

    def clips_for(self, dataset: Mapping[str, Any]) -> tuple[Path, str]:
        """(folder, suffix of the names) of clips in the format that a data set's config names."""
        if dataset.get('backend') == 'frames':
            return self.frame_folders(dataset.get('filename_tmpl', 'img_{:05}.jpg')), ''
        return self.videos, '' if dataset.get('path_suffix') else '.mp4'

    @property
    def media(self) -> Path:
        """Folder of ``clip_0.mp4``, ``clip_0.jpg``, ``clip_0.wav`` and so on."""
        return self._made('media', _write_media)

    def vocabulary(self, kind: str) -> Path:
        """Folder of a small vocabulary for a tokenizer of type ``kind``."""
        return self._made(f'vocabulary-{kind}', WRITERS[kind])

    def _made(self, name: str, make: Callable[[Path], None]) -> Path:
        folder = self.root / name
        if not folder.is_dir():
            try:
                with atomic_path(folder, sync=False) as temporary:
                    temporary.mkdir()
                    make(temporary)
            except OSError:
                if not folder.is_dir():  # else another process was faster; its files are the same
                    raise
        return folder


@functools.cache
def _clip_frames(index: int) -> np.ndarray:
    return render_clip(clip_specs()[index])


def _write_videos(folder: Path) -> None:
    for index, spec in enumerate(clip_specs()):
        path = folder / f'clip_{index}.mp4'
        write_video(path, _clip_frames(index), render_audio(spec), FPS)


def _write_media(folder: Path) -> None:
    _write_videos(folder)
    for index, spec in enumerate(clip_specs()):
        Image.fromarray(_clip_frames(index)[0]).save(folder / f'clip_{index}.jpg')
        write_sound(folder / f'clip_{index}.wav', render_audio(spec), SAMPLE_RATE)


def _write_frames(folder: Path, template: str) -> None:
    for index in range(NUM_CLIPS):
        clip = folder / f'clip_{index}'
        clip.mkdir()
        for number, image in enumerate(_clip_frames(index), start=1):
            _save_image(image, clip, template, number)


def _save_image(image: np.ndarray, folder: Path, template: str, number: int) -> None:
    try:
        Image.fromarray(image).save(folder / template.format(number), quality=90)
    except (ValueError, IndexError, KeyError, OSError) as error:
        raise UnknownFormatError(f'filename_tmpl={template!r} names no image: {error}') from error


def row_fields(index: int, num_classes: int, suffix: str) -> dict[str, str]:
    """What every known column says in row ``index``."""
    return dict(
        path=f'clip_{index % NUM_CLIPS}{suffix}',
        source='generated',
        label=str(index % num_classes),
        total_frames=str(NUM_FRAMES),
        duration=f'{NUM_FRAMES / FPS:g}',
        start=f'{INTERVAL[0]:g}',
        end=f'{INTERVAL[1]:g}',
        _='0',
    )


def number_of_classes(dataset: Mapping[str, Any], model: Mapping[str, Any]) -> int:
    """Classes that generated labels may come from: those of the data set, else of the head."""
    classes = dataset.get('classes')
    if isinstance(classes, Sequence) and not isinstance(classes, str):
        return len(classes)
    head = model.get('head') or {}
    return int(dataset.get('num_classes') or head.get('num_classes') or len(QUICK_MOTIONS))


def generated_dataset(
    dataset: Mapping[str, Any], model: Mapping[str, Any], rows: int, cache: MediaCache, folder: Path
) -> dict[str, Any]:
    """A copy of a data set's config whose list and media are generated; all else stays.

    Args:
        dataset: its config.
        model: the model's config, for the number of classes.
        rows: rows of the list.
        cache: the media.
        folder: where the list goes.

    Raises:
        UnknownFormatError: the data set has no annotation list, or columns that no generated row
            can fill.
    """
    if 'datasets' in dataset:
        parts = [
            generated_dataset(part, model, rows, cache, folder) for part in dataset['datasets']
        ]
        return dict(dataset) | dict(datasets=parts)
    if 'table' in dataset:
        return TableGenerator(model, cache.media, NUM_CLIPS, folder)(dataset, rows)
    if asks(dataset):
        clips = cache.clips_for(dataset)
        return generated_questions(dataset, rows, *clips, NUM_CLIPS, folder)
    if 'ann_file' not in dataset:
        raise UnknownFormatError(f'{dataset.get("type")} has no ann_file to generate')
    changed = copy.deepcopy(dict(dataset))
    root, suffix = cache.clips_for(dataset)
    classes = number_of_classes(dataset, model)
    columns = dataset.get('columns', ('path', 'label'))
    delimiter = dataset.get('delimiter') or ','
    lines = [_line(row_fields(i, classes, suffix), columns, delimiter) for i in range(rows)]
    path = folder / f'list_{len(list(folder.iterdir()))}.csv'
    path.write_text('\n'.join(lines) + '\n', encoding='utf-8')
    changed.update(ann_file=str(path), data_prefix=str(root), delimiter=delimiter)
    if changed.get('sources') is not None:
        changed['sources'] = dict(generated={})  # the tag of generated rows
    if isinstance(changed.get('classes'), str):
        changed['classes'] = [f'class {index}' for index in range(classes)]
    return changed


def _line(fields: dict[str, str], columns: Sequence[str], delimiter: str) -> str:
    unknown = [name for name in columns if name not in fields]
    if unknown:
        raise UnknownFormatError(f'columns {unknown} are not known; known: {", ".join(fields)}')
    return delimiter.join(fields[name] for name in columns)
