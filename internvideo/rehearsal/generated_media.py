"""Small media-text corpora and evaluation sets in place of those that a config's tables name."""

import copy
import json
import wave
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

CAPTIONS = (
    'a red circle moves right',
    'a blue square moves up quickly',
    'the green triangle moves down',
    'a big yellow ball is still',
)
ACTIONS = ('moving right', 'moving up', 'moving down', 'standing still')
OPTIONS = 3
MEDIA_KEYS = {'image': ('image', '.jpg'), 'audio': ('audio', '.wav')}
"""Medium -> its key in an annotation and its suffix; all others are videos."""

MIX, SETS = 'mix', 'sets'


def is_multimodal(config: Mapping[str, Any]) -> bool:
    """Whether a config's data are media with texts: mixtures of corpora, evaluation sets."""
    loaders = (config.get(name) for name in ('train_dataloader', 'test_dataloader'))
    return any('table' in (loader.get('dataset') or {}) for loader in loaders if loader)


def chosen(dataset: Mapping[str, Any]) -> list[str]:
    """Names that a loader takes from its table, in order, once each."""
    names = dataset.get(MIX if MIX in dataset else SETS) or ()
    return list(dict.fromkeys([names] if isinstance(names, str) else names))


def entries(dataset: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """(name, entry) of what a loader takes from its table; names that it lacks are left out."""
    table = dataset.get('table') or {}
    for name in chosen(dataset):
        if isinstance(table.get(name), Mapping):
            yield name, table[name]


def caption_kinds(model: Mapping[str, Any]) -> list[str]:
    """Kinds of caption that the objectives of ``model`` ask for."""
    return list(dict.fromkeys((model.get('loss_captions') or {}).values()))


def row(index: int, media: str, model: Mapping[str, Any], clips: int) -> dict[str, Any]:
    """Row ``index`` of an annotation that serves any task."""
    key, suffix = MEDIA_KEYS.get(media, ('video', '.mp4'))
    caption = CAPTIONS[index % len(CAPTIONS)]
    options = [CAPTIONS[(index + shift) % len(CAPTIONS)] for shift in range(OPTIONS)]
    return {
        key: f'clip_{index % clips}{suffix}',
        'caption': caption,
        **dict.fromkeys(caption_kinds(model), f'{caption} with a sound'),
        'option': options,
        'answer': 0,
        'question': f'what is it {index}',
        'question_id': index,
    }


def write_sound(path: Path, sound: np.ndarray, rate: int) -> None:
    """int16 mono samples as a wave file."""
    with wave.open(str(path), 'wb') as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(sound.astype('<i2').tobytes())


class TableGenerator:
    """Generated copies of the tables of one config.

    Args:
        model: config of the model, for the kinds of caption it wants.
        root: folder of ``clip_0.mp4``, ``clip_0.jpg``, ``clip_0.wav`` and so on.
        clips: number of each.
        folder: where annotations go.
    """

    def __init__(self, model: Mapping[str, Any], root: Path, clips: int, folder: Path) -> None:
        self.model, self.root, self.clips, self.folder = model, root, clips, folder

    def __call__(self, dataset: Mapping[str, Any], rows: int) -> dict[str, Any]:
        """A copy of a loader's data set whose chosen entries have ``rows`` generated rows each."""
        changed = copy.deepcopy(dict(dataset))
        made = {name: self.entry(name, entry, rows) for name, entry in entries(dataset)}
        changed['table'] = {**changed['table'], **made}
        return changed

    def entry(self, name: str, entry: Mapping[str, Any], rows: int) -> dict[str, Any]:
        """A generated copy of one entry; everything but files stays."""
        changed = copy.deepcopy(dict(entry))
        media = entry.get('media_type', 'video')
        written = [row(i, media, self.model, self.clips) for i in range(rows)]
        changed['ann_file'] = str(self._write(name, fitted(written, entry)))
        changed['data_prefix'] = str(self.root)
        return changed

    def _write(self, name: str, rows: Sequence[Mapping[str, Any]]) -> Path:
        path = self.folder / f'{name}_{len(list(self.folder.iterdir()))}.json'
        path.write_text(json.dumps(list(rows)), encoding='utf-8')
        return path


def fitted(rows: list[dict[str, Any]], entry: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows as the task of ``entry`` reads them."""
    kind = str(entry.get('type', ''))
    for index, each in enumerate(rows):
        if 'Action' in kind:
            each['caption'] = ACTIONS[index % len(ACTIONS)]
        if 'Choice' in kind:
            each['caption'] = each['option']
    return rows
