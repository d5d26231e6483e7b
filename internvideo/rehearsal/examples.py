"""Small real media that example rows may name, and configs whose data sets have such rows."""

import functools
import wave
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
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
from internvideo.registry import DATASETS, MODELS, TASK_UTILS

from .parts import class_of, is_own

NUM_CLIPS = 4
NUM_FRAMES, FPS, SIDE = 40, 10, 96
LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')


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
    """Generated videos, folders of frames, images, audio files and small vocabularies.

    Made when first asked for; processes may share a folder.

    Args:
        root: a folder, whose owner removes it.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)

    def prepare(self) -> None:
        """Make what most data sets use, once, before processes share the folder."""
        _ = self.videos, self.media
        self.frame_folders('img_{:05}.jpg')

    @property
    def videos(self) -> Path:
        """Folder of ``clip_0.mp4`` and so on."""
        return self.made('videos', _write_videos)

    @property
    def media(self) -> Path:
        """Folder of ``clip_0.mp4``, ``clip_0.jpg``, ``clip_0.wav`` and so on."""
        return self.made('media', _write_media)

    def frame_folders(self, filename_tmpl: str) -> Path:
        """Folder of folders ``clip_0`` and so on, images named by ``filename_tmpl`` from 1.

        Raises:
            ValueError: the template names no image.
        """
        # A template may hold characters that no folder name can, such as a slash.
        name = f'frames-{filename_tmpl.encode().hex()}'
        return self.made(name, lambda folder: _write_frames(folder, filename_tmpl))

    def made(self, name: str, make: Callable[[Path], None]) -> Path:
        """The folder called ``name``, filled by ``make`` when it is not there."""
        folder = self.root / name
        if not folder.is_dir():
            self.root.mkdir(parents=True, exist_ok=True)
            try:
                # Renamed when whole, so that a process that finds the folder finds all of it. Not
                # flushed to the disk: the files do not outlive the rehearsal.
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
        with wave.open(str(folder / f'clip_{index}.wav'), 'wb') as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(SAMPLE_RATE)
            file.writeframes(render_audio(spec).astype('<i2').tobytes())


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
        raise ValueError(f'filename_tmpl={template!r} names no image: {error}') from error


class ConfigExamples:
    """Examples for the data sets of one config (see :class:`Examples`).

    Args:
        model: config of the model.
        cache: generated media.
        folder: where annotation files go.
        rows: items of every data set.
    """

    count, num_frames, fps, duration = NUM_CLIPS, NUM_FRAMES, FPS, NUM_FRAMES / FPS

    def __init__(
        self, model: Mapping[str, Any], cache: MediaCache, folder: Path, rows: int
    ) -> None:
        self.model, self.cache, self.folder, self.rows = model, cache, folder, rows

    @property
    def num_classes(self) -> int:
        """Number of classes of the model's head, or a few where it has none."""
        return class_count(self.model)[1] or len(QUICK_MOTIONS)

    @property
    def text_kinds(self) -> Sequence[str]:
        """Kinds of caption that the model's objectives ask for."""
        part_class = class_of(self.model.get('type'), MODELS)
        return part_class.text_kinds(self.model) if hasattr(part_class, 'text_kinds') else ()

    @property
    def videos(self) -> Path:
        """Folder of videos."""
        return self.cache.videos

    @property
    def media(self) -> Path:
        """Folder of videos, images and audio files."""
        return self.cache.media

    def frame_folders(self, filename_tmpl: str) -> Path:
        """Folder of folders of images."""
        return self.cache.frame_folders(filename_tmpl)

    def name(self, row: int, suffix: str = '.mp4') -> str:
        """Name of the file of a row."""
        return f'clip_{row % NUM_CLIPS}{suffix}'

    def write(self, name: str, text: str) -> Path:
        """Write an annotation file."""
        stem, dot, suffix = name.rpartition('.')
        # Numbered: the data sets of all loaders write theirs into the one folder.
        path = self.folder / f'{stem}_{len(list(self.folder.iterdir()))}{dot}{suffix}'
        path.write_text(text, encoding='utf-8')
        return path


def class_count(model: Mapping[str, Any]) -> tuple[str, int | None]:
    """Field and number of the classes of a model's config, None without any."""
    places = [('model', model)]
    places += [
        (f'model.{key}', part)
        for key, part in model.items()
        if isinstance(part, Mapping) and key != 'data_preprocessor'
    ]
    places.sort(key=lambda place: 'head' not in place[0])  # the head's number counts first
    for field_name, part in places:
        if isinstance(part.get('num_classes'), int):
            return f'{field_name}.num_classes', part['num_classes']
    return 'model.head.num_classes', None


@dataclass(frozen=True)
class ExampleDataset:
    """A data set's config for a rehearsal.

    Attributes:
        config: with example rows where they are offered.
        silent: types that offer none; their files are used as they are.
        may_fail: rows are those of a class that it derives from, which may not suit it.
    """

    config: dict[str, Any]
    silent: list[str] = field(default_factory=list)
    may_fail: bool = False


def with_examples(dataset: Mapping[str, Any], examples: Any) -> ExampleDataset:
    """A copy of a data set's config with example rows, as far as its parts offer any.

    A data set that offers none may hold others that do.  Raises what an offer raises.
    """
    part_class = class_of(dataset.get('type'), DATASETS)
    if hasattr(part_class, 'with_examples'):
        # A project's class that did not say itself what its rows look like; it may read other
        # fields.
        inherits = not is_own(part_class) and 'with_examples' not in vars(part_class)
        try:
            return ExampleDataset(part_class.with_examples(dataset, examples), [], inherits)
        except Exception:  # rows of a base class, which need not suit the class itself
            if not inherits:
                raise
            return ExampleDataset(dict(dataset), [_name(dataset)])
    changed, silent, may_fail, holds = dict(dataset), [], False, False
    for key, value in dataset.items():
        members = _members(value)
        if not members or not all(_is_dataset(member) for member in members):
            continue
        made = [with_examples(member, examples) for member in members]
        configs = [each.config for each in made]
        if _is_dataset(value):
            changed[key] = configs[0]
        elif isinstance(value, Mapping):
            changed[key] = dict(zip(value, configs, strict=True))
        else:
            changed[key] = configs
        silent += [name for each in made for name in each.silent]
        may_fail |= any(each.may_fail for each in made)
        holds = True
    return ExampleDataset(changed, silent if holds else [_name(dataset)], may_fail)


def _members(value: Any) -> list[Any]:
    if _is_dataset(value):
        return [value]
    if isinstance(value, Mapping):
        return list(value.values())
    return list(value) if isinstance(value, list | tuple) else []


def _is_dataset(value: Any) -> bool:
    return (
        isinstance(value, Mapping)
        and isinstance(value.get('type'), str)
        and value['type'] in DATASETS
    )


def _name(part: Mapping[str, Any]) -> str:
    kind = part.get('type')
    return kind if isinstance(kind, str) else getattr(kind, '__name__', str(kind))


def with_example_vocabularies(value: Any, cache: MediaCache) -> Any:
    """``value`` with every tokenizer that offers one reading a small vocabulary."""
    if isinstance(value, Mapping):
        changed = {key: with_example_vocabularies(item, cache) for key, item in value.items()}
        kind = value.get('type')
        tokenizer = TASK_UTILS.get(kind) if isinstance(kind, str) and kind in TASK_UTILS else None
        writer = getattr(tokenizer, 'write_examples', None)
        if writer is not None:
            changed['source'] = str(cache.made(f'vocabulary-{kind}', writer))
        return changed
    if isinstance(value, list | tuple):
        return type(value)(with_example_vocabularies(item, cache) for item in value)
    return value
