"""Writer of the generated world, which continues where an interrupted call stopped."""

import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from internvideo.fileio.atomic import is_temporary

from .audio import render_audio
from .boxes import box_contents
from .media import write_frame_folder, write_text, write_video, write_wav
from .parameters import PartContents, WorldParameters
from .recognition import frame_contents, recognition_contents
from .render import render_clip
from .scenes import scene_contents
from .segments import segment_contents
from .specs import ClipSpec
from .vocabulary import QUICK_MOTIONS

RECORD = 'world.json'

PARTS: dict[str, Callable[[WorldParameters], PartContents]] = {
    'recognition': recognition_contents,
    'frames': frame_contents,
    'scenes': scene_contents,
    'segments': segment_contents,
    'boxes': box_contents,
}
"""Folders of the world."""

TASKS = {
    'recognition': 'recognition',
    'frames': 'frames',
    'captions': 'scenes',
    'qa': 'scenes',
    'sounds': 'scenes',
    'segments': 'segments',
    'boxes': 'boxes',
}
"""The folder that serves a task."""


@dataclass(frozen=True)
class WorldReport:
    """Parts that a call has ``written`` (wholly or in part) and those found ``up_to_date``."""

    root: Path
    written: tuple[str, ...]
    up_to_date: tuple[str, ...]


def make_world(
    root: str | Path,
    seed: int = 0,
    num_train: int = 600,
    num_val: int = 80,
    num_test: int = 160,
    size: int = 64,
    num_frames: int = 24,
    fps: int = 12,
    tasks: Sequence[str] = ('recognition',),
    motions: Sequence[str] = QUICK_MOTIONS,
    workers: int = 2,
) -> WorldReport:
    """Write the generated world under ``root``, as far as it is not there yet.

    ``root/world.json`` records the parameters of each part.  A part with the same parameters is
    kept, or completed when its generation was interrupted; with others it is made anew.

    Args:
        root: Folder; must be absent, empty or a generated world.
        seed: Decides every random draw.
        num_train, num_val, num_test: Recognition clips, and scenes, per split; the other parts
            hold a fraction of these numbers.
        size: Side of the square frames in pixels, even.
        num_frames, fps: Length of a clip in frames, and frames per second.
        tasks: Names out of ``TASKS``.
        motions: Classes, out of ``QUICK_MOTIONS`` and ``EXTRA_MOTIONS``.
        workers: Processes; with 0 or 1 the calling one does the work.  More are spawned, so a
            script that asks for them needs the usual ``if __name__ == '__main__'``.

    Raises:
        ValueError: a parameter is out of range, or a task or motion is unknown.
        FileExistsError: ``root`` holds something else.
    """
    parameters = WorldParameters(
        seed, num_train, num_val, num_test, size, num_frames, fps, tuple(motions)
    )
    parts = _parts_of(tasks)
    root = Path(root)
    record = _read_record(root)
    stale = [part for part in parts if not _is_complete(root / part, record.get(part), parameters)]
    for part in stale:
        _make_part(root, part, record, parameters, workers)
    return WorldReport(root, tuple(stale), tuple(part for part in parts if part not in stale))


def _parts_of(tasks: Sequence[str]) -> list[str]:
    unknown = [task for task in tasks if task not in TASKS]
    if unknown or not tasks:
        named = f'unknown {", ".join(unknown)}' if unknown else 'none given'
        raise ValueError(f'tasks: {named}; known: {", ".join(TASKS)}')
    # Several tasks share a folder, which is made once.
    return list(dict.fromkeys(TASKS[task] for task in tasks))


def _read_record(root: Path) -> dict[str, dict]:
    path = root / RECORD
    if path.is_file():
        try:
            return json.loads(path.read_text(encoding='utf-8'))['parts']
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f'{path} is not the record of a generated world ({error}); remove it to start over'
            ) from error
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise FileExistsError(f'{root} exists and is not a generated world: it has no {RECORD}')
    return {}


def _write_record(root: Path, record: dict[str, dict]) -> None:
    write_text(root / RECORD, json.dumps({'parts': record}, indent=1, sort_keys=True) + '\n')


def _checksum(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _media_count(folder: Path) -> int:
    """Count complete media files and folders of frames."""
    patterns = ('**/*.mp4', '**/*.wav', 'images/*/*')
    return sum(not is_temporary(path) for pattern in patterns for path in folder.glob(pattern))


def _is_complete(folder: Path, entry: dict | None, parameters: WorldParameters) -> bool:
    if entry is None or entry['parameters'] != parameters.as_json() or not entry['complete']:
        return False
    # Counting is enough, since a media file is whole or not there; the small text files below may
    # have been edited.
    if _media_count(folder) != entry['num_media']:
        return False
    return all(
        (folder / name).is_file() and _checksum((folder / name).read_bytes()) == checksum
        for name, checksum in entry['annotations'].items()
    )


def _make_part(
    root: Path, part: str, record: dict[str, dict], parameters: WorldParameters, workers: int
) -> None:
    folder = root / part
    entry = record.get(part)
    if entry is None or entry['parameters'] != parameters.as_json():
        # Clips of other parameters would be taken for finished ones of this call.
        shutil.rmtree(folder, ignore_errors=True)
    contents = PARTS[part](parameters)
    entry = {
        'parameters': parameters.as_json(),
        'complete': False,
        'num_media': len(contents.media),
        'annotations': {n: _checksum(text.encode()) for n, text in contents.annotations.items()},
    }
    # Recorded before the first file: what an interrupted run leaves can be recognised.
    record[part] = entry
    _write_record(root, record)
    _write_media(folder, contents, workers)
    for name, text in contents.annotations.items():
        write_text(folder / name, text)
    entry['complete'] = True
    _write_record(root, record)


def _write_media(folder: Path, contents: PartContents, workers: int) -> None:
    missing = [
        (path, spec) for path, spec in contents.media.items() if not (folder / path).exists()
    ]
    write = partial(_write_one, folder)
    if workers <= 1 or len(missing) < 2 * workers:
        for item in missing:
            write(item)
        return
    # Chunks small enough that no process is left with a long one while the others are done.
    chunk = max(1, min(32, len(missing) // (4 * workers)))
    # Spawned, not forked: the caller may run threads (torch, decoders) that a fork would break.
    with ProcessPoolExecutor(workers, mp_context=get_context('spawn')) as pool:
        for _ in pool.map(write, missing, chunksize=chunk):
            pass


def _write_one(folder: Path, item: tuple[str, ClipSpec]) -> None:
    path, spec = folder / item[0], item[1]
    if path.suffix == '.wav':
        write_wav(path, render_audio(spec))
    elif path.suffix == '.mp4':
        write_video(path, render_clip(spec), render_audio(spec), spec.fps)
    else:
        write_frame_folder(path, render_clip(spec))
