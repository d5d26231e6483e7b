"""Recognise actions in videos: files, folders, or a camera.

Example: internvideo recognize internvideo2/1B_k400 video.mp4 --classes kinetics_400.txt
"""

import argparse
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from internvideo.engine.command_line import UsageError, guarded, make_projects_importable

if TYPE_CHECKING:
    import numpy as np

    from internvideo.apis import ActionRecognizer, Recognition


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add('model', help='model name (see list_models) or config file')
    add('videos', nargs='*', help='video files or folders')
    add('--checkpoint', help='weights; by default the published ones of that name')
    add('--random-weights', action='store_true', help='run without weights, to try things out')
    add('--classes', help='text file with one class name a line')
    add('--topk', type=int, default=5, help='classes per video (default: 5)')
    add('--camera', type=int, metavar='N', help='recognise what camera N sees, until stopped')
    add('--window', type=int, help='frames per result of a camera (default: 32) or drawn label')
    add('--stride', type=int, help='frames from one result to the next (default: half a window)')
    add('--json', type=Path, metavar='FILE', help='write the results to FILE')
    add('--draw', type=Path, metavar='DIR', help='write copies with the classes burned in')
    add('--batch-size', type=int, default=4, help='videos in one forward pass (default: 4)')
    add('--device', help='torch device (default: GPU when there is one)')
    add('--dtype', choices=('float32', 'bfloat16', 'float16'), default='float32')
    add('--debug', action='store_true', help='show the traceback of every error')
    return parser


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


def results_of(recognizer: 'ActionRecognizer', args: argparse.Namespace) -> 'Iterator[Recognition]':
    """Results as they come."""
    window = args.window or 32
    stride = args.stride or max(1, window // 2)
    if args.camera is not None:
        frames = camera_frames(args.camera)
        yield from recognizer.stream(frames, window, stride, args.topk, f'camera {args.camera}')
        return
    for result in recognizer.recognize(args.videos, args.topk):
        yield result
        if args.draw is not None and result.error is None:
            out = args.draw / f'{Path(result.source).stem}.mp4'
            recognizer.annotate(result.source, out, args.topk, args.window, args.stride)


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
    pairs = zip(result.names, result.scores, strict=True)
    classes = ', '.join(f'{name} {100 * score:.1f}%' for name, score in pairs)
    place = '' if result.last_frame is None else f' to frame {result.last_frame}'
    return f'{result.source}{place}: {result.error or classes}'


def main(args: argparse.Namespace) -> None:
    """Recognise videos and exit with 1 when one could not be read."""
    if bool(args.videos) == (args.camera is not None):
        raise UsageError('give either videos or --camera')
    make_projects_importable()
    from internvideo.apis.action_recognizer import ActionRecognizer, save_json

    recognizer = ActionRecognizer(
        args.model, args.checkpoint, args.device, args.classes, args.batch_size,
        dtype=args.dtype, random_weights=args.random_weights,
    )  # fmt: skip
    results = report(results_of(recognizer, args))
    if args.json is not None:
        save_json(results, args.json)
    if any(result.error for result in results):
        sys.exit(1)


def command(arguments: Sequence[str]) -> int:
    """Run with these arguments and return the exit status."""
    # Before torch is imported: idle threads of OpenMP spin otherwise.
    os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')
    return guarded(main, build_parser(), arguments)
