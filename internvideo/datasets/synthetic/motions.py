"""Poses of sprites frame by frame, in whole numbers."""

import math
from collections.abc import Callable
from typing import NamedTuple

from .specs import Action
from .vocabulary import REST

TURN = 256
"""Angle units of a full turn."""

ONE = 1024
"""Fixed-point one of scales, sines and ramps."""

# Rounded to 1/1024, so that no machine's last digit of cos matters.
COSINES = tuple(round(ONE * math.cos(2 * math.pi * k / TURN)) for k in range(TURN))


class Pose(NamedTuple):
    """Centre in frame units, scale in 1/1024, angle in 1/256 turn clockwise."""

    x: int
    y: int
    scale: int = ONE
    angle: int = 0
    visible: bool = True


def cosine(angle: int) -> int:
    """Cosine of ``angle`` (1/256 turn) in 1/1024."""
    return COSINES[angle % TURN]


def sine(angle: int) -> int:
    """Sine of ``angle`` (1/256 turn) in 1/1024."""
    return COSINES[(angle - TURN // 4) % TURN]


def ramp(action: Action, frame: int) -> int:
    """Ramp from -1024 at the first frame of ``action`` to 1024 at its last."""
    last = max(1, action.stop - action.start - 1)
    return 2 * ONE * (frame - action.start) // last - ONE


def cycle(action: Action, frame: int) -> int:
    """Frames since the current repetition began, of ``[0, period)``."""
    return (frame - action.start + action.phase) % action.period


def _cycle_angle(action: Action, frame: int) -> int:
    return TURN * cycle(action, frame) // action.period


def _slide(dx: int, dy: int) -> Callable[[Action, int], Pose]:
    def pose(action: Action, frame: int) -> Pose:
        way = ramp(action, frame) * action.reach // (2 * ONE)
        return Pose(action.x + dx * way, action.y + dy * way)

    return pose


def _zoom(direction: int) -> Callable[[Action, int], Pose]:
    def pose(action: Action, frame: int) -> Pose:
        # A reach of half the frame takes the radius from 0.45 to 1.55 of its mean.
        change = ramp(action, frame) * action.reach * 11 // (20 * 2048)
        return Pose(action.x, action.y, ONE + direction * change)

    return pose


def _turn(direction: int) -> Callable[[Action, int], Pose]:
    def pose(action: Action, frame: int) -> Pose:
        # A third of a turn in all: of fast turns the direction cannot be told.
        return Pose(action.x, action.y, angle=direction * ramp(action, frame) * TURN // (6 * ONE))

    return pose


def _circle(direction: int) -> Callable[[Action, int], Pose]:
    def pose(action: Action, frame: int) -> Pose:
        start = TURN * action.phase // action.period
        angle = start + direction * (ramp(action, frame) + ONE) * TURN // (2 * ONE)
        radius = action.reach // 3
        return Pose(
            action.x + radius * cosine(angle) // ONE, action.y + radius * sine(angle) // ONE
        )

    return pose


def _bounce(action: Action, frame: int) -> Pose:
    # Three quarters of the reach high, whose mean over time is half the reach: the place does
    # not tell a bounce from other motions.
    tau, period = cycle(action, frame), action.period
    height = 3 * action.reach * tau * (period - tau) // (period * period)
    return Pose(action.x, action.y + action.reach // 2 - height)


def _blink(action: Action, frame: int) -> Pose:
    return Pose(action.x, action.y, visible=2 * cycle(action, frame) < action.period)


def _shake(action: Action, frame: int) -> Pose:
    way = action.reach * sine(_cycle_angle(action, frame)) // (4 * ONE)
    return Pose(action.x + way, action.y)


def _pulse(action: Action, frame: int) -> Pose:
    return Pose(action.x, action.y, ONE + sine(_cycle_angle(action, frame)) * 2 // 5)


def _rest(action: Action, frame: int) -> Pose:
    return Pose(action.x, action.y)


POSES: dict[str, Callable[[Action, int], Pose]] = {
    'left': _slide(-1, 0),
    'right': _slide(1, 0),
    'up': _slide(0, -1),
    'down': _slide(0, 1),
    'zoom_in': _zoom(1),
    'zoom_out': _zoom(-1),
    'bounce': _bounce,
    'blink': _blink,
    'turn_clockwise': _turn(1),
    'turn_anticlockwise': _turn(-1),
    'circle_clockwise': _circle(1),
    'circle_anticlockwise': _circle(-1),
    'shake': _shake,
    'pulse': _pulse,
    REST: _rest,
}


def pose_at(action: Action, frame: int) -> Pose:
    """Pose that ``action`` prescribes for ``frame``.

    Raises:
        ValueError: the motion is unknown.
    """
    if action.motion not in POSES:
        raise ValueError(f'unknown motion {action.motion!r}; known: {", ".join(POSES)}')
    return POSES[action.motion](action, frame)
