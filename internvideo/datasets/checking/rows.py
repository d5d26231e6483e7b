"""Checks of rows: what the list says, and the media that it names."""

from collections.abc import Iterator

from internvideo.datasets.formats.text_annotations import path_of
from internvideo.datasets.formats.text_checks import duplicates, text_faults
from internvideo.datasets.media.suffixes import AUDIO_SUFFIXES
from internvideo.datasets.media_sources import MediaSource

from .file_facts import FileFacts, examine_audio, examine_image, examine_video, has_audio
from .lists import (
    AnyList,
    FileList,
    MediaList,
    Problem,
    TextList,
    annotations_of,
    media_path,
    sources_of,
    where_of,
)

Found = Iterator[Problem | FileFacts]
"""What rows give: problems, and what is known of their files."""


def check_rows(media: AnyList, first: int, last: int) -> list[Problem]:
    """Problems of some rows, of their texts and of their media."""
    return examine_rows(media, first, last)[0]


def examine_rows(
    media: AnyList, first: int, last: int
) -> tuple[list[Problem], dict[str, FileFacts]]:
    """Problems of some rows, and what is known of their files by path."""
    check = {MediaList: _check_row, TextList: _check_text_row, FileList: _check_file}[type(media)]
    problems, files = [], {}
    for row in range(first, last):
        for found in check(media, row):
            if isinstance(found, Problem):
                problems.append(found)
                continue
            known = files.setdefault(found.path, found)
            # Of a file that several rows name, the worst counts.
            if known.problem is None and found.problem is not None:
                files[found.path] = found
            if found.problem is not None:
                where = where_of(media, row)
                problems.append(Problem(where, found.path, found.problem, found.detail))
    return problems, files


def _check_file(media: FileList, row: int) -> Found:
    path = media.files[row]
    facts = None
    if not path.lower().endswith(tuple(AUDIO_SUFFIXES)):
        facts = examine_video(path, MediaSource(backend=media.backend), media)
    # Suffixes of videos are given to audio alone as well.
    yield examine_audio(path, media) if facts is None or facts.is_audio_only else facts


def _parsed(media: AnyList, row: int) -> tuple[str, dict | Problem]:
    """Place of a row, and what it says or why it cannot be read."""
    annotations = annotations_of(media)
    where = annotations.where(row)
    try:
        return where, annotations[row]
    except ValueError as error:
        return where, Problem(where, '', 'malformed', str(error).removeprefix(f'{where}: '))


def _check_row(media: MediaList, row: int) -> Found:
    where, info = _parsed(media, row)
    if isinstance(info, Problem):
        yield info
        return
    try:
        source = sources_of(media).of(info)
    except ValueError as error:
        yield Problem(where, info['path'], 'malformed', str(error))
        return
    path = source.resolve(info['path'])
    label = info.get('label')
    if None not in (label, media.num_classes) and not 0 <= label < media.num_classes:
        detail = f'label {label} is not in 0..{media.num_classes - 1}'
        yield Problem(where, path, 'mislabelled', detail)
    listed = info.get('total_frames'), info.get('start_index', 1)
    yield examine_video(path, source, media, *listed)


def _check_text_row(media: TextList, row: int) -> Found:
    where, info = _parsed(media, row)
    if isinstance(info, Problem):
        yield info
        return
    path = path_of(info, media.data_prefix, media.media_type)
    for detail in text_faults(info, media.max_text_length, media.paragraph):
        yield Problem(where, path, 'caption', detail)
    if media.media_type == 'image':
        yield examine_image(path)
    elif media.media_type == 'audio':
        yield examine_audio(path, media)
    else:
        yield _examine_video_of_text(media, path)


def _examine_video_of_text(media: TextList, path: str) -> FileFacts:
    """Facts of a video, with its audio where that is asked for."""
    facts = examine_video(path, MediaSource(backend=media.backend), media)
    if media.media_type != 'audio_video' or facts.problem is not None:
        return facts
    try:
        silent = not has_audio(path, media)
    except ValueError as error:
        facts.fail('broken', getattr(error, 'reason', str(error)))
        return facts
    if silent:
        padded = ', zeros take its place' if media.pad_missing_audio else ''
        facts.fail('silent', f'no audio track{padded}')
    return facts


def find_conflicts(media: AnyList) -> Iterator[Problem]:
    """Rows that give a file another label than an earlier row does, or repeat its id."""
    if isinstance(media, FileList):
        return
    annotations = annotations_of(media)
    if isinstance(media, TextList):
        for row, detail in duplicates(annotations, media.is_set):
            yield Problem(annotations.where(row), media_path(media, row), 'duplicate', detail)
        return
    # Segments of one video may well have different labels.
    if 'label' not in media.columns or 'start' in media.columns:
        return
    seen: dict[str, tuple[int, int]] = {}
    for row in range(len(annotations)):
        try:
            label, path = annotations[row]['label'], media_path(media, row)
        except ValueError:
            continue
        other = seen.setdefault(path, (label, row))
        if other[0] != label:
            detail = f'label {label}, but {other[0]} in {annotations.where(other[1])}'
            yield Problem(annotations.where(row), path, 'mislabelled', detail)
