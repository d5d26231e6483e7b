"""Videos with recognised classes burned in."""

import os
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Protocol

import numpy as np

from internvideo.fileio.atomic import atomic_path
from internvideo.structures import Recognition

DEFAULT_FPS = 25
MARGIN = 4


class FrameSource(Protocol):
    """Frames of a video in order, uint8 (H, W, 3) RGB.

    Attributes:
        source_fps: average rate of the file, 0.0 when unknown; known once iteration has begun.
    """

    source_fps: float

    def __iter__(self) -> Iterator[np.ndarray]: ...


class LabelledFrames:
    """Frames of a video with the text of the result that is current at each.

    Args:
        stream: the video.
        results: one result without window for the whole video, or windows in order; a frame
            shows the latest window that began before it.
    """

    def __init__(self, stream: FrameSource, results: Sequence[Recognition]) -> None:
        self.stream, self.results = stream, results

    def __iter__(self) -> Iterator[tuple[np.ndarray, list[str]]]:
        current, following = self.results[0], list(self.results[1:])
        for number, frame in enumerate(self.stream):
            while following and following[0].first_frame <= number:
                current = following.pop(0)
            yield frame, label_lines(current)


def label_lines(result: Recognition) -> list[str]:
    """One line per class: name and probability."""
    pairs = zip(result.names, result.scores, strict=True)
    return [f'{name} {100 * score:.0f}%' for name, score in pairs]


def write_labelled_video(frames: LabelledFrames, out: str | os.PathLike) -> None:
    """Encode labelled frames as H.264 at the rate of their source.

    Odd sides lose a pixel.  Written whole or not at all.

    Raises:
        ValueError: the suffix names no container.
    """
    import av

    out = Path(out)
    try:
        with atomic_path(out) as temporary, av.open(str(temporary), 'w') as container:
            _encode(container, frames)
    except ValueError as error:
        raise ValueError(f'cannot write {out}: {error}') from None


def _encode(container, frames: LabelledFrames) -> None:
    import av

    video = None
    for image, lines in frames:
        # 4:2:0 video has one colour sample for two by two pixels.
        image = image[: image.shape[0] // 2 * 2, : image.shape[1] // 2 * 2]
        if video is None:
            # 1001 keeps rates such as 30000/1001 exact.
            rate = Fraction(frames.stream.source_fps or DEFAULT_FPS).limit_denominator(1001)
            video = container.add_stream('libx264', rate=rate, options={'crf': '20'})
            video.height, video.width, video.pix_fmt = *image.shape[:2], 'yuv420p'
        frame = av.VideoFrame.from_ndarray(burn_in(image, lines), format='rgb24')
        container.mux(video.encode(frame))
    # The encoder still holds frames back, to code some from later ones.
    container.mux(video.encode())


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
