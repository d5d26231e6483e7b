"""Turns and mirrors that put stored pictures upright."""

import struct
from dataclasses import dataclass

import numpy as np

MATRIX_BYTES = 36
# The 2 x 2 part (a, b, c, d) of a display matrix takes a stored point (x, y) to (a x + c y,
# b x + d y) on display, y pointing down.  Here: what that is as "mirror left-right, then so many
# quarter turns against the clock".
PARTS = {
    (1, 0, 0, 1): (False, 0),
    (0, -1, 1, 0): (False, 1),
    (-1, 0, 0, -1): (False, 2),
    (0, 1, -1, 0): (False, 3),
    (-1, 0, 0, 1): (True, 0),
    (0, 1, 1, 0): (True, 1),
    (1, 0, 0, -1): (True, 2),
    (0, -1, -1, 0): (True, 3),
}


@dataclass(frozen=True)
class Orientation:
    """Turn and mirror that put a stored picture upright.

    Attributes:
        mirrored: left and right change places, before turning.
        quarter_turns: by 90 degrees against the clock.
        odd: the container asks for something else (another angle, a shear): pictures are left as
            they are stored.
    """

    mirrored: bool = False
    quarter_turns: int = 0
    odd: bool = False

    @property
    def is_upright(self) -> bool:
        """Whether pictures are used as they are stored."""
        return not self.mirrored and self.quarter_turns == 0

    @property
    def swaps_sides(self) -> bool:
        """Whether width and height change places."""
        return self.quarter_turns % 2 == 1

    def size(self, width: int, height: int) -> tuple[int, int]:
        """(width, height) on display of a stored size."""
        return (height, width) if self.swaps_sides else (width, height)

    def upright(self, image: np.ndarray) -> np.ndarray:
        """The picture (H, W, C) as it is meant to be seen: a view, nothing is copied."""
        if self.mirrored:
            image = image[:, ::-1]
        return np.rot90(image, self.quarter_turns) if self.quarter_turns else image

    def __str__(self) -> str:
        if self.odd:
            return 'odd angle, left as stored'
        mirror = 'mirrored' if self.mirrored else ''
        turn = f'turned {90 * self.quarter_turns} degrees' if self.quarter_turns else ''
        return ', '.join(filter(None, (mirror, turn))) or 'upright'


UPRIGHT = Orientation()


def from_matrix(values: tuple[int, ...]) -> Orientation:
    """Orientation of a display matrix of nine numbers, row after row, in fixed point."""
    a, b, _, c, d, _ = values[:6]
    largest = max(abs(a), abs(b), abs(c), abs(d))
    # Scaling changes nothing of the turn.  Encoders round: a hundredth is a third of a degree.
    part = tuple(round(v / largest, 2) if largest else 0 for v in (a, b, c, d))
    if largest and part in PARTS:
        return Orientation(*PARTS[part])
    return Orientation(odd=True)


def from_side_data(data: bytes) -> Orientation:
    """Orientation of FFmpeg's display matrix side data (native byte order)."""
    return from_matrix(struct.unpack('=9i', data[:MATRIX_BYTES]))
