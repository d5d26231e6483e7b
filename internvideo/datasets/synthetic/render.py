"""Renderer of a clip's frames and boxes, in integers so that all machines agree."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from .motions import ONE, Pose, cosine, pose_at, sine
from .shapes import SHAPES, TEXTURES, paint_background
from .specs import FRAME_SIDE, Actor, ClipSpec
from .vocabulary import COLOURS

OVERSAMPLING = 3
"""Sub-pixels along each side of a pixel, for soft edges."""

DIM = 120
"""Brightness of the dark parts of a texture, of 256."""


class SpritePixels(NamedTuple):
    """Pixels of a frame that a sprite touches: rows, columns, coverage (0..9), RGB."""

    rows: slice
    columns: slice
    coverage: np.ndarray
    colour: np.ndarray


def poses(actor: Actor, num_frames: int) -> Iterator[tuple[int, Pose]]:
    """Frame and pose wherever ``actor`` can be seen."""
    for action in actor.actions:
        for frame in range(max(0, action.start), min(action.stop, num_frames)):
            pose = pose_at(action, frame)
            if pose.visible:
                yield frame, pose


def _pixel_span(centre: int, radius: int, size: int) -> slice:
    low = (centre - radius) * size // FRAME_SIDE
    high = (centre + radius) * size // FRAME_SIDE + 1
    return slice(min(max(low, 0), size), min(max(high, 0), size))


def _sample_places(span: slice, size: int) -> np.ndarray:
    """Places of the sub-pixels of ``span`` in frame units."""
    index = np.arange(span.start * OVERSAMPLING, span.stop * OVERSAMPLING, dtype=np.int64)
    return (2 * index + 1) * FRAME_SIDE // (2 * OVERSAMPLING * size)


def _sprite_coordinates(
    x: np.ndarray, y: np.ndarray, pose: Pose, radius: int, angle: int
) -> tuple[np.ndarray, np.ndarray]:
    dx, dy = (x - pose.x)[None, :], (y - pose.y)[:, None]
    c, s = cosine(angle), sine(angle)
    return (dx * c + dy * s) // radius, (dy * c - dx * s) // radius


def _pool(samples: np.ndarray) -> np.ndarray:
    """Sum over the sub-pixels of each pixel."""
    rows, columns = (length // OVERSAMPLING for length in samples.shape)
    return samples.reshape(rows, OVERSAMPLING, columns, OVERSAMPLING).sum((1, 3))


def draw_sprite(actor: Actor, pose: Pose, size: int) -> SpritePixels:
    """Rasterise ``actor`` in ``pose`` on a frame of ``size`` pixels."""
    radius = max(1, actor.radius * pose.scale // ONE)
    # A turned square sticks out of its circle by at most half the radius.
    columns = _pixel_span(pose.x, radius * 3 // 2, size)
    rows = _pixel_span(pose.y, radius * 3 // 2, size)
    u, v = _sprite_coordinates(
        _sample_places(columns, size),
        _sample_places(rows, size),
        pose,
        radius,
        actor.angle + pose.angle,
    )
    inside = SHAPES[actor.shape](u, v)
    dim = _pool(inside & TEXTURES[actor.texture](u, v))
    coverage = _pool(inside)
    light = 256 - (256 - DIM) * dim // np.maximum(coverage, 1)
    colour = np.array(COLOURS[actor.colour], np.int64) * light[..., None] // 256
    return SpritePixels(rows, columns, coverage, colour)


def render_clip(spec: ClipSpec) -> np.ndarray:
    """Render ``spec`` as uint8 RGB (num_frames, size, size, 3), later actors over earlier ones."""
    frames = np.empty((spec.num_frames, spec.size, spec.size, 3), np.uint8)
    frames[:] = paint_background(spec.background, spec.size)
    full = OVERSAMPLING**2
    for actor in spec.actors:
        for frame, pose in poses(actor, spec.num_frames):
            sprite = draw_sprite(actor, pose, spec.size)
            canvas = frames[frame, sprite.rows, sprite.columns]
            weight = sprite.coverage[..., None]
            # Weights are int64: in uint8 the products would wrap around.
            canvas[:] = (canvas * (full - weight) + sprite.colour * weight) // full
    return frames


def _box(sprite: SpritePixels, size: int) -> tuple[float, float, float, float] | None:
    # A pixel counts as covered from half of it on: a soft edge would widen the box.
    covered = 2 * sprite.coverage > OVERSAMPLING**2
    if not covered.any():
        return None
    rows, columns = np.flatnonzero(covered.any(1)), np.flatnonzero(covered.any(0))
    return (
        (sprite.columns.start + int(columns[0])) / size,
        (sprite.rows.start + int(rows[0])) / size,
        (sprite.columns.start + int(columns[-1]) + 1) / size,
        (sprite.rows.start + int(rows[-1]) + 1) / size,
    )


def actor_boxes(spec: ClipSpec) -> list[dict[int, tuple[float, float, float, float]]]:
    """Boxes (x1, y1, x2, y2) of each actor's visible part by frame, in 0..1 of the frame.

    A frame in which an actor is hidden or outside has no entry; other actors are not considered.
    """
    boxes = []
    for actor in spec.actors:
        found = {}
        for frame, pose in poses(actor, spec.num_frames):
            box = _box(draw_sprite(actor, pose, spec.size), spec.size)
            if box is not None:
                found[frame] = box
        boxes.append(found)
    return boxes
