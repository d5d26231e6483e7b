"""Descriptions of generated clips as plain data, and their random draws.

Every quantity is an integer, so that a description is exact on any machine and in JSON.
Places, lengths and radii count in 1/4096 of the side of the (square) frame.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from .vocabulary import PITCHES, TIMBRES, Vocabulary

FRAME_SIDE = 4096
"""Length units along a side of the frame."""

T = TypeVar('T')


@dataclass(frozen=True)
class Action:
    """Motion during frames ``[start, stop)``.

    ``x`` and ``y`` are the middle of the motion, ``reach`` the length it covers, ``period`` its
    frames per repetition (bounce, blink, shake, pulse), ``phase`` the frame of the first one.
    """

    motion: str
    start: int
    stop: int
    x: int
    y: int
    reach: int
    period: int
    phase: int


@dataclass(frozen=True)
class Actor:
    """Sprite with its actions, between which it is hidden."""

    shape: str
    colour: str
    texture: str
    radius: int
    angle: int
    """In 1/256 of a turn."""
    actions: tuple[Action, ...]


@dataclass(frozen=True)
class Background:
    """Still backdrop: its kind, two RGB colours and the seed of its pattern."""

    kind: str
    colours: tuple[tuple[int, int, int], tuple[int, int, int]]
    seed: int


@dataclass(frozen=True)
class ClipSpec:
    """Description that determines the frames and the audio of a clip."""

    actors: tuple[Actor, ...]
    background: Background
    num_frames: int = 24
    size: int = 64
    """Side of the frame in pixels, even."""
    fps: int = 12
    pitch: str = 'middle'
    timbre: str = field(default='pure')

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return self.num_frames / self.fps


def random_stream(seed: int, *path: str | int) -> np.random.RandomState:
    """Create the random generator of ``path`` under ``seed``.

    NumPy promises never to change the draws of ``RandomState``, which it does not for
    ``Generator``: the world of a seed stays the same.
    """
    words = [seed]
    for part in path:
        words += part.encode() if isinstance(part, str) else [part]
    return np.random.RandomState(np.random.MT19937(np.random.SeedSequence(words)))


def between(rng: np.random.RandomState, low: int, high: int) -> int:
    """Draw a whole number of ``[low, high]``."""
    return int(rng.randint(low, high + 1, dtype=np.int64))


def choose(rng: np.random.RandomState, options: Sequence[T]) -> T:
    """Draw one of ``options``."""
    return options[between(rng, 0, len(options) - 1)]


def draw_action(rng: np.random.RandomState, motion: str, start: int, stop: int) -> Action:
    """Draw an action whose place, reach and timing do not depend on ``motion``."""
    frames = stop - start
    period = max(2, between(rng, frames // 3, frames // 2))
    return Action(
        motion=motion,
        start=start,
        stop=stop,
        # With these bounds the centre is inside the frame at either end of any motion.
        x=between(rng, 1450, 2650),
        y=between(rng, 1450, 2650),
        reach=between(rng, 1500, 2300),
        period=period,
        phase=between(rng, 0, period - 1),
    )


def draw_actor(
    rng: np.random.RandomState, vocabulary: Vocabulary, actions: Sequence[Action]
) -> Actor:
    """Draw a sprite of random appearance that carries out ``actions``."""
    return Actor(
        shape=choose(rng, vocabulary.shapes),
        colour=choose(rng, vocabulary.colours),
        texture=choose(rng, vocabulary.textures),
        radius=between(rng, 620, 960),
        angle=between(rng, -12, 12),
        actions=tuple(actions),
    )


def draw_background(rng: np.random.RandomState, vocabulary: Vocabulary) -> Background:
    """Draw a backdrop darker than any sprite."""
    first, second = (tuple(between(rng, 0, 90) for _ in range(3)) for _ in range(2))
    return Background(choose(rng, vocabulary.backgrounds), (first, second), between(rng, 0, 2**31))


def draw_clip(
    rng: np.random.RandomState,
    vocabulary: Vocabulary,
    motions: Sequence[str],
    num_frames: int,
    size: int,
    fps: int,
) -> ClipSpec:
    """Draw a clip with one actor per motion, each moving from the first frame to the last."""
    actors = tuple(
        draw_actor(rng, vocabulary, [draw_action(rng, motion, 0, num_frames)]) for motion in motions
    )
    return ClipSpec(
        actors=actors,
        background=draw_background(rng, vocabulary),
        num_frames=num_frames,
        size=size,
        fps=fps,
        pitch=choose(rng, tuple(PITCHES)),
        timbre=choose(rng, TIMBRES),
    )
