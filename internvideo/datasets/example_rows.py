"""Example rows for a rehearsal: copies of data set configs whose files are generated.

Every function takes the config of a data set and the media that rows may name, and returns the
config with an annotation file of its own; all else stays.  Data sets hand them out as
``with_examples``.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from internvideo.registry import DATASETS
from internvideo.structures.rehearsal import Examples

Config = Mapping[str, Any]

CAPTIONS = (
    'a red circle moves right',
    'a blue square moves up quickly',
    'the green triangle moves down',
    'a big yellow ball is still',
)
ACTIONS = ('moving right', 'moving up', 'moving down', 'standing still')
ANSWERS = ('a red circle', 'blue', 'it moves down', 'round')
MEDIA_KEYS = {'image': ('image', '.jpg'), 'audio': ('audio', '.wav')}
"""Medium -> its key in an annotation and its suffix; all others are videos."""
SET_OPTIONS, QUESTION_OPTIONS = 3, 5
FIRST_SECOND = 0.5
"""Where the segments of rows start; they end as long before the end of the video."""


def columns_of(row: int, num_classes: int, suffix: str, examples: Examples) -> dict[str, str]:
    """Example value of every known column of a list in row ``row``."""
    return dict(
        path=examples.name(row, suffix),
        source='generated',
        label=str(row % num_classes),
        total_frames=str(examples.num_frames),
        start_index='1',
        duration=f'{examples.duration:g}',
        start=f'{FIRST_SECOND:g}',
        end=f'{examples.duration - FIRST_SECOND:g}',
        _='0',
    )


def labelled_list(config: Config, examples: Examples) -> dict[str, Any]:
    """A list of videos with labels.

    Raises:
        ValueError: the list has columns that no generated row can fill.
    """
    root, suffix = clips_for(config, examples)
    names = config.get('classes')
    is_list = isinstance(names, Sequence) and not isinstance(names, str)
    classes = len(names) if is_list else int(config.get('num_classes') or examples.num_classes)
    columns, delimiter = config.get('columns', ('path', 'label')), config.get('delimiter') or ','
    lines = []
    for row in range(examples.rows):
        fields = columns_of(row, classes, suffix, examples)
        unknown = [name for name in columns if name not in fields]
        if unknown:
            raise ValueError(f'columns {unknown} are not known; known: {", ".join(fields)}')
        lines.append(delimiter.join(fields[name] for name in columns))
    path = examples.write('list.csv', '\n'.join(lines) + '\n')
    changed = dict(config) | dict(ann_file=str(path), data_prefix=root, delimiter=delimiter)
    if changed.get('sources') is not None:
        changed['sources'] = dict(generated={})  # the tag of generated rows
    if isinstance(names, str):
        changed['classes'] = [f'class {index}' for index in range(classes)]
    return changed


def clips_for(config: Config, examples: Examples) -> tuple[str, str]:
    """(folder, suffix of the names) of clips in the format that a config names."""
    if config.get('backend') == 'frames':
        return str(examples.frame_folders(config.get('filename_tmpl', 'img_{:05}.jpg'))), ''
    # With `path_suffix` lists leave the suffix out, as those of pretraining do.
    return str(examples.videos), '' if config.get('path_suffix') else '.mp4'


def members(config: Config) -> list[Config]:
    """Configs of the data sets of a mixture."""
    given = config['datasets']
    return list(given.values() if isinstance(given, Mapping) else given)


def media_row(row: int, media: str, examples: Examples) -> dict[str, Any]:
    """Example row of a file and texts that serve any task."""
    key, suffix = MEDIA_KEYS.get(media, ('video', '.mp4'))
    caption = CAPTIONS[row % len(CAPTIONS)]
    options = [CAPTIONS[(row + shift) % len(CAPTIONS)] for shift in range(SET_OPTIONS)]
    return {
        key: examples.name(row, suffix),
        'caption': caption,
        **dict.fromkeys(examples.text_kinds, f'{caption} with a sound'),
        'option': options,
        'answer': 0,
        'question': f'what is it {row}',
        'question_id': row,
    }


def captioned(config: Config, examples: Examples) -> dict[str, Any]:
    """Media of one kind with captions, options and an answer."""
    media = config.get('media_type', 'video')
    rows = [media_row(row, media, examples) for row in range(examples.rows)]
    return _with_rows(config, rows, str(examples.media), examples)


def named_actions(config: Config, examples: Examples) -> dict[str, Any]:
    """Media whose captions are names of classes."""
    given = config.get('classes')
    names = list(given) if isinstance(given, list | tuple) else list(ACTIONS)
    media = config.get('media_type', 'video')
    rows = [
        media_row(row, media, examples) | dict(caption=names[row % len(names)])
        for row in range(examples.rows)
    ]
    changed = _with_rows(config, rows, str(examples.media), examples)
    return changed | (dict(classes=names) if isinstance(given, str) else {})


def questions(config: Config, examples: Examples) -> dict[str, Any]:
    """Questions about videos, as many about each as an item asks."""
    root, suffix = clips_for(config, examples)
    per_clip = config.get('questions_per_clip', 1)
    rows = [
        question_row(number, config.get('task', 'open_ended'), examples.name(row, suffix))
        for row in range(examples.rows)
        for number in range(row * per_clip, (row + 1) * per_clip)
    ]
    changed = _with_rows(config, rows, root, examples)
    return changed | (dict(answers=list(ANSWERS)) if changed.get('answers') is not None else {})


def question_row(number: int, task: str, video: str) -> dict[str, Any]:
    """Question ``number`` for ``task``."""
    row = dict(video=video, question=f'what is it {number}', question_id=number)
    if task == 'open_ended':
        return row | dict(answer=ANSWERS[number % len(ANSWERS)])
    options = [f'{answer} {number}' for answer in (*ANSWERS, 'nothing')]
    return row | dict(option=options, answer=number % QUESTION_OPTIONS)


def _with_rows(
    config: Config, rows: Sequence[Config], root: str, examples: Examples
) -> dict[str, Any]:
    path = examples.write('rows.json', json.dumps(list(rows)))
    return dict(config) | dict(ann_file=str(path), data_prefix=root)


def chosen(config: Config) -> list[str]:
    """Names that a mixture or a group of evaluation sets takes from its table, once each."""
    names = config.get('mix' if 'mix' in config else 'sets') or ()
    return list(dict.fromkeys([names] if isinstance(names, str) else names))


def entries(config: Config) -> Iterator[tuple[str, Config]]:
    """Names and entries that are chosen from the table, without names that it lacks."""
    table = config.get('table') or {}
    for name in chosen(config):
        if isinstance(table.get(name), Mapping):
            yield name, table[name]


def tabled(config: Config, examples: Examples) -> dict[str, Any]:
    """Copy of a table whose chosen entries have example rows."""
    made = {}
    for name, entry in entries(config):
        kind = DATASETS.get(entry['type']) if 'type' in entry else None
        made[name] = getattr(kind, 'with_examples', captioned)(entry, examples)
    return dict(config) | dict(table={**config['table'], **made})
