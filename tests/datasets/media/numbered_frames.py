"""Pictures that carry their number and show how they are turned."""

from itertools import pairwise

import numpy as np

# Red, green, blue, white: told apart by colour, and by brightness in grey videos.
CORNERS = {(0, 0): (255, 0, 0), (0, 3): (0, 255, 0), (3, 0): (0, 0, 255), (3, 3): (255, 255, 255)}
CELLS = [(row, column) for row in range(4) for column in range(4) if (row, column) not in CORNERS]
CHECK = 13
"""Largest prime of four bits: the number modulo it is drawn, too, and proves a reading."""
BLACK, WHITE = 16, 235
MARGIN = 40
"""Cells nearer than this to middle grey belong to a mixture of two pictures."""
UNREADABLE = -1
LUMA = np.array([0.299, 0.587, 0.114], np.float32)

# What brings an upright picture to lie as named; "mirrored" is left and right exchanged first.
ORIENTATIONS = {
    f'{turn}{name}': (turn, mirrored)
    for mirrored, name in ((False, ''), (True, ' mirrored'))
    for turn in (0, 90, 180, 270)
}
UPRIGHT = '0'


def lay(image: np.ndarray, orientation: str) -> np.ndarray:
    """Picture (H, W, 3) mirrored, then turned clockwise, as an orientation says."""
    turn, mirrored = ORIENTATIONS[orientation]
    return np.rot90(image[:, ::-1] if mirrored else image, -turn // 90)


def draw_number(number: int, size: tuple[int, int] = (64, 48)) -> np.ndarray:
    """Picture of a number.

    Args:
        number: 0 to 255.
        size: width and height in pixels.

    Returns:
        uint8 (H, W, 3): four by four cells, coloured ones in the corners, the others bits.
    """
    cells = np.zeros((4, 4, 3), np.uint8)
    for place, colour in CORNERS.items():
        cells[place] = colour
    for place, bit in zip(CELLS, f'{number:08b}{number % CHECK:04b}', strict=True):
        cells[place] = WHITE if bit == '1' else BLACK
    width, height = size
    rows, columns = np.arange(height) * 4 // height, np.arange(width) * 4 // width
    return cells[rows][:, columns]


def read_number(image: np.ndarray) -> tuple[int, str]:
    """Number of a picture and the name of its orientation; the number may be UNREADABLE."""
    levels = _cell_levels(image)
    for orientation in ORIENTATIONS:
        if _is_upright(_undo(levels, orientation)):
            return _number_of(_undo(levels, orientation)), orientation
    return UNREADABLE, UPRIGHT


def _cell_levels(image: np.ndarray) -> np.ndarray:
    """Mean brightness (4, 4) of the inner half of each cell."""
    luma = image.astype(np.float32) @ LUMA
    height, width = luma.shape

    def middle(length: int, cell: int) -> slice:
        return slice((8 * cell + 2) * length // 32, (8 * cell + 6) * length // 32)

    return np.array(
        [[luma[middle(height, r), middle(width, c)].mean() for c in range(4)] for r in range(4)]
    )


def _undo(levels: np.ndarray, orientation: str) -> np.ndarray:
    turn, mirrored = ORIENTATIONS[orientation]
    turned = np.rot90(levels, turn // 90)
    return turned[:, ::-1] if mirrored else turned


def _is_upright(levels: np.ndarray) -> bool:
    """Tell whether the corners grow brighter in the order blue, red, green, white."""
    corners = levels[3, 0], levels[0, 0], levels[0, 3], levels[3, 3]
    return all(b - a > MARGIN / 2 for a, b in pairwise(corners))


def _number_of(levels: np.ndarray) -> int:
    cells = np.array([levels[place] for place in CELLS])
    if np.abs(cells - (BLACK + WHITE) / 2).min() < MARGIN:
        return UNREADABLE
    bits = ''.join('1' if cell > (BLACK + WHITE) / 2 else '0' for cell in cells)
    number, check = int(bits[:8], 2), int(bits[8:], 2)
    return number if check == number % CHECK else UNREADABLE
