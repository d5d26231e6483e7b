"""Audio tracks whose events follow the motions of a clip."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from .motions import cycle, pose_at
from .specs import Action, ClipSpec
from .vocabulary import PITCHES, REST

SAMPLE_RATE = 16_000
"""Hertz: what the audio encoders of the family take."""

KNOCK = 0.08
"""Length of a knock in seconds."""


@dataclass(frozen=True)
class AudioEvent:
    """Event of an audio track in seconds ``[start, stop)``: tone, beep or knock."""

    start: float
    stop: float
    kind: str
    motion: str


def _runs(action: Action) -> Iterator[tuple[int, int]]:
    """Stretches of frames in which a blinking sprite shows."""
    start = None
    for frame in range(action.start, action.stop):
        visible = pose_at(action, frame).visible
        if visible and start is None:
            start = frame
        elif not visible and start is not None:
            yield start, frame
            start = None
    if start is not None:
        yield start, action.stop


def _knocks(action: Action) -> Iterator[int]:
    """Frames of impact (bounce) or of reversal (shake)."""
    for frame in range(action.start, action.stop):
        place = cycle(action, frame)
        if place == 0 or (action.motion == 'shake' and place == action.period // 2):
            yield frame


def _action_events(action: Action, fps: int) -> list[AudioEvent]:
    motion = action.motion
    if motion == REST:
        return []
    if motion in ('bounce', 'shake'):
        end = action.stop / fps
        return [
            AudioEvent(frame / fps, min(frame / fps + KNOCK, end), 'knock', motion)
            for frame in _knocks(action)
        ]
    if motion == 'blink':
        return [AudioEvent(a / fps, b / fps, 'beep', motion) for a, b in _runs(action)]
    return [AudioEvent(action.start / fps, action.stop / fps, 'tone', motion)]


def audio_events(spec: ClipSpec) -> list[AudioEvent]:
    """Audio events of a clip in order of their start."""
    events = [
        event
        for actor in spec.actors
        for action in actor.actions
        for event in _action_events(action, spec.fps)
    ]
    return sorted(events, key=lambda event: (event.start, event.stop))


def _wave(turns: np.ndarray) -> np.ndarray:
    return np.sin(2 * np.pi * turns)


# Course of a tone over its length s in 0..1: frequency factor and loudness, by motion.
Course = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
STEADY = np.ones_like
# Every motion has a course of its own: the sound alone tells the class.
TONE_COURSES: dict[str, Course] = {
    'left': lambda s: (STEADY(s), 0.6 + 0.4 * _wave(12 * s)),
    'right': lambda s: (STEADY(s), STEADY(s)),
    'up': lambda s: (2.0**s, STEADY(s)),
    'down': lambda s: (2.0**-s, STEADY(s)),
    'zoom_in': lambda s: (STEADY(s), 0.05 + 0.95 * s),
    'zoom_out': lambda s: (STEADY(s), 1.0 - 0.95 * s),
    'turn_clockwise': lambda s: (2.0 ** (s / 2) * (1 + 0.05 * _wave(8 * s)), STEADY(s)),
    'turn_anticlockwise': lambda s: (2.0 ** (-s / 2) * (1 + 0.05 * _wave(8 * s)), STEADY(s)),
    'circle_clockwise': lambda s: (1 + 0.4 * _wave(s), STEADY(s)),
    'circle_anticlockwise': lambda s: (1 - 0.4 * _wave(s), STEADY(s)),
    'pulse': lambda s: (STEADY(s), 0.5 + 0.5 * _wave(4 * s)),
}
HARMONICS = {'pure': (1,), 'hollow': (1, 3, 5), 'buzzing': (1, 2, 3, 4, 5, 6)}


def _tone(event: AudioEvent, base: float, timbre: str, num_samples: int) -> np.ndarray:
    s = np.arange(num_samples) / max(1, num_samples)
    factor, loudness = TONE_COURSES.get(event.motion, TONE_COURSES['right'])(s)
    # The phase sums the frequencies: a changing frequency times the time would overshoot it.
    turns = np.cumsum(base * factor) / SAMPLE_RATE
    tone = sum(_wave(k * turns) / k for k in HARMONICS[timbre])
    # Ten milliseconds of fade at both ends avoid clicks.
    edge = np.minimum(np.arange(num_samples), np.arange(num_samples)[::-1])
    return tone * loudness * np.minimum(1.0, edge / (0.01 * SAMPLE_RATE))


def _knock(base: float, num_samples: int) -> np.ndarray:
    seconds = np.arange(num_samples) / SAMPLE_RATE
    return 2.0 * _wave(base / 2 * seconds) * np.exp(-seconds / (KNOCK / 4))


def render_audio(spec: ClipSpec) -> np.ndarray:
    """Render the audio of ``spec`` as int16 (duration * 16000,), mono."""
    track = np.zeros(round(spec.duration * SAMPLE_RATE))
    base = PITCHES[spec.pitch]
    for event in audio_events(spec):
        start, stop = (round(t * SAMPLE_RATE) for t in (event.start, event.stop))
        stop = min(stop, len(track))
        if event.kind == 'knock':
            track[start:stop] += _knock(base, stop - start)
        else:
            track[start:stop] += _tone(event, base, spec.timbre, stop - start)
    # Sounds of several sprites add up: the factor leaves them room.
    return np.clip(np.round(track * 6000), -32767, 32767).astype(np.int16)
