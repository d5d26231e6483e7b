"""Vocabulary of the generated world, divided between training and held-out clips."""

from dataclasses import dataclass

QUICK_MOTIONS = ('left', 'right', 'up', 'down', 'zoom_in', 'zoom_out', 'bounce', 'blink')
"""The default classes: told apart within minutes of training on a CPU."""

EXTRA_MOTIONS = (
    'turn_clockwise',
    'turn_anticlockwise',
    'circle_clockwise',
    'circle_anticlockwise',
    'shake',
    'pulse',
)
"""Further classes, available by name."""

REST = 'rest'
"""Standing still: the stretch between two actions, never a class."""

TURNS = ('turn_clockwise', 'turn_anticlockwise')
ASYMMETRIC_SHAPES = ('triangle', 'tee', 'moon', 'arrow', 'corner')
"""Shapes without rotational symmetry: on others a turn has no visible direction."""

# All brighter than any backdrop, whose colours stay below 91.
COLOURS = {
    'red': (230, 40, 40),
    'green': (40, 210, 60),
    'blue': (70, 90, 255),
    'yellow': (240, 220, 40),
    'magenta': (230, 50, 220),
    'white': (245, 245, 245),
    'cyan': (40, 220, 230),
    'orange': (250, 140, 20),
    'pink': (255, 160, 190),
}

TEXTURE_WORDS = {
    'plain': 'plain',
    'stripes': 'striped',
    'dots': 'dotted',
    'checks': 'checked',
    'hatch': 'hatched',
}
BACKGROUND_WORDS = {
    'flat': 'flat',
    'gradient': 'shaded',
    'blocks': 'patchy',
    'grid': 'gridded',
    'grain': 'grainy',
}
MOTION_WORDS = {
    'left': 'moves left',
    'right': 'moves right',
    'up': 'rises',
    'down': 'sinks',
    'zoom_in': 'grows',
    'zoom_out': 'shrinks',
    'bounce': 'bounces',
    'blink': 'blinks',
    'turn_clockwise': 'turns clockwise',
    'turn_anticlockwise': 'turns anticlockwise',
    'circle_clockwise': 'circles clockwise',
    'circle_anticlockwise': 'circles anticlockwise',
    'shake': 'shakes',
    'pulse': 'pulses',
    REST: 'stays still',
}
AUDIO_WORDS = {
    'left': 'trembling tone',
    'right': 'steady tone',
    'up': 'rising tone',
    'down': 'falling tone',
    'zoom_in': 'swelling tone',
    'zoom_out': 'fading tone',
    'bounce': 'series of knocks',
    'blink': 'series of beeps',
    'turn_clockwise': 'slow upward warble',
    'turn_anticlockwise': 'slow downward warble',
    'circle_clockwise': 'wave that starts upward',
    'circle_anticlockwise': 'wave that starts downward',
    'shake': 'rattle',
    'pulse': 'throbbing tone',
    REST: 'silence',
}
PITCHES = {'low': 220, 'middle': 440, 'high': 880}
"""Base frequencies in hertz."""
TIMBRES = ('pure', 'hollow', 'buzzing')
"""A sine; odd harmonics; all harmonics."""


@dataclass(frozen=True)
class Vocabulary:
    """Appearances that a split may use."""

    shapes: tuple[str, ...]
    colours: tuple[str, ...]
    textures: tuple[str, ...]
    backgrounds: tuple[str, ...]

    def with_shapes_for(self, motions: tuple[str, ...]) -> 'Vocabulary':
        """Leave out symmetric shapes, for every class alike, as soon as turns are among them."""
        if not set(motions) & set(TURNS):
            return self
        shapes = tuple(shape for shape in self.shapes if shape in ASYMMETRIC_SHAPES)
        return Vocabulary(shapes, self.colours, self.textures, self.backgrounds)

    def __add__(self, other: 'Vocabulary') -> 'Vocabulary':
        return Vocabulary(
            self.shapes + other.shapes,
            self.colours + other.colours,
            self.textures + other.textures,
            self.backgrounds + other.backgrounds,
        )


SEEN = Vocabulary(
    shapes=('disc', 'ring', 'square', 'bar', 'triangle', 'cross', 'tee'),
    colours=('red', 'green', 'blue', 'yellow', 'magenta', 'white'),
    textures=('plain', 'stripes', 'dots'),
    backgrounds=('flat', 'gradient', 'blocks'),
)
"""Appearances of training clips."""

UNSEEN = Vocabulary(
    shapes=('diamond', 'moon', 'arrow', 'corner', 'star'),
    colours=('cyan', 'orange', 'pink'),
    textures=('checks', 'hatch'),
    backgrounds=('grid', 'grain'),
)
"""Appearances that only held-out clips have."""

EVERYTHING = SEEN + UNSEEN


def check_motions(motions: tuple[str, ...]) -> tuple[str, ...]:
    """Return ``motions`` as a tuple.

    Raises:
        ValueError: fewer than two motions, a repeated one, or an unknown name.
    """
    motions = tuple(motions)
    known = QUICK_MOTIONS + EXTRA_MOTIONS
    unknown = [motion for motion in motions if motion not in known]
    if unknown:
        raise ValueError(f'motions: unknown {", ".join(unknown)}; known: {", ".join(known)}')
    if len(motions) < 2 or len(set(motions)) != len(motions):
        raise ValueError(f'motions: at least two different names are needed, got {motions}')
    return motions
