"""Recognise actions in files, folders, lists or a camera, for whole videos or window by window.

Example: internvideo recognize internvideo2/1B_k400 video.mp4 --classes kinetics_400.txt
         internvideo recognize internvideo2/1B_k400 videos/ --window 2s --subtitles labels
"""

import argparse
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from internvideo.engine.command_line import (
    IN_ORDER,
    IntermixedParser,
    UsageError,
    add_reading_arguments,
    check_manifest,
    guarded,
    make_projects_importable,
    reading_limits,
    refuse_overwriting,
)
from internvideo.fileio.subtitles import SUBTITLE_SUFFIXES, Cue, write_subtitles

if TYPE_CHECKING:
    import numpy as np

    from internvideo.apis import ActionRecognizer, Recognition
    from internvideo.datasets.inference.video_lists import NamedVideo

WINDOW = 32
"""Frames of a window of a camera, unless told otherwise."""
NOT_DRAWN = 'no drawn copy'


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = IntermixedParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add('model', help='model name (see list_models) or config file')
    add('videos', nargs='*', help='video files, folders, or lists (.txt, .csv: path first)')
    add('--root', type=Path, help='folder that list entries and output names are relative to')
    add('--columns', nargs='+', help='columns of lists, as in training (default: found)')
    add('--checkpoint', help='weights; by default the published ones of that name')
    add('--random-weights', action='store_true', help='run without weights, to try things out')
    add('--frame-sampling', choices=('checkpoint', 'config'), default='checkpoint',
        help='whose choice of frames counts where they differ (default: checkpoint)')  # fmt: skip
    add('--classes', help='text file with one class name a line')
    add('--topk', type=int, default=5, help='classes per video (default: 5)')
    add('--camera', type=int, metavar='N', help='recognise what camera N sees, until stopped')
    add('--window', help='frames (32) or seconds (2s) of a result; without, one for each video')
    add('--stride', help='the same from one result to the next (default: half a window)')
    add('--fps', type=float, help='look at this many frames a second (default: every frame)')
    add('--json', type=Path, metavar='FILE', help='write the results to FILE')
    add('--manifest', type=Path, metavar='FILE', help='write which frames were seen (.jsonl or '
        '.parquet)')  # fmt: skip
    add('--draw', type=Path, metavar='DIR', help='write copies with the classes burned in')
    add(
        '--subtitles', type=Path, metavar='DIR', help='write the windows as a subtitle file a video'
    )
    add('--subtitle-format', choices=[suffix[1:] for suffix in SUBTITLE_SUFFIXES], default='srt')
    add('--batch-size', type=int, default=4, help='videos or windows in one pass (default: 4)')
    add('--device', help='torch device (default: GPU when there is one)')
    add('--dtype', choices=('float32', 'bfloat16', 'float16'), default='float32')
    add_reading_arguments(parser)
    add('--debug', action='store_true', help='show the traceback of every error')
    return parser


def check_arguments(args: argparse.Namespace) -> None:
    """Raise UsageError for flags that make no sense together."""
    from internvideo.datasets.inference.timed_windows import Seconds, window_settings

    if bool(args.videos) == (args.camera is not None):
        raise UsageError('give either videos or --camera')
    if args.subtitles is not None and args.window is None:
        raise UsageError('--subtitles needs --window, such as --window 2s')
    if args.fps is not None and (not args.fps > 0 or args.window is None):
        raise UsageError('--fps is positive, and that of a --window')
    try:
        lengths = window_settings(args.window or WINDOW, args.stride, args.fps)
    except ValueError as error:
        raise UsageError(f'--window, --stride: {error}') from None
    reading_limits(args)  # for its error alone
    if args.window is not None and args.backend not in (None, *IN_ORDER):
        raise UsageError(f'--window decodes in order: --backend {" or ".join(IN_ORDER)}')
    if args.manifest is not None:
        check_manifest(args.manifest)
    if args.camera is None:
        return
    if args.manifest is not None:
        raise UsageError('--manifest is of files, not of --camera')
    if args.fps is not None or isinstance(lengths[0], Seconds):
        raise UsageError('--camera counts frames: give --window and --stride as numbers, no --fps')
    if args.draw is not None or args.subtitles is not None:
        raise UsageError('--draw and --subtitles are made of files, not of --camera')


def find_videos(args: argparse.Namespace) -> 'list[NamedVideo]':
    """The videos to look at.

    Raises:
        UsageError: a file to write is one of them, or one of the lists.
        ValueError: two of them would have outputs of one name.
    """
    from internvideo.datasets.inference.video_lists import collect_videos, list_videos

    named = args.draw is not None or args.subtitles is not None
    find = collect_videos if named else list_videos
    videos = find(args.videos, args.root, columns=args.columns)
    outputs = [path for path in (args.json, args.manifest) if path is not None]
    outputs += [path for video in videos for path in outputs_of(video, args).values()]
    refuse_overwriting(outputs, [*args.videos, *(video.path for video in videos)])
    return videos


def outputs_of(video: 'NamedVideo', args: argparse.Namespace) -> dict[str, Path]:
    """The files that are written of a video, by kind."""
    found = {}
    if args.draw is not None:
        found['draw'] = args.draw / f'{video.name}.mp4'
    if args.subtitles is not None:
        found['subtitles'] = args.subtitles / f'{video.name}.{args.subtitle_format}'
    return found


def camera_frames(number: int) -> 'Iterator[np.ndarray]':
    """RGB frames of a camera.  Raises OSError when it cannot be opened."""
    import cv2

    camera = cv2.VideoCapture(number)
    try:
        if not camera.isOpened():
            raise OSError(f'camera {number} cannot be opened')
        while True:
            found, frame = camera.read()
            if not found:
                return
            yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
    finally:
        camera.release()


def results_of(
    recognizer: 'ActionRecognizer', videos: 'list[NamedVideo]', args: argparse.Namespace
) -> 'Iterator[Recognition]':
    """Results as they come, with the files of a video written once it has all of its own."""
    if args.camera is not None:
        window = int(args.window or WINDOW)
        stride = int(args.stride or max(1, window // 2))
        frames = camera_frames(args.camera)
        yield from recognizer.stream(frames, window, stride, args.topk, f'camera {args.camera}')
    elif args.window is None:
        for first in range(0, len(videos), args.batch_size):
            yield from whole_videos(recognizer, videos[first : first + args.batch_size], args)
    else:
        for video in videos:
            yield from windows_of(recognizer, video, args)


def whole_videos(
    recognizer: 'ActionRecognizer', videos: 'list[NamedVideo]', args: argparse.Namespace
) -> 'Iterator[Recognition]':
    """Results of one batch of videos."""
    from internvideo.apis import Recognition

    # A list may name files that are gone: each then fails by itself.
    there = [video.path for video in videos if video.path.is_file()]
    found = iter(recognizer.recognize(there, args.topk))
    for video in videos:
        gone = video.path not in there
        result = Recognition(str(video.path), error='file not found') if gone else next(found)
        yield result
        yield from write_outputs(recognizer, video, [result], args)


def windows_of(
    recognizer: 'ActionRecognizer', video: 'NamedVideo', args: argparse.Namespace
) -> 'Iterator[Recognition]':
    """Results of the windows of a video, and one with an error if it breaks off."""
    from internvideo.apis import Recognition
    from internvideo.datasets.bad_samples import MediaError

    results = []
    try:
        settings = (args.window, args.stride, args.fps, args.topk)
        for result in recognizer.recognize_windows(video.path, *settings):
            results.append(result)
            yield result
    except MediaError as error:
        results.append(Recognition(str(video.path), error=error.reason))
        yield results[-1]
    yield from write_outputs(recognizer, video, results, args)


def write_outputs(
    recognizer: 'ActionRecognizer',
    video: 'NamedVideo',
    results: 'list[Recognition]',
    args: argparse.Namespace,
) -> 'Iterator[Recognition]':
    """Write what the flags ask for of a video that could be read, yielding what then fails."""
    from internvideo.apis import Recognition
    from internvideo.datasets.bad_samples import MediaError

    if any(result.error for result in results):
        return
    outputs = outputs_of(video, args)
    if 'subtitles' in outputs:
        write_subtitles(outputs['subtitles'], cues_of(results))
    if 'draw' in outputs:
        try:
            recognizer.annotate(video.path, outputs['draw'], results=results)
        except MediaError as error:
            yield Recognition(str(video.path), error=f'{NOT_DRAWN}: {error.reason}')


def recorded(
    results: 'Iterable[Recognition]', recognizer: 'ActionRecognizer', target: Path | None
) -> 'Iterator[Recognition]':
    """Pass on the results, and write which frames they have seen."""
    if target is None:
        yield from results
        return
    from internvideo.datasets.frame_records import unreadable_record
    from internvideo.engine.inference.run_header import run_header
    from internvideo.fileio.manifests import open_manifest

    numbers: dict[str, int] = {}
    windows: Counter[str] = Counter()
    header = run_header(recognizer.config, recognizer.checkpoint)
    with open_manifest(target, header) as manifest:
        for result in results:
            name = result.source
            place = dict(sample_index=numbers.setdefault(name, len(numbers)))
            if result.start is not None:
                place['window'] = windows[name]
                windows[name] += 1
            if result.frame_record is not None:
                manifest.add(result.frame_record | place)
            elif not result.error.startswith(NOT_DRAWN):
                manifest.add(unreadable_record(name, result.error) | place)
            yield result


def cues_of(results: 'Sequence[Recognition]') -> Iterator[Cue]:
    """A cue for every window, until the next begins: players would show both together."""
    for result, following in pairwise([*results, None]):
        end = result.end if following is None else min(result.end, following.start)
        yield Cue(result.start, end, '\n'.join(class_texts(result)))


def report(results: 'Iterable[Recognition]') -> 'list[Recognition]':
    """Print each result until there are no more or the user stops, and return all."""
    kept = []
    with suppress(KeyboardInterrupt):
        for result in results:
            kept.append(result)
            print(one_line(result), flush=True)
    return kept


def one_line(result: 'Recognition') -> str:
    """A result as text."""
    place = '' if result.last_frame is None else f' to frame {result.last_frame}'
    if result.start is not None:
        place = f' {result.start:.2f}-{result.end:.2f} s'
    return f'{result.source}{place}: {result.error or ", ".join(class_texts(result))}'


def class_texts(result: 'Recognition') -> list[str]:
    """Name and probability of each class."""
    pairs = zip(result.names, result.scores, strict=True)
    return [f'{name} {100 * score:.1f}%' for name, score in pairs]


def main(args: argparse.Namespace) -> None:
    """Recognise videos and exit with 1 when one could not be read."""
    check_arguments(args)
    make_projects_importable()
    from internvideo.apis.action_recognizer import ActionRecognizer, save_json

    videos = [] if args.camera is not None else find_videos(args)
    recognizer = ActionRecognizer(
        args.model, args.checkpoint, args.device, args.classes, args.batch_size,
        dtype=args.dtype, random_weights=args.random_weights,
        frame_sampling=args.frame_sampling, record_frames=args.manifest is not None,
        backend=args.backend, limits=reading_limits(args),
    )  # fmt: skip
    results = report(recorded(results_of(recognizer, videos, args), recognizer, args.manifest))
    if args.json is not None:
        save_json(results, args.json)
    if any(result.error for result in results):
        sys.exit(1)


def command(arguments: Sequence[str]) -> int:
    """Run with these arguments and return the exit status."""
    # Before torch is imported: idle threads of OpenMP spin otherwise.
    os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')
    return guarded(main, build_parser(), arguments)
