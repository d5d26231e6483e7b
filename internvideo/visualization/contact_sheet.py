"""Contact sheets: film strips of videos with their true and predicted labels."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import wrap

import numpy as np

RIGHT, WRONG, UNREADABLE, FOUND = '#1a7f37', '#c62828', '#777777', '#000000'
BLANK_SHAPE = (10, 41, 3)


@dataclass(frozen=True)
class Strip:
    """One video of a contact sheet.

    Attributes:
        frames: uint8 (N, H, W, 3); None for a video that could not be read.
        ground_truth, prediction: class names; ``prediction`` None where there is no prediction.
        score: probability of ``prediction``.
        note: shown in place of the frames.
    """

    frames: np.ndarray | None
    ground_truth: str
    prediction: str | None
    score: float = 0.0
    note: str = ''

    @property
    def colour(self) -> str:
        if self.prediction is None:
            return UNREADABLE
        return RIGHT if self.prediction == self.ground_truth else WRONG

    @property
    def caption(self) -> str:
        if self.prediction is None:
            return f'true: {self.ground_truth}\nunreadable'
        return f'true: {self.ground_truth}\npredicted: {self.prediction} ({100 * self.score:.0f} %)'


@dataclass(frozen=True)
class FoundStrip:
    """One video that a search found.

    Attributes:
        frames: uint8 (N, H, W, 3); None for a video that could not be read.
        caption: its rank, score and name.
        note: shown in place of the frames.
    """

    frames: np.ndarray | None
    caption: str
    note: str = ''

    @property
    def colour(self) -> str:
        return UNREADABLE if self.frames is None else FOUND


def choose_rows(correct: Sequence[bool], count: int) -> list[int]:
    """Choose rows to show, at most half of them wrong where enough are right."""
    right = [row for row, good in enumerate(correct) if good]
    wrong = [row for row, good in enumerate(correct) if not good]
    num_wrong = min(len(wrong), max(count // 2, count - len(right)))
    return sorted(_spread(wrong, num_wrong) + _spread(right, min(count - num_wrong, len(right))))


def _spread(rows: list[int], count: int) -> list[int]:
    return [rows[i] for i in np.linspace(0, len(rows) - 1, count).round().astype(int)]


def draw_contact_sheet(
    strips: Sequence[Strip | FoundStrip], path: str | Path, columns: int = 3, title: str = ''
) -> None:
    """Write the strips as a PNG, with captions green when right and red when wrong."""
    # Figure and not pyplot, which picks a window system and keeps every figure alive.
    from matplotlib.figure import Figure

    rows = -(-len(strips) // columns)
    figure = Figure(figsize=(4.4 * columns, 1.75 * rows + 0.5), layout='constrained')
    figure.suptitle(title)
    # Not squeezed: a single row is an array of cells as well.
    cells = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axes in cells:
        axes.set_axis_off()
    for axes, strip in zip(cells, strips, strict=False):
        _draw_strip(axes, strip)
    figure.savefig(path, dpi=110)


def _draw_strip(axes, strip: Strip | FoundStrip) -> None:
    if strip.frames is None:
        axes.imshow(np.full(BLANK_SHAPE, 235, np.uint8))
        note = '\n'.join(wrap(strip.note, width=56, max_lines=4))
        axes.text(0.5, 0.5, note, ha='center', va='center', fontsize=7, transform=axes.transAxes)
    else:
        height = strip.frames.shape[1]
        gap = np.full((height, max(1, height // 40), 3), 255, np.uint8)
        parts = [part for frame in strip.frames for part in (frame, gap)]
        axes.imshow(np.concatenate(parts[:-1], axis=1))
    axes.set_title(strip.caption, color=strip.colour, fontsize=9, loc='left')
