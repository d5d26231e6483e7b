"""Videos with recognised classes burned in."""

import os
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np

from internvideo.fileio.atomic import atomic_path
from internvideo.structures import Recognition

DEFAULT_FPS = 25
CLOCK = Fraction(1, 90_000)
TIMED_SUFFIXES = ('.mp4', '.m4v', '.mov', '.mkv')
TIME_ROUNDING = 1e-3
"""Seconds by which containers round time stamps."""
MARGIN = 4


TimedImage = tuple[np.ndarray, float, float]
"""A frame, uint8 (H, W, 3) RGB, and the seconds between which it is on display."""


class LabelledFrames:
    """Frames of a video with the text of the result that is current at each.

    Args:
        frames: of the video, in order.
        results: one result without window for the whole video, or windows in order; a frame
            shows the latest window that began before it.
    """

    def __init__(self, frames: Iterable[TimedImage], results: Sequence[Recognition]) -> None:
        self.frames, self.results = frames, results

    def __iter__(self) -> Iterator[tuple[TimedImage, list[str]]]:
        current, following = self.results[0], list(self.results[1:])
        for frame in self.frames:
            while following and following[0].start <= frame[1] + TIME_ROUNDING:
                current = following.pop(0)
            yield frame, label_lines(current)


def label_lines(result: Recognition) -> list[str]:
    """One line per class: name and probability."""
    pairs = zip(result.names, result.scores, strict=True)
    return [f'{name} {100 * score:.0f}%' for name, score in pairs]


def write_labelled_video(frames: LabelledFrames, out: str | os.PathLike) -> None:
    """Encode labelled frames as H.264, each as long as in the source.

    Containers other than MP4, QuickTime and Matroska get the rate of the first frame throughout.
    Odd sides lose a pixel.  Written whole or not at all.

    Raises:
        ValueError: the suffix names no container.
    """
    import av

    out = Path(out)
    try:
        with atomic_path(out) as temporary, av.open(str(temporary), 'w') as container:
            _encode(container, frames, out.suffix.lower() in TIMED_SUFFIXES)
    except ValueError as error:
        raise ValueError(f'cannot write {out}: {error}') from None


def _encode(container, frames: LabelledFrames, keeps_times: bool) -> None:
    import av

    video, place = None, -1
    for (image, start, end), lines in frames:
        # 4:2:0 video has one colour sample for two by two pixels.
        image = image[: image.shape[0] // 2 * 2, : image.shape[1] // 2 * 2]
        if video is None:
            first = start
            video = _add_stream(container, image, end - start)
            if keeps_times:
                video.codec_context.time_base = CLOCK
        frame = av.VideoFrame.from_ndarray(burn_in(image, lines), format='rgb24')
        if keeps_times:
            # Two frames of one time would be refused.
            place = max(round((start - first) / CLOCK), place + 1)
            frame.pts, frame.time_base = place, CLOCK
        container.mux(video.encode(frame))
    # The encoder still holds frames back, to code some from later ones.
    container.mux(video.encode())


def _add_stream(container, image: np.ndarray, seconds: float):
    # 1001 keeps rates such as 30000/1001 exact.
    rate = Fraction(1 / seconds if seconds > 0 else DEFAULT_FPS).limit_denominator(1001)
    video = container.add_stream('libx264', rate=rate, options={'crf': '20'})
    video.height, video.width, video.pix_fmt = *image.shape[:2], 'yuv420p'
    return video


def burn_in(image: np.ndarray, lines: Sequence[str]) -> np.ndarray:
    """Draw lines of text into the top left corner of an image, uint8 (H, W, 3)."""
    from PIL import Image, ImageDraw, ImageFont

    picture = Image.fromarray(np.ascontiguousarray(image))
    draw = ImageDraw.Draw(picture)
    # Pillow brings this font along; a bare server may have no others.
    font = ImageFont.load_default(size=max(10, image.shape[0] // 16))
    text = '\n'.join(lines)
    left, top, right, bottom = draw.multiline_textbbox((MARGIN, MARGIN), text, font=font)
    box = (left - MARGIN, top - MARGIN, right + MARGIN, bottom + MARGIN)
    draw.rectangle(box, fill=(0, 0, 0))
    draw.multiline_text((MARGIN, MARGIN), text, font=font, fill=(255, 255, 255))
    return np.asarray(picture)
