"""Sprites, textures and backdrops as integer rules on coordinates.

Sprite coordinates ``u`` (right) and ``v`` (down) run from -1024 to 1024 across the sprite.
"""

from collections.abc import Callable

import numpy as np

from .specs import Background

Mask = Callable[[np.ndarray, np.ndarray], np.ndarray]


def _disc(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return u * u + v * v < 850**2


def _ring(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    square = u * u + v * v
    return (square < 980**2) & (square > 520**2)


def _square(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return (np.abs(u) < 760) & (np.abs(v) < 760)


def _bar(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return (np.abs(u) < 980) & (np.abs(v) < 430)


def _triangle(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return (v > -900) & (v < 800) & (17 * np.abs(u) < 9 * (v + 900))


def _cross(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    inside = (np.abs(u) < 950) & (np.abs(v) < 950)
    return inside & ((np.abs(u) < 330) | (np.abs(v) < 330))


def _tee(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    top = (np.abs(u) < 900) & (v > -850) & (v < -250)
    return top | ((np.abs(u) < 320) & (v > -850) & (v < 900))


def _diamond(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return np.abs(u) + np.abs(v) < 1020


def _moon(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return (u * u + v * v < 970**2) & ((u - 560) ** 2 + v * v > 700**2)


def _arrow(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    head = (v > -950) & (v < 100) & (np.abs(u) < v + 950)
    return head | ((np.abs(u) < 380) & (v >= 100) & (v < 900))


def _corner(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    inside = (np.abs(u) < 850) & (np.abs(v) < 850)
    return inside & ((u < -200) | (v > 200))


def _star(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    inside = (np.abs(u) < 1000) & (np.abs(v) < 1000)
    return inside & ((np.abs(u) + 180) * (np.abs(v) + 180) < 240_000)


SHAPES: dict[str, Mask] = {
    'disc': _disc,
    'ring': _ring,
    'square': _square,
    'bar': _bar,
    'triangle': _triangle,
    'cross': _cross,
    'tee': _tee,
    'diamond': _diamond,
    'moon': _moon,
    'arrow': _arrow,
    'corner': _corner,
    'star': _star,
}

TEXTURES: dict[str, Mask] = {
    'plain': lambda u, v: np.zeros(np.broadcast(u, v).shape, bool),
    'stripes': lambda u, v: ((v + 1024) // 300) % 2 == 1,
    'dots': lambda u, v: (((u + 1024) % 512 - 256) ** 2 + ((v + 1024) % 512 - 256) ** 2) < 150**2,
    'checks': lambda u, v: ((u + 1024) // 400 + (v + 1024) // 400) % 2 == 1,
    'hatch': lambda u, v: ((u + v + 2048) // 330) % 2 == 1,
}
"""Where a sprite is dimmed."""


def _flat(background: Background, size: int) -> np.ndarray:
    return np.zeros((size, size), np.int64)


def _gradient(background: Background, size: int) -> np.ndarray:
    row, column = np.mgrid[:size, :size]
    distance = (column, row, (row + column) // 2, (row - column + size) // 2)[background.seed % 4]
    return distance * 256 // size


def _blocks(background: Background, size: int) -> np.ndarray:
    # A RandomState takes seeds of 32 bits.
    cells = np.random.RandomState(background.seed % 2**32).randint(0, 256, (6, 6), dtype=np.int64)
    index = np.arange(size) * 6 // size
    return cells[np.ix_(index, index)]


def _grid(background: Background, size: int) -> np.ndarray:
    row, column = np.mgrid[:size, :size] * 80 // size
    shift = background.seed % 13
    lines = ((row + shift) % 13 < 2) | ((column + shift) % 13 < 2)
    return np.where(lines, 256, 0)


def _grain(background: Background, size: int) -> np.ndarray:
    # Pairs of pixels: single ones would only feed the video encoder.
    cells = (size + 1) // 2
    generator = np.random.RandomState(background.seed % 2**32)
    grain = generator.randint(0, 160, (cells, cells), dtype=np.int64)
    return grain.repeat(2, 0).repeat(2, 1)[:size, :size]


BACKGROUNDS: dict[str, Callable[[Background, int], np.ndarray]] = {
    'flat': _flat,
    'gradient': _gradient,
    'blocks': _blocks,
    'grid': _grid,
    'grain': _grain,
}
"""Weight of the second colour, 0 to 256, for each pixel."""


def paint_background(background: Background, size: int) -> np.ndarray:
    """Paint the backdrop as int64 (size, size, 3) of 0..255."""
    weight = BACKGROUNDS[background.kind](background, size)[..., None]
    first, second = (np.array(colour, np.int64) for colour in background.colours)
    return (first * (256 - weight) + second * weight) // 256
