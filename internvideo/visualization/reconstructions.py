"""Pictures of masked autoencoding: each frame as it is, as it is seen, and as it is made up."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from internvideo.fileio.atomic import atomic_path
from internvideo.structures.reconstruction import Reconstruction

if TYPE_CHECKING:
    from PIL import ImageFont

HIDDEN_GREY = 0.5
SMALLEST_SIDE = 72
"""Frames of fewer pixels are enlarged by a whole factor, so that patches stay sharp."""
GAP, MARGIN, LINE = 3, 12, 20
ROWS = ('input', 'visible', 'reconstructed')
OWN_STATISTICS = (
    "The model predicts normalised pixels: each hidden patch is shown with the patch's own mean "
    'and contrast.'
)


def draw_reconstructions(made: Reconstruction, names: Sequence[str]) -> np.ndarray:
    """Draw the three rows of each clip, one frame a column: uint8 (H, W, 3).

    Args:
        made: the clips.
        names: of the clips, above their rows, where the loss stands as well.
    """
    from PIL import Image, ImageDraw

    count, frames, height, width = made.hidden.shape
    scale = max(1, -(-SMALLEST_SIDE // min(height, width)))
    cell = (width * scale, height * scale)
    font = _font(14)
    label = max(int(font.getlength(name)) for name in ROWS) + 2 * GAP
    block = LINE + 3 * (cell[1] + GAP) + MARGIN
    sheet_width = 2 * MARGIN + label + frames * (cell[0] + GAP)
    note = OWN_STATISTICS if made.has_own_statistics else ''
    lines = _wrapped(note, font, sheet_width - 2 * MARGIN)
    size = (sheet_width, 2 * MARGIN + count * block + len(lines) * LINE)
    sheet = Image.new('RGB', size, 'white')
    draw = ImageDraw.Draw(sheet)
    for number, name in enumerate(names):
        top = MARGIN + number * block
        draw.text((MARGIN, top), _caption(made, number, name), 'black', font)
        for row, (title, images) in enumerate(zip(ROWS, _rows(made, number), strict=True)):
            y = top + LINE + row * (cell[1] + GAP)
            draw.text((MARGIN, y + cell[1] // 2), title, 'black', font, anchor='lm')
            for column, image in enumerate(images):
                x = MARGIN + label + column * (cell[0] + GAP)
                frame = Image.fromarray(image).resize(cell, Image.Resampling.NEAREST)
                sheet.paste(frame, (x, y))
    for number, line in enumerate(lines):
        draw.text((MARGIN, size[1] - MARGIN - (len(lines) - number) * LINE), line, '#555555', font)
    return np.asarray(sheet)


def write_picture(image: np.ndarray, path: str | Path) -> None:
    """Write uint8 (H, W, 3) as a PNG, whole or not at all."""
    from PIL import Image

    with atomic_path(Path(path)) as temporary:
        Image.fromarray(image).save(temporary, format='png')


def _caption(made: Reconstruction, number: int, name: str) -> str:
    share = float(made.hidden[number].float().mean())
    return f'{name}: loss {float(made.losses[number]):.4f}, {100 * share:.0f} % hidden'


def _rows(made: Reconstruction, number: int) -> list[np.ndarray]:
    """Input, visible part and reconstruction as uint8 (T, H, W, C)."""
    pixels = made.pixels[number]
    visible = pixels.masked_fill(made.hidden[number][None], HIDDEN_GREY)
    return [_as_bytes(clip) for clip in (pixels, visible, made.reconstructed[number])]


def _as_bytes(clip: Tensor) -> np.ndarray:
    return (clip.clamp(0, 1) * 255).round().byte().permute(1, 2, 3, 0).cpu().numpy()


def _font(size: int) -> 'ImageFont.FreeTypeFont':
    # Matplotlib brings a font along, where Pillow may have only a bitmap one.
    from matplotlib import font_manager
    from PIL import ImageFont

    return ImageFont.truetype(font_manager.findfont('DejaVu Sans'), size)


def _wrapped(text: str, font: 'ImageFont.FreeTypeFont', width: int) -> list[str]:
    lines: list[str] = []
    for word in text.split():
        if lines and font.getlength(f'{lines[-1]} {word}') <= width:
            lines[-1] += f' {word}'
        else:
            lines.append(word)
    return lines
